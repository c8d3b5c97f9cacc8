"""Writes the page of metrics from `metrics.py`."""

from pathlib import Path

from generated.markdown import GENERATED, table
from pipedrive_operator.metrics import DEFINITIONS

PATH = Path(__file__).parents[2] / "docs" / "metrics.md"

_INTRODUCTION = """\
# Metrics

`GET /metrics` on the port `http.port`, in Prometheus' text format. Times are absolute, in seconds since the epoch: what
is left is `... - time()`. A series about a credential is there while the credential is, and in the replica that leads.
Have Prometheus keep the label `namespace`, which is the credential's, with `honorLabels: true` in the ServiceMonitor
(`honor_labels` in a scrape configuration); it is renamed to `exported_namespace` otherwise.

The alerts in `charts/pipedrive-operator/rules/alerts.yaml` are made of these, each with a
[runbook](runbooks/README.md), and so is the dashboard in `charts/pipedrive-operator/dashboards/`.
"""


def text() -> str:
    """Return what the page has to hold."""
    rows = (
        (f"`{one.name}`", one.type, ", ".join(f"`{label}`" for label in one.labels), one.meaning) for one in DEFINITIONS
    )
    return f"{GENERATED}\n{_INTRODUCTION}\n{table(('metric', 'type', 'labels', 'what it is'), rows)}\n"
