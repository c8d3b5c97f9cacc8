"""The error about unusable settings, and the sentence for each mistake that validation finds.

A sentence says what a setting must be, which follows from the schema of the settings. The validation library's own
messages are about Python, so none of them is shown; nor is a value, which could be a secret in the wrong place.
"""

import difflib
from collections.abc import Mapping
from datetime import date
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from pydantic_core import ErrorDetails

from pipedrive_operator.config.settings import Settings
from pipedrive_operator.core.resource.shapes import SENTENCE

JsonSchema = Mapping[str, Any]
Location = tuple[int | str, ...]

_OF_A_KEY: Final = "[key]"
"""The last part of pydantic's location of a wrong name in a map."""
_KINDS: Final[Mapping[type, str]] = MappingProxyType(
    {
        type(None): "empty",
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a section",
        date: "a date",
    }
)
"""The types of YAML's values, in words."""
_REQUIREMENTS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "uri": ("text", "must be an address that starts with http:// or https://"),
        "path": ("text", "must be the path of a file"),
        "string": ("text", "must be text"),
        "boolean": ("true or false", "must be true or false"),
        "integer": ("a number", "must be a whole number"),
        "number": ("a number", "must be a number"),
        "array": ("a list", "must be a list"),
        "object": ("a section", "must be a section with its settings below it"),
    }
)
"""By format or type in the JSON schema: the kind of value that is expected, and the sentence."""
_ADVICE_FOR_TEXT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "empty": "",
        "a list": ": write one value, without brackets or a dash",
        "a section": ": write one value, without names below it",
    }
)
"""What to do with what is no text where a text is expected."""


class SettingsError(Exception):
    """The settings cannot be used. The message names each setting that is wrong, and what it must be."""


def kind_of(value: object) -> str:
    """Return what kind of YAML value this is, in words."""
    kinds = (words for type_, words in _KINDS.items() if isinstance(value, type_))
    return next(kinds, "a value of another kind")


def explain(detail: ErrorDetails) -> str:
    """Return which setting is wrong, and what it must be."""
    setting = written(detail["loc"])
    return f"{setting}: {_mistake(detail)}" if setting else _mistake(detail)


def written(location: Location) -> str:
    """Return the location of a setting as people write it: a.b[0].c."""
    parts = location[:-2] if location[-1:] == (_OF_A_KEY,) else location
    return "".join(f"[{part}]" if isinstance(part, int) else f".{_printable(part)}" for part in parts).lstrip(".")


def _mistake(detail: ErrorDetails) -> str:
    location = detail["loc"]
    match detail["type"]:
        case "value_error":
            return str(detail["ctx"]["error"])
        case "extra_forbidden":
            return _unknown(str(location[-1]), _schema_at(location[:-1]))
        case "missing":
            return f"is required. {_schema_at(location)['description']}"
        case _ if location[-1:] == (_OF_A_KEY,):
            return f"the name {_printable(location[-2])} {_schema_at(location[:-2])['propertyNames'][SENTENCE]}"
        case _:
            return _requirement(_schema_at(location), detail["input"])


def _unknown(name: str, schema: JsonSchema) -> str:
    closest = difflib.get_close_matches(name, schema["properties"], n=1)
    return "no such setting" + (f"; did you mean {closest[0]}?" if closest else "")


def _requirement(schema: JsonSchema, value: object) -> str:
    """Return what a value must be and, if it is of another kind, of which kind it is."""
    expected, sentence = _REQUIREMENTS[schema.get("format", schema["type"])]
    sentence = schema.get(SENTENCE) or _choice(schema) or f"{sentence}{_bounds(schema)}"
    if (kind := kind_of(value)) == expected:
        return sentence
    return f"{sentence}; it is {kind}" + (
        _ADVICE_FOR_TEXT.get(kind, ": put it in quotes") if expected == "text" else ""
    )


def _choice(schema: JsonSchema) -> str | None:
    return f"must be {', '.join(schema['enum'][:-1])} or {schema['enum'][-1]}" if "enum" in schema else None


def _bounds(schema: JsonSchema) -> str:
    match schema:
        case {"format": _}:
            return ""
        case {"minimum": least, "maximum": most}:
            return f" from {least} to {most}"
        case {"exclusiveMinimum": limit}:
            return f" above {limit}"
        case {"type": "string", "minLength": least}:
            return f" of {least} to {schema['maxLength']} characters" if "maxLength" in schema else " that is not empty"
        case {"type": "array"}:
            return f"{' with at least one entry' if 'minItems' in schema else ''}, such as [a, b]"
        case _:
            return ""


def _schema_at(location: Location) -> JsonSchema:
    """Return the JSON schema of the setting at a location, without references."""
    root = _schema()
    node = root
    for part in location:
        node = _resolved(_child(node, part), root["$defs"])
    return node


@cache
def _schema() -> JsonSchema:
    return Settings.model_json_schema(by_alias=True)


def _child(node: JsonSchema, part: int | str) -> JsonSchema:
    if isinstance(part, int):
        return node["items"]  # type: ignore[no-any-return]  # JSON
    if part in node.get("properties", {}):
        return node["properties"][part]  # type: ignore[no-any-return]  # JSON
    (entries,) = node["patternProperties"].values()
    return entries  # type: ignore[no-any-return]  # JSON


def _resolved(node: JsonSchema, definitions: JsonSchema) -> JsonSchema:
    """Return what a field must be if it is present; its own description wins over that of its type."""
    present = next((option for option in node.get("anyOf", ()) if option.get("type") != "null"), node)
    target = definitions[present["$ref"].removeprefix("#/$defs/")] if "$ref" in present else present
    return {**target, "description": node.get("description", "")}


def _printable(part: object) -> str:
    return str(part) if str(part).isprintable() else repr(part)
