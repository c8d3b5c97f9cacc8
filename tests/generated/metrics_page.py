"""Generates docs/metrics.md from `metrics.py`."""

from pathlib import Path

from generated.markdown import GENERATED, table
from pipedrive_operator.metrics import DEFINITIONS

PATH = Path(__file__).parents[2] / "docs" / "metrics.md"

_INTRODUCTION = """\
# Metrics

The operator serves its metrics at `GET /metrics` on the port `http.port`, in Prometheus' text format. Times are Unix
timestamps in seconds: the time left is `... - time()`. Only the leader exports series about credentials, and it drops
the series of a credential that was deleted.

The label `namespace` is the credential's namespace. Set `honorLabels: true` in the ServiceMonitor (`honor_labels` in a
scrape configuration); otherwise Prometheus renames the label to `exported_namespace`.

The [alerts](../charts/pipedrive-operator/rules/alerts.yaml), each with a [runbook](runbooks/README.md), and the
[dashboard](../charts/pipedrive-operator/dashboards/pipedrive-operator.json) are built on these metrics.
"""


def text() -> str:
    """Return the content of the page."""
    rows = (
        (f"`{one.name}`", one.type, ", ".join(f"`{label}`" for label in one.labels), one.help) for one in DEFINITIONS
    )
    return f"{GENERATED}\n{_INTRODUCTION}\n{table(('metric', 'type', 'labels', 'description'), rows)}\n"
