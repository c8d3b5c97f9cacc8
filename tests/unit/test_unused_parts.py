"""The operator's process loads only what it uses: this keeps it small, and its start short."""

import ast
import json
import subprocess
import sys
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.scale.starts import IMPORTS

START = """
import json, sys
from pipedrive_operator.unused_parts import leave_out_unused_parts
leave_out_unused_parts()
import pipedrive_operator.commands, pipedrive_operator.wiring
from pipedrive_operator.config.loading import load_settings
load_settings(None)
print(json.dumps([name for name, module in sys.modules.items() if module is not None]))
"""
LARGE = {
    "charset_normalizer": "requests, for responses that it does not get here",
    "jinja2": "the consent front",
    "kubernetes.client": "the synchronous client",
    "kubernetes.config": "the synchronous client",
    "oauthlib": "the synchronous client",
    "pydantic_settings": "environment variables that are settings",
    "rich": "structlog, for tracebacks on a terminal",
    "websocket": "the synchronous client",
}


@pytest.fixture(scope="module")
def loaded() -> frozenset[str]:
    """Return the modules that are loaded when the operator is about to run."""
    run = subprocess.run([sys.executable, "-W", "error", "-c", START], capture_output=True, text=True, check=True)
    return frozenset(json.loads(run.stdout))


@pytest.mark.parametrize("name", LARGE)
def test_the_operator_starts_without_what_it_may_never_use(loaded: frozenset[str], name: str) -> None:
    """Each of them takes a half to seven MiB."""
    assert name not in loaded, f"only {LARGE[name]} needs it"


def test_the_operator_starts_with_what_does_its_work(loaded: frozenset[str]) -> None:
    """If these were missing, the test above would prove nothing; and an escrow must not wait for an import."""
    assert {"kopf", "kubernetes.aio.client.api_client", "httpx", "hvac.api", "authlib.oauth2.auth"} <= loaded
    assert "cryptography.hazmat.primitives.ciphers.aead" in loaded


def test_the_floor_of_the_benchmark_imports_the_same_packages(loaded: frozenset[str]) -> None:
    """Otherwise the operator would be compared with something smaller or larger than its libraries."""
    code = IMPORTS.replace(
        "signal.pause()", "import json, sys; print(json.dumps([name for name, one in sys.modules.items() if one]))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    floor = json.loads(run.stdout.splitlines()[-1])

    assert _packages(loaded) - {"pipedrive_operator"} == _packages(floor) - {"pipedrive_operator"}


def _packages(modules: Collection[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)


def package(name: str) -> Path:
    """Return the folder of an installed package."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def test_the_package_of_the_kubernetes_clients_does_nothing_but_import_them() -> None:
    """The operator skips this module, so it must not do anything else."""
    statements = ast.parse((package("kubernetes") / "__init__.py").read_text()).body
    names = [
        target.id
        for one in statements
        if isinstance(one, ast.Assign)
        for target in one.targets
        if isinstance(target, ast.Name)
    ]

    assert all(isinstance(one, ast.ImportFrom | ast.Assign) for one in statements)
    assert {"__project__", "__version__"} == set(names)


def imported_by(path: Path) -> list[str]:
    """Return the modules that a file imports, wherever in the file."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]


def test_the_asynchronous_kubernetes_client_never_imports_the_synchronous_one() -> None:
    """Not even in a function that runs later, for instance to run an exec plugin."""
    files = [path for path in (package("kubernetes") / "aio").rglob("*.py") if "models" not in path.parts]
    ours = {name for path in files for name in imported_by(path) if name.partition(".")[0] == "kubernetes"}

    assert len(files) > 50
    assert {"kubernetes.aio.client"} <= ours
    assert [] == [name for name in sorted(ours) if not name.startswith("kubernetes.aio")]
