"""Generates docs/configuration.md from the types of the settings."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from generated.markdown import GENERATED, table
from pipedrive_operator.config.loading import ENVIRONMENT_PREFIX
from pipedrive_operator.config.settings import Settings
from pipedrive_operator.core.values.times import DURATION

PATH = Path(__file__).parents[2] / "docs" / "configuration.md"

_INTRODUCTION = f"""\
# Configuration

`pipedrive-operator run --config settings.yaml` reads its settings from a YAML file. Environment variables take
precedence over the file: `controller.pollInterval` is `{ENVIRONMENT_PREFIX}CONTROLLER__POLL_INTERVAL`, with
`__` between the levels; lists are written as JSON. An unknown name is refused, and the message suggests the closest
valid one. No secret is a setting: secrets are in files, or in Secrets of the operator's namespace that a
`...SecretRef` names.

`NAME` stands for a name that you choose. Durations are written as in Go: `90s`, `20m`, `1h30m`. A required setting must
be set if its section is used.
"""


def text() -> str:
    """Return the text of the page."""
    return f"{GENERATED}\n{_INTRODUCTION}\n{table(('setting', 'type', 'default', 'description'), setting_rows())}\n"


def setting_rows() -> list[tuple[str, str, str, str]]:
    """Return each setting with its type, its default and its description."""
    schema = Settings.model_json_schema(by_alias=True, mode="serialization")
    return list(_rows(schema, schema["$defs"], ""))


def _rows(schema: dict[str, Any], definitions: dict[str, Any], path: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        entries = next(iter(field.get("patternProperties", {}).values()), field.get("additionalProperties") or {})
        reference = field.get("$ref") or entries.get("$ref") or _optional(field).get("$ref") or ""
        section = definitions.get(reference.rsplit("/", 1)[-1], {})
        if section.get("type") == "object":
            yield from _rows(section, definitions, f"{here}.NAME" if entries else here)
        else:
            yield f"`{here}`", _type(field, section), _default(field), field.get("description", "")


def _optional(field: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of an optional field without its null."""
    return next((option for option in field.get("anyOf", ()) if option.get("type") != "null"), {})


def _type(field: dict[str, Any], section: dict[str, Any]) -> str:
    options = [option for option in field.get("anyOf", [field]) if option.get("type") != "null"]
    kind = str(section.get("type") or options[0].get("type", "string"))
    if options[0].get("pattern") == DURATION:
        return "duration"
    return {"array": "list", "string": str(options[0].get("format", "string"))}.get(kind, kind)


def _default(field: dict[str, Any]) -> str:
    if "default" not in field:
        return "required"
    default = field["default"]
    if default is None:
        return ""
    values = default if isinstance(default, list) else [default]
    return ", ".join(f"`{value}`" for value in values)
