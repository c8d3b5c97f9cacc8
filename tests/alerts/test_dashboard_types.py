"""The dashboard has the fields, options and queries that Grafana's own types allow. No Grafana runs here."""

import json
import re
from typing import Any

import pytest

from support import promql
from testbed.grafana_types import NEWEST, OLDEST, Package, complaints, missing_programs
from testbed.node.machine import is_ci

MISSING = missing_programs()

pytestmark = [
    pytest.mark.skipif(bool(MISSING) and not is_ci(), reason=f"needs {' and '.join(MISSING)}"),
    pytest.mark.parametrize("grafana", [OLDEST, NEWEST], ids=lambda one: one.version),
]


def test_the_dashboard_fits_the_types_of_grafana(grafana: Package) -> None:
    """Grafana ignores a misspelt option without a word."""
    assert complaints(promql.DASHBOARD.read_text(), grafana) == ""


def test_each_mistake_in_a_dashboard_is_found(grafana: Package) -> None:
    """A misspelt option, the option of another panel, a misspelt field of a query, and a text instead of a number."""
    board = promql.dashboard()
    stat, table, series = (one_panel(board["panels"], kind) for kind in ("stat", "table", "timeseries"))
    stat["options"]["colourMode"] = stat["options"].pop("colorMode")
    table["options"]["graphMode"] = "area"
    series["targets"][0]["legend"] = series["targets"][0].pop("legendFormat")
    board["templating"]["list"][1]["refresh"] = "2"
    lines = json.dumps(board, indent=2).splitlines()

    found = complaints("\n".join(lines), grafana)

    numbers = re.findall(r"^dashboard\.ts\((\d+),", found, re.MULTILINE)
    mistakes = {'"colourMode": "background"', '"graphMode": "area"', '"legend": "{{reason}}"', '"refresh": "2",'}
    assert mistakes == {lines[int(number) - 1].strip() for number in numbers}, found


def one_panel(panels: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the first panel of a kind."""
    return next(panel for panel in panels if panel["type"] == kind)
