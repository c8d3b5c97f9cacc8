# Everything that a contributor or a curious user runs. `make` alone lists the targets.

.DEFAULT_GOAL := help
.PHONY: help test trials newest coverage n8n e2e demo soak chaos attack bench scale generate kubectl-plugin lock sbom scan clean

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
RELEASE := .venv-release
RELEASE_READY := $(RELEASE)/.ready
PIP_INSTALL := $(RUN) -m pip install --quiet --disable-pip-version-check
COMPILE := $(VENV)/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	--no-config --no-emit-index-url --no-emit-find-links --quiet --upgrade

help:
	@echo "make demo            start real parts, run the operator, and show what it does, until Ctrl-C"
	@echo "make demo ONCE=1     the same tour once, with each step checked; CLUSTER=mine uses the cluster of KUBECONFIG"
	@echo "make test            set up everything and run the tiers of tests; TIERS=\"lint unit\" runs some"
	@echo "make trials          run the operator on real parts, kill it, run the demo and more seeds, and switch off each rule of the protocol"
	@echo "make newest          run the unit tests, the simulation and the tests of certificates on the newest Python of this machine"
	@echo "make coverage        show that the tests of the core alone run at least 95 % of its branches"
	@echo "make e2e             test the image, the chart and a kubelet on a real node; needs Linux and root, takes 5 minutes"
	@echo "make soak            read 100,000 hostile inputs for each reader, and run 100,000 of today's seeds; SEEDS=2000 FIRST=0 selects others"
	@echo "make chaos           kill and disconnect operators on real parts for an hour, then attack; PARTS=kills KILLS=20 takes minutes"
	@echo "make attack          attack the operator from a hostile namespace for half an hour; ATTACKS=\"slow users me\" runs one"
	@echo "make n8n             run a real n8n on what the operator publishes; some 10 minutes to install it from npm, once"
	@echo "make browser         connect accounts in a real Chromium, and keep pictures of the pages in .browser/"
	@echo "make bench           measure speed and memory on this machine, and draw them into .benchmarks; PICTURES=... is another folder"
	@echo "make scale           the same with 10,000 credentials, and 1,000 grants with outages; CREDENTIALS=300 PARTS=\"growth edits\" takes minutes"
	@echo "make generate        write the generated files: the CRD and the reference pages"
	@echo "make kubectl-plugin  build the plugin \`kubectl pipedrive\` as one file, into dist/; URL=... goes into its krew manifest"
	@echo "make sbom            list the Python packages of the image in sbom.json (CycloneDX)"
	@echo "make scan            look up known vulnerabilities of these packages at PyPI; fails if one is known, or PyPI is out of reach"
	@echo "make lock            resolve the dependencies again, into requirements/"
	@echo "make clean           remove the virtual environment and caches"
	@echo
	@echo "PYTHON=python3.12    for any target: the Python to use, if python3 is older than 3.11"

test: $(READY)
	@$(RUN) tests/tiers.py $(TIERS)

trials: $(READY)
	@$(RUN) tests/tiers.py trials

newest: $(READY)
	@$(RUN) tests/tiers.py newest

coverage: $(READY)
	@$(RUN) -m coverage run --branch -m pytest tests/unit/core -q
	@$(RUN) -m coverage report --include='operator/pipedrive_operator/core/*' --fail-under=95

e2e: $(READY)
	@$(RUN) tests/tiers.py node

demo: $(READY)
	@$(RUN) -m testbed.demo $(if $(ONCE),--once) $(if $(CLUSTER),--cluster $(CLUSTER))

soak: $(READY)
	@$(RUN) -m pytest tests/unit -m reader --hypothesis-profile=soak --numprocesses=auto --quiet
	@$(RUN) -m simulation --seeds $(or $(SEEDS),100000) $(if $(FIRST),--first $(FIRST)) --keep .soak

chaos: $(READY)
	@$(RUN) -m chaos $(if $(PARTS),--parts "$(PARTS)") $(if $(KILLS),--kills $(KILLS)) $(if $(GRANTS),--grants $(GRANTS)) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(OUTPUT),--output $(OUTPUT)) \
		--keep .chaos --pictures $(or $(PICTURES),.benchmarks)
	$(if $(PARTS),,@$(MAKE) --no-print-directory attack)

attack: $(READY)
	@$(RUN) -m attack $(if $(ATTACKS),--attacks "$(ATTACKS)") $(if $(TENANTS),--tenants $(TENANTS)) $(if $(SIZE),--size $(SIZE)) \
		$(if $(SECONDS),--seconds $(SECONDS)) $(if $(SOURCE),--source $(SOURCE)) $(if $(OUTPUT),--output $(OUTPUT))

n8n: $(READY)
	@$(RUN) -m pytest tests/n8n -q

browser: $(READY)
	@$(RUN) -m pytest tests/browser -q

bench: $(READY)
	@$(RUN) -m benchmarks --pictures $(or $(PICTURES),.benchmarks)

scale: $(READY)
	@$(RUN) -m benchmarks.scale --pictures $(or $(PICTURES),.benchmarks) $(if $(PARTS),--parts "$(PARTS)") \
		$(if $(CREDENTIALS),--credentials $(CREDENTIALS)) $(if $(GRANTS),--grants $(GRANTS)) $(if $(OUTPUT),--output $(OUTPUT))

generate: $(READY)
	@$(RUN) -m generated --write

kubectl-plugin: $(READY)
	@$(RUN) -m distribution.kubectl_plugin $(if $(URL),--url $(URL))

lock: $(READY)
	$(COMPILE) pyproject.toml -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --group dev -c requirements/runtime.txt -o requirements/dev.txt
	$(COMPILE) --group pyproject.toml:release -o requirements/release.txt

sbom: $(RELEASE_READY)
	@$(RELEASE)/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application --output-reproducible \
		--output-format JSON --output-file sbom.json requirements/runtime.txt
	@echo "sbom.json lists the Python packages of the image, by version and hash (CycloneDX)."

scan: $(RELEASE_READY)
	@$(RELEASE)/bin/pip-audit --requirement requirements/runtime.txt --require-hashes --disable-pip --strict || { echo "make scan:" \
		"a vulnerability is known, or PyPI cannot be asked and nothing was looked up: see above." >&2; exit 1; }

clean:
	rm -rf $(VENV) .venv-newest $(RELEASE) sbom.json .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .soak .chaos .benchmarks

$(RELEASE_READY): requirements/release.txt
	@$(PYTHON) -m venv $(RELEASE)
	@$(RELEASE)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(READY): requirements/dev.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or later." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11:" \
		"install a newer Python and name it, as in: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) tests/prerequisites.py
	@echo "Installing requirements/dev.txt into $(VENV): half a minute, and only when that file changes."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@
