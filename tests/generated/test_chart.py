"""The chart is in step with the code: its CRD, its schema, its README, its version, and the settings it can hold."""

import json
from collections.abc import Iterator
from typing import Any

import yaml

from generated import chart_crd, chart_readme, chart_schema
from generated.chart_values import CHART, Value, values
from generated.configuration_page import setting_rows
from pipedrive_operator import __version__
from pipedrive_operator.config.settings import Settings


def test_the_charts_crd_is_the_canonical_one() -> None:
    """`python -m generated --write` mends it."""
    assert chart_crd.PATH.read_text() == chart_crd.text()


def test_the_charts_schema_is_what_the_settings_and_the_values_say() -> None:
    """`python -m generated --write` mends it."""
    assert chart_schema.PATH.read_text() == chart_schema.text()


def test_the_charts_readme_is_what_the_values_say() -> None:
    """`python -m generated --write` mends it."""
    assert chart_readme.PATH.read_text() == chart_readme.text()


def test_the_chart_installs_the_version_that_it_belongs_to() -> None:
    """A release is one commit: package, image and chart."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert __version__ == chart["appVersion"]
    assert __version__ == chart["version"]


def test_every_value_is_explained() -> None:
    """By a comment that begins with `# -- `."""
    assert [] == [".".join(value.path) for value in values() if not value.description]


def test_comments_are_read_as_they_stand() -> None:
    """Over several lines, and past an example that is commented out."""
    found = {".".join(value.path): value for value in values()}

    assert found["replicas"] == Value(
        path=("replicas",),
        default=2,
        description="How many pods: one works, the others watch and stand by. "
        "More than one needs `config.leaderElection.enabled`.",
    )
    assert found["config.pipedrive.apps"].description.startswith("OAuth2 clients (Pipedrive apps)")


def test_the_schema_has_every_value_and_no_other() -> None:
    """But for what a chart around this one adds."""
    schema = json.loads(chart_schema.PATH.read_text())
    given = {value.path for value in values() if value.path[0] != "config"}

    described = {path for path in leaves(schema, given) if path[0] not in {"config", "global", "enabled"}}

    assert given == described


def test_the_values_config_is_made_of_settings() -> None:
    """What values.yaml sets is what the operator does without it."""
    config = yaml.safe_load((CHART / "values.yaml").read_text())["config"]

    assert Settings() == Settings.model_validate(config)


def test_every_setting_can_be_a_value_but_those_that_the_chart_decides() -> None:
    """A setting that is new is a value after `python -m generated --write`."""
    schema = json.loads(chart_schema.PATH.read_text())
    settings = {name.strip("`") for name, *_ in setting_rows()}

    offered = {".".join(path) for path in settings_of(schema["properties"]["config"], schema["definitions"], ())}

    decided = {f"kubernetes.{name}" for name in ("kubeconfig", "context", "namespaces", "operatorNamespace")}
    assert settings - decided == offered


def leaves(
    schema: dict[str, Any], given: set[tuple[str, ...]], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield the values that a schema has; what is explained as a whole is one value."""
    if "properties" not in schema or path in given:
        yield path
        return
    for name, inner in schema["properties"].items():
        yield from leaves(inner, given, (*path, name))


def settings_of(
    schema: dict[str, Any], definitions: dict[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[str, ...]]:
    """Yield the settings that a schema has, with NAME for a name of one's own."""
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
