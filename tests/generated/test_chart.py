"""The chart matches the code: its CRD, schema, README, version and settings."""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from generated import chart_crd, chart_readme, chart_schema
from generated.chart_values import CHART, Value, values
from generated.configuration_page import setting_rows
from pipedrive_operator import __version__
from pipedrive_operator.config.settings import Settings

DECIDED = (
    *(("kubernetes", name) for name in ("kubeconfig", "context", "namespaces", "operatorNamespace")),
    *(("consent", name) for name in ("enabled", "publicUrl", "operatorUrl", "address", "port", "tls")),
)
"""Settings that the chart sets itself."""


def test_the_crd_of_the_chart_is_up_to_date() -> None:
    """Run `python -m generated --write` if this fails."""
    assert chart_crd.PATH.read_text() == chart_crd.text()


def test_the_schema_of_the_chart_is_up_to_date() -> None:
    """Run `python -m generated --write` if this fails."""
    assert chart_schema.PATH.read_text() == chart_schema.text()


def test_the_readme_of_the_chart_is_up_to_date() -> None:
    """Run `python -m generated --write` if this fails."""
    assert chart_readme.PATH.read_text() == chart_readme.text()


def test_package_and_chart_have_the_same_version() -> None:
    """Package, image and chart are released together, from one commit."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert __version__ == chart["appVersion"]
    assert __version__ == chart["version"]


def test_every_value_is_documented() -> None:
    """A comment that begins with `# -- ` documents a value."""
    assert [] == [".".join(value.path) for value in values() if not value.description]


def test_comments_are_read_across_lines_and_past_commented_examples() -> None:
    """A description may span lines, and a commented example may follow its key."""
    found = {".".join(value.path): value for value in values()}

    assert found["replicas"] == Value(
        path=("replicas",),
        default=2,
        description="Number of pods: one leads and does the work, the others stand by. "
        "More than one requires `config.leaderElection.enabled`.",
    )
    assert found["config.pipedrive.apps"].description.startswith("OAuth2 clients (Pipedrive apps)")


def test_the_schema_lists_exactly_the_values() -> None:
    """Except `global` and `enabled`, which a parent chart may set."""
    schema = json.loads(chart_schema.PATH.read_text())
    given = {value.path for value in values() if value.path[0] != "config"}

    described = {path for path in leaves(schema, given) if path[0] not in {"config", "global", "enabled"}}

    assert given == described


def test_the_default_config_equals_the_default_settings() -> None:
    """Installing the chart without values must not change a default of the operator."""
    config = yaml.safe_load((CHART / "values.yaml").read_text())["config"]

    assert Settings() == Settings.model_validate(config)


def test_every_setting_is_a_value_unless_the_chart_sets_it() -> None:
    """`python -m generated --write` adds a new setting to the values."""
    schema = json.loads(chart_schema.PATH.read_text())
    settings = {name.strip("`") for name, *_ in setting_rows()}

    offered = {".".join(path) for path in settings_of(schema["properties"]["config"], schema["definitions"], ())}

    decided = tuple(f"{section}.{name}" for section, name in DECIDED)
    assert {name for name in settings if not name.startswith(decided)} == offered


def leaves(
    schema: dict[str, Any], given: set[tuple[str, ...]], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield the values in a schema. An object that is documented as a whole counts as one value."""
    if "properties" not in schema or path in given:
        yield path
        return
    for name, inner in schema["properties"].items():
        yield from leaves(inner, given, (*path, name))


def settings_of(
    schema: dict[str, Any], definitions: dict[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Yield the settings in a schema, with NAME in place of names that the user chooses."""
    for name, field in schema["properties"].items():
        entries: dict[str, Any] = next(iter(field.get("patternProperties", {}).values()), {})
        options: list[dict[str, Any]] = [field, entries, *field.get("anyOf", ())]
        reference = next((one["$ref"] for one in options if "$ref" in one), "")
        section = definitions.get(reference.rsplit("/", 1)[-1], {})
        here = (*path, name, "NAME") if entries else (*path, name)
        if "properties" in section:
            yield from settings_of(section, definitions, here)
        else:
            yield here
