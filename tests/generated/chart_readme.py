"""Generates the tables of values and settings in the chart's README, between their markers."""

from collections.abc import Iterator

from generated.chart_schema import CHART_DECIDES
from generated.chart_values import CHART, values
from generated.configuration_page import setting_rows
from generated.markdown import replaced, table

PATH = CHART / "README.md"


def text() -> str:
    """Return the README with both tables up to date."""
    heads = ("value", "default", "description")
    rows = ((f"`{'.'.join(one.path)}`", f"`{one.default_for_people}`", one.description) for one in values())
    with_values = replaced(PATH.read_text(), "values", table(heads, rows))
    return replaced(with_values, "settings", table(("value", "type", "default", "description"), _settings()))


def _settings() -> Iterator[tuple[str, str, str, str]]:
    refused = {f"`kubernetes.{field}`" for field in CHART_DECIDES["KubernetesSettings"]}
    for name, *rest in setting_rows():
        if name not in refused:
            kind, default, meaning = rest
            yield f"`config.{name.strip('`')}`", kind, default, meaning
