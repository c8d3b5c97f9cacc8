"""Generates docs/api.md, the reference of the resource's fields, from the CustomResourceDefinition."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from generated.markdown import GENERATED, table
from pipedrive_operator.crd import custom_resource_definition

Schema = Mapping[str, Any]

PATH = Path(__file__).parents[2] / "docs" / "api.md"


def text() -> str:
    """Return the content of the page."""
    return reference(custom_resource_definition()["spec"])


def reference(definition: Schema) -> str:
    """Return the reference page of one resource."""
    version = definition["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    names = definition["names"]
    apply_as = f"`apiVersion: {definition['group']}/{version['name']}`, `kind: {names['kind']}`, namespaced"
    short = names["shortNames"][0]
    return "\n".join(
        (
            GENERATED,
            f"# {names['kind']}",
            "",
            f"{apply_as}. `kubectl get {short}` lists them; `kubectl explain {short}.spec` shows this reference.",
            "",
            schema["description"],
            *_rules(schema),
            *(line for name in ("spec", "status") for line in _section(name, schema["properties"][name])),
            "",
        )
    )


def _section(path: str, schema: Schema) -> Iterator[str]:
    """Yield the section of an object, then those of the objects nested in it."""
    required = schema.get("required", ())
    rows = [_row(path, name, field, required=name in required) for name, field in schema["properties"].items()]
    yield from ("", f"## {path}", "", schema["description"], "", table(("Field", "Type", "Meaning"), rows))
    yield from _rules(schema)
    for name, field in schema["properties"].items():
        inner = field.get("items", field)
        if "properties" in inner:
            yield from _section(f"{path}.{name}{'[]' if 'items' in field else ''}", inner)


def _row(path: str, name: str, schema: Schema, *, required: bool) -> tuple[str, str, str]:
    inner = schema.get("items") or schema.get("additionalProperties") or {}
    sentences = [schema["description"], *_bounds(schema), *_messages(schema)]
    sentences += [f"Each value: {sentence}" for sentence in (*_bounds(inner), *_messages(inner))]
    kind = _type(schema)
    if "properties" in schema or "properties" in inner:
        target = f"{path}.{name}{'[]' if inner else ''}"
        kind = f"[{kind}](#{target.lower().replace('.', '').removesuffix('[]')})"
        sentences = sentences[:1]
    return f"`{name}`", f"{kind}, required" if required else kind, " ".join(map(_sentence, sentences))


def _type(schema: Schema) -> str:
    if "items" in schema:
        return f"list of {_type(schema['items'])}s"
    if "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}s"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    return "time" if schema.get("format") == "date-time" else str(schema["type"])


def _bounds(schema: Schema) -> Iterator[str]:
    """Yield the limits that a user can hit."""
    if schema.get("format") == "date-time":
        return
    for keyword, sentence in (
        ("maxLength", "at most {} characters"),
        ("maxItems", "at most {} items"),
        ("minProperties", "at least {} key"),
        ("maxProperties", "at most {} keys"),
        ("minimum", "at least {}"),
    ):
        if keyword in schema:
            yield sentence.format(schema[keyword])


def _messages(schema: Schema) -> list[str]:
    return [rule["message"] for rule in schema.get("x-kubernetes-validations", ())]


def _rules(schema: Schema) -> Iterator[str]:
    if messages := _messages(schema):
        yield from ("", "Rules:", "", *(f"- {_sentence(message)}" for message in messages))


def _sentence(text: str) -> str:
    """Return the text as a sentence. A field name at its start keeps its spelling."""
    first, _, _ = text.partition(" ")
    begin = text[0].upper() if first.isalpha() and first.islower() else text[0]
    return f"{begin}{text[1:].removesuffix('.')}."
