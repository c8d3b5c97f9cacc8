"""How the served CRD compares with the one that the operator needs."""

from typing import Any

import pytest

from pipedrive_operator.adapters.kubernetes.crd_version import SchemaState, judge, missing_fields
from pipedrive_operator.crd import resource_schema

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "properties": {
                "suspend": {"type": "boolean"},
                "data": {"additionalProperties": {"properties": {"key": {"type": "string"}}}},
            }
        },
        "status": {"properties": {"conditions": {"items": {"properties": {"type": {"type": "string"}}}}}},
    },
}


def served(schema: dict[str, Any] = SCHEMA, **changes: Any) -> dict[str, Any]:
    """Build an established CRD that serves a schema."""
    version = {
        "name": "v1alpha1",
        "served": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    conditions = [{"type": "Established", "status": "True"}]
    return {"spec": {"versions": [version | changes]}, "status": {"conditions": conditions}}


def without(path: str) -> dict[str, Any]:
    """Copy the schema without the part at a path, which is made of the keys of the schema itself."""
    *parents, last = path.split("/")

    def copy(schema: dict[str, Any], parents: list[str]) -> dict[str, Any]:
        if not parents:
            return {name: value for name, value in schema.items() if name != last}
        return schema | {parents[0]: copy(schema[parents[0]], parents[1:])}

    return copy(SCHEMA, parents)


def test_the_same_schema_is_current() -> None:
    """Nothing is missing."""
    assert judge(served(), SCHEMA).state is SchemaState.CURRENT


def test_a_newer_schema_is_current() -> None:
    """Additional fields do not matter."""
    newer = SCHEMA | {"properties": SCHEMA["properties"] | {"more": {"type": "string"}}}

    assert judge(served(newer), SCHEMA).state is SchemaState.CURRENT


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("properties/status", "status"),
        ("properties/spec/properties/suspend", "spec.suspend"),
        ("properties/spec/properties/data/additionalProperties", "spec.data.*"),
        ("properties/spec/properties/data/additionalProperties/properties/key", "spec.data.*.key"),
        ("properties/status/properties/conditions/items/properties/type", "status.conditions[].type"),
    ],
)
def test_a_schema_that_would_drop_a_field_is_older(path: str, missing: str) -> None:
    """The field may be at any depth, and the message names it."""
    answer = judge(served(without(path)), SCHEMA)

    assert answer.state is SchemaState.OLDER
    assert missing in answer.message


def test_a_schema_that_preserves_unknown_fields_drops_nothing() -> None:
    """It need not know any field."""
    assert list(missing_fields(SCHEMA, {"x-kubernetes-preserve-unknown-fields": True})) == []


def test_a_message_names_only_a_few_fields() -> None:
    """One is enough to decide what to do."""
    expected: dict[str, Any] = {"properties": {f"field{number}": {} for number in range(99)}}

    assert judge(served({}), expected).message.count("field") == 5


@pytest.mark.parametrize("changes", [{"name": "v1"}, {"served": False}, {"subresources": {}}])
def test_a_crd_without_a_usable_version_is_older(changes: dict[str, Any]) -> None:
    """It has another version, does not serve ours, or has no status subresource."""
    assert judge(served(**changes), SCHEMA).state is SchemaState.OLDER


def test_a_missing_crd_is_reported() -> None:
    """The message names the command that installs it."""
    answer = judge(None, SCHEMA)

    assert answer.state is SchemaState.ABSENT
    assert "pipedrive-operator crd | kubectl apply" in answer.message


@pytest.mark.parametrize("status", [{}, {"conditions": [{"type": "Established", "status": "False"}]}])
def test_a_crd_that_is_not_established_is_reported(status: dict[str, Any]) -> None:
    """It was just created, or its names are taken."""
    assert judge(served() | {"status": status}, SCHEMA).state is SchemaState.NOT_ESTABLISHED


RULED: dict[str, Any] = {
    "properties": {
        "spec": {
            "properties": {
                "key": {"maxLength": 63, "x-kubernetes-validations": [{"rule": "self != 'x'", "message": "m"}]}
            },
            "x-kubernetes-validations": [{"rule": "has(self.key)"}],
        }
    }
}


def ruled(**changes: Any) -> dict[str, Any]:
    """Build a schema like `RULED` with another key."""
    key = RULED["properties"]["spec"]["properties"]["key"] | changes
    spec = RULED["properties"]["spec"] | {"properties": {"key": key}}
    return {"properties": {"spec": spec}}


@pytest.mark.parametrize(
    ("schema", "named"),
    [
        pytest.param(ruled(**{"x-kubernetes-validations": []}), "spec.key", id="without a rule"),
        pytest.param(ruled(**{"x-kubernetes-validations": [{"rule": "true"}]}), "spec.key", id="with another rule"),
        pytest.param(ruled(maxLength=999), "spec.key", id="with another bound"),
        pytest.param({"properties": {"spec": {"properties": {"key": ruled()}}}}, "spec, spec.key", id="without any"),
    ],
)
def test_older_rules_are_noticed(schema: dict[str, Any], named: str) -> None:
    """No field is missing, and the operator works; `check` and a metric say that the CRD must be upgraded."""
    judged = judge(served(schema), RULED)

    assert judged.state is SchemaState.OUTDATED_RULES
    assert f"its rules for {named} differ" in judged.message
    assert "kubectl apply" in judged.message


def test_other_words_and_more_rules_are_current() -> None:
    """A message or a description decides nothing."""
    rules = [{"rule": "self != 'x'", "message": "other"}, {"rule": "true"}]

    assert judge(served(ruled(**{"x-kubernetes-validations": rules, "description": "d"})), RULED).state is (
        SchemaState.CURRENT
    )


def test_our_own_crd_is_current() -> None:
    """It is compared in the form in which the API server serves it."""
    schema = resource_schema()

    assert judge(served(schema), schema).state is SchemaState.CURRENT
