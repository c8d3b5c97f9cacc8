"""Reads the queries in the chart's rules and dashboard, and the metrics and labels that they name.

promtool checks whether a query is valid.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path(__file__).parents[2] / "charts" / "pipedrive-operator"
RULES: Final = CHART / "rules" / "alerts.yaml"
DASHBOARD: Final = CHART / "dashboards" / "pipedrive-operator.json"
_METRIC: Final = re.compile(r"\b(pipedrive_operator_\w+)(?:\s*\{([^}]*)\})?")
_GROUPING: Final = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_MATCHER: Final = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
OF_THE_TARGET: Final = frozenset({"instance", "job", "pod", "namespace", "le"})
"""Labels that Prometheus adds, and that of a histogram's buckets."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query, and where it comes from."""

    place: str
    text: str

    @property
    def metrics(self) -> dict[str, set[str]]:
        """The metrics in the query, each with the labels that select its series."""
        found: dict[str, set[str]] = {}
        for name, matchers in _METRIC.findall(self.text):
            found.setdefault(name, set()).update(_MATCHER.findall(matchers))
        return found

    @property
    def groupings(self) -> set[str]:
        """The labels by which the query groups or joins."""
        return {
            label.strip() for labels in _GROUPING.findall(self.text) for label in labels.split(",") if label.strip()
        }


def rules() -> list[dict[str, Any]]:
    """Return the rules of the chart."""
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Return the dashboard of the chart."""
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def queries() -> list[Query]:
    """Return every query of the rules and the dashboard, with Grafana's variables replaced as Grafana does."""
    of_rules = [Query(rule["alert"], rule["expr"]) for rule in rules()]
    return [*of_rules, *_of_dashboard(dashboard())]


def _of_dashboard(board: dict[str, Any]) -> Iterator[Query]:
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield Query(f"panel {panel['title']}", _filled(target["expr"]))
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            (selector,) = re.findall(r"label_values\((.*), \w+\)", variable["query"]["query"])
            yield Query(f"variable {variable['name']}", _filled(selector))


def _filled(text: str) -> str:
    return text.replace("$__rate_interval", "5m").replace("$namespace", ".*")
