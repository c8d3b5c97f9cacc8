"""Generates docs/configuration.md from the settings models in `config/`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from generated.markdown import GENERATED, table
from pipedrive_operator.config.environment import ENVIRONMENT_PREFIX
from pipedrive_operator.config.settings import Settings
from pipedrive_operator.core.values.times import DURATION

Schema = Mapping[str, Any]

PATH = Path(__file__).parents[2] / "docs" / "configuration.md"

_INTRODUCTION = f"""\
# Configuration

`pipedrive-operator run --config settings.yaml` reads its settings from a YAML file. An environment variable overrides
the file: `{ENVIRONMENT_PREFIX}CONTROLLER__POLL_INTERVAL` sets `controller.pollInterval`. `__` separates the levels;
lists are JSON. An unknown name is an error, and the message suggests the closest known one. No setting holds a secret
value: a secret comes from a file, or from a Secret in the operator's namespace that a `...SecretRef` names.

`NAME` is a name that you choose. Durations use Go's notation: `90s`, `20m`, `1h30m`. In the column *default*,
**required** means that every entry called `NAME` must set the field, and **required in** *section* means that the field
must be set if that section is. An empty default means unset, or an empty list.
"""


def text() -> str:
    """Return the content of the page."""
    return f"{GENERATED}\n{_INTRODUCTION}\n{table(('setting', 'type', 'default', 'description'), setting_rows())}\n"


def setting_rows() -> list[tuple[str, str, str, str]]:
    """Return each setting with its type, its default and its description."""
    return list(rows(Settings.model_json_schema(by_alias=True, mode="serialization")))


def rows(schema: Schema) -> Iterator[tuple[str, str, str, str]]:
    """Yield one row for each leaf of a JSON schema whose sections are in `$defs`."""
    return _rows(schema, schema["$defs"], path="", optional_section=None)


def _rows(
    schema: Schema, definitions: Schema, *, path: str, optional_section: str | None
) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of a section; `optional_section` names the nearest section above them that may be left out."""
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        entries = next(iter(field.get("patternProperties", {}).values()), field.get("additionalProperties") or {})
        optional = _present(field) if "anyOf" in field else {}
        reference = field.get("$ref") or entries.get("$ref") or optional.get("$ref") or ""
        section = definitions.get(reference.rsplit("/", 1)[-1], {})
        if section.get("type") == "object":
            inside = f"{here}.NAME" if entries else here
            nearest = None if entries else name if optional else optional_section
            yield from _rows(section, definitions, path=inside, optional_section=nearest)
        else:
            yield f"`{here}`", _type(field, section), _default(field, optional_section), field.get("description", "")


def _present(field: Schema) -> Schema:
    """Return the schema of an optional field for when it is set."""
    return next((option for option in field["anyOf"] if option.get("type") != "null"), {})


def _type(field: Schema, section: Schema) -> str:
    present = _present(field) if "anyOf" in field else field
    if present.get("pattern") == DURATION:
        return "duration"
    kind = str(section.get("type") or present.get("type", "string"))
    return {"array": "list", "string": str(present.get("format", "string"))}.get(kind, kind)


def _default(field: Schema, optional_section: str | None) -> str:
    if "default" not in field:
        return "required" if optional_section is None else f"required in `{optional_section}`"
    default = field["default"]
    if default is None:
        return ""
    values = default if isinstance(default, list) else [default]
    return ", ".join(f"`{_as_yaml(value)}`" for value in values)


def _as_yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
