"""From pydantic's JSON schema to a structural schema of Kubernetes. It knows no field of the resource.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pipedrive_operator.core.resource.shapes import SENTENCE
from pipedrive_operator.crd.cel import Rule, keys_match, matches

Schema = Mapping[str, Any]
Rules = Mapping[str, Sequence[Rule]]

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


def structural(document: Schema, *, path: str, rules: Rules) -> dict[str, Any]:
    """Convert a JSON schema, adding to each field the rules that are listed under its path.

    Raises:
        ValueError: the schema says something that would be lost.
    """
    return _convert(_inlined(document, document.get("$defs", {})), path, rules)


def _inlined(node: Any, definitions: Schema) -> Any:  # noqa: ANN401  any JSON
    """Replace references by what they name, and "this or null" by this: null is for what is absent."""
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


def _convert(schema: Schema, path: str, rules: Rules) -> dict[str, Any]:
    _refuse_unknown(schema, path)
    said = {**schema, **dict(_said_otherwise(schema))}
    validations = [rule.manifest() for rule in (*_shape_rules(schema), *rules.get(path, ()))]
    return {
        **{keyword: said[keyword] for keyword in _KEPT if said.get(keyword) is not None},
        **_convert_inner(schema, path, rules),
        **({"x-kubernetes-validations": validations} if validations else {}),
    }


def _said_otherwise(schema: Schema) -> Iterator[tuple[str, Any]]:
    if "description" in schema:
        yield "description", " ".join(schema["description"].split())
    if "const" in schema:
        yield "enum", [schema["const"]]
    if schema.get("type") == "integer":
        yield "format", "int64"
    if SENTENCE in schema:
        yield "pattern", None


def _convert_inner(schema: Schema, path: str, rules: Rules) -> dict[str, Any]:
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


def _shape_rules(schema: Schema) -> list[Rule]:
    """Turn a pattern with a sentence into a rule: the message about a pattern is the pattern.

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


def _refuse_unknown(schema: Schema, path: str) -> None:
    unknown = schema.keys() - {*_KEPT, *_TRANSLATED, *_DROPPED}
    if unknown:
        message = f"{path}: no structural schema is known for {', '.join(sorted(unknown))}"
        raise ValueError(message)
