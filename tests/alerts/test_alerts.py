"""The alerts and the dashboard, checked by Prometheus' own tool and against the defined metrics."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pipedrive_operator.core.publication.rollout import Result
from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.metrics import DEFINITIONS, Definition
from support import promql
from support.promql import Query
from testbed.prometheus import promtool

HERE = Path(__file__).parent
RULES_TEST = HERE / "rules.test.yaml"
RUNBOOKS = HERE.parents[1] / "docs" / "runbooks"
SEVERITIES = {"critical", "warning", "info"}
DEFINED = {one.name: one for one in DEFINITIONS}
ALERTS = [rule["alert"] for rule in promql.rules()]


def judged(*arguments: str | Path) -> None:
    """Run promtool on files."""
    done = subprocess.run((promtool(), *arguments), capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout + done.stderr


def defined(name: str) -> Definition | None:
    """Return the definition of a metric, or of the histogram that a series belongs to."""
    return DEFINED.get(name) or DEFINED.get(re.sub(r"_(bucket|count|sum)$", "", name))


def test_prometheus_accepts_the_rules() -> None:
    """They are tested as they are in the chart."""
    judged("check", "rules", promql.RULES)


def test_each_alert_fires_when_it_should_and_not_before() -> None:
    """Its labels and its text are compared, on recorded series."""
    judged("test", "rules", RULES_TEST)


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    """Otherwise it might always fire, or never."""
    checks = [check for case in yaml.safe_load(RULES_TEST.read_text())["tests"] for check in case["alert_rule_test"]]

    assert set(ALERTS) == {check["alertname"] for check in checks if check["exp_alerts"]}
    assert set(ALERTS) == {check["alertname"] for check in checks if not check["exp_alerts"]}


@pytest.mark.parametrize("rule", promql.rules(), ids=lambda rule: rule["alert"])
def test_each_alert_states_its_severity_and_names_its_runbook(rule: dict[str, object]) -> None:
    """The runbook exists and is about this alert."""
    labels, annotations = rule["labels"], rule["annotations"]
    assert isinstance(labels, dict)
    assert isinstance(annotations, dict)

    assert labels["severity"] in SEVERITIES
    assert {"summary", "description", "runbook_url"} == set(annotations)
    assert f"docs/runbooks/{rule['alert']}.md" == annotations["runbook_url"]
    page = (RUNBOOKS / f"{rule['alert']}.md").read_text()
    assert page.startswith(f"# {rule['alert']}\n")
    assert ["## Meaning", "## Impact", "## Diagnosis", "## Resolution"] == re.findall(r"^## .*$", page, re.MULTILINE)
    assert "```console\n" in page


def test_the_index_lists_each_runbook_once() -> None:
    """It is in the order of the rules, and each page belongs to an alert."""
    index = re.findall(r"^\| \[`(\w+)`\]\((\w+)\.md\) \|", (RUNBOOKS / "README.md").read_text(), re.MULTILINE)

    assert [(alert, alert) for alert in ALERTS] == index
    assert {*ALERTS, "README"} == {page.stem for page in RUNBOOKS.glob("*.md")}


@pytest.mark.parametrize("query", promql.queries(), ids=lambda query: query.place)
def test_each_query_names_metrics_and_labels_that_exist(query: Query) -> None:
    """A query about a metric that is not exported is empty, and an empty query never fires."""
    assert query.metrics
    known = {label for name in query.metrics if (found := defined(name)) for label in found.labels}
    for name, labels in query.metrics.items():
        found = defined(name)
        assert found is not None, name
        assert labels <= {*found.labels, *promql.OF_THE_TARGET}
    assert query.groupings <= {*known, *promql.OF_THE_TARGET}


def test_each_reason_and_outcome_that_a_query_selects_exists() -> None:
    """A misspelt one selects nothing."""
    known = {*Reason, *ConsentReason, *Result, "fresh", "refused", "unavailable", "unstored", "defect"}
    selected = {
        value
        for query in promql.queries()
        for values in re.findall(r'(?:reason|outcome)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', query.text)
        for value in values.split("|")
    }

    assert selected
    assert selected <= known


def test_prometheus_accepts_each_query_of_the_dashboard(tmp_path: Path) -> None:
    """The queries are wrapped in recording rules, because promtool checks no single query."""
    recorded = [{"record": f"query:{number}", "expr": one.text} for number, one in enumerate(promql.queries())]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": recorded}]}))

    judged("check", "rules", path)


def test_each_metric_about_a_credential_is_used() -> None:
    """A metric that neither the dashboard nor an alert reads need not be exported."""
    named = {name for query in promql.queries() for name in query.metrics}

    assert set() == {name for name in DEFINED if name not in named and f"{name}_bucket" not in named}


def test_the_dashboard_uses_the_selected_data_source() -> None:
    """It names no data source of one particular Grafana."""
    board = promql.dashboard()
    sources = {panel["datasource"]["uid"] for panel in board["panels"] if panel["type"] != "row"}

    assert {"${datasource}"} == sources
    assert ["datasource", "namespace"] == [variable["name"] for variable in board["templating"]["list"]]
    assert len(board["panels"]) == len({panel["id"] for panel in board["panels"]})
    assert json.dumps(board, indent=2) + "\n" == promql.DASHBOARD.read_text()
