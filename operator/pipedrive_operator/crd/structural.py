"""Converts pydantic's JSON schema to a structural schema of Kubernetes. It knows no field of the resource.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pipedrive_operator.core.resource.shapes import SENTENCE
from pipedrive_operator.crd.cel import Rule, keys_match, matches

JsonSchema = Mapping[str, Any]
RulesByPath = Mapping[str, Sequence[Rule]]

_KEPT: Final = (
    "description",
    "type",
    "format",
    "enum",
    "pattern",
    "minimum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
)
_TRANSLATED: Final = ("const", "items", "properties", "patternProperties", "propertyNames", SENTENCE)
_DROPPED: Final = ("$defs", "default", "title")


def structural(document: JsonSchema, *, path: str, rules: RulesByPath) -> dict[str, Any]:
    """Convert a JSON schema, and add to each field the rules that are listed under its path.

    Raises:
        ValueError: the schema has a keyword that the conversion would lose.
    """
    return _convert(_inlined(document, document.get("$defs", {})), path, rules)


def _inlined(node: Any, definitions: JsonSchema) -> Any:  # noqa: ANN401  any JSON
    """Replace references by their targets, and "this or null" by this: an absent field is left out, not null."""
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, Mapping):
        return node
    rest = {key: value for key, value in node.items() if key not in {"$ref", "anyOf", "$defs"}}
    if "$ref" in node:
        return _inlined({**definitions[node["$ref"].removeprefix("#/$defs/")], **rest}, definitions)
    if "anyOf" in node:
        (option,) = (option for option in node["anyOf"] if option != {"type": "null"})
        return _inlined({**option, **rest}, definitions)
    return {key: _inlined(value, definitions) for key, value in rest.items()}


def _convert(schema: JsonSchema, path: str, rules: RulesByPath) -> dict[str, Any]:
    _refuse_unknown(schema, path)
    translated = {**schema, **dict(_translate(schema))}
    validations = [rule.manifest() for rule in (*_shape_rules(schema), *rules.get(path, ()))]
    return {
        **{keyword: translated[keyword] for keyword in _KEPT if translated.get(keyword) is not None},
        **_convert_inner(schema, path, rules),
        **({"x-kubernetes-validations": validations} if validations else {}),
    }


def _translate(schema: JsonSchema) -> Iterator[tuple[str, Any]]:
    if "description" in schema:
        yield "description", " ".join(schema["description"].split())
    if "const" in schema:
        yield "enum", [schema["const"]]
    if schema.get("type") == "integer":
        yield "format", "int64"
    if SENTENCE in schema:
        yield "pattern", None


def _convert_inner(schema: JsonSchema, path: str, rules: RulesByPath) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    if "items" in schema:
        inner["items"] = _convert(schema["items"], f"{path}[]", rules)
    if "patternProperties" in schema:
        (values,) = schema["patternProperties"].values()
        inner["additionalProperties"] = _convert(values, f"{path}.*", rules)
    if "properties" in schema:
        fields = schema["properties"].items()
        inner["properties"] = {name: _convert(field, f"{path}.{name}", rules) for name, field in fields}
    return inner


def _shape_rules(schema: JsonSchema) -> list[Rule]:
    """Turn a pattern that has a sentence into a rule, because the API server's message about a pattern is the pattern.

    A structural schema has no patterns for keys at all.
    """
    if SENTENCE in schema:
        return [Rule(rule=matches(schema["pattern"]), message=schema[SENTENCE])]
    if "patternProperties" in schema:
        (pattern,) = schema["patternProperties"]
        names = schema["propertyNames"]
        rule = keys_match(pattern, at_most=names["maxLength"])
        return [Rule(rule=rule, message=f"each key {names[SENTENCE]}")]
    return []


def _refuse_unknown(schema: JsonSchema, path: str) -> None:
    unknown = schema.keys() - {*_KEPT, *_TRANSLATED, *_DROPPED}
    if unknown:
        message = f"{path}: cannot be converted to a structural schema: {', '.join(sorted(unknown))}"
        raise ValueError(message)
