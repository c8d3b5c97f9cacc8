"""The CRD: a structural schema of every field, with bounds, messages for people, and a single default."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.alias_generators import to_camel

from pipedrive_operator.core.publication.fields import API_TOKEN_FIELDS, OAUTH2_FIELDS
from pipedrive_operator.core.publication.template import check_template
from pipedrive_operator.core.resource.credential import AnyCredential, Credential, UnreadableCredential, read_credential
from pipedrive_operator.core.resource.spec import Spec
from pipedrive_operator.core.resource.status import Status
from pipedrive_operator.core.values.conditions import Condition
from pipedrive_operator.core.values.errors import InvalidSpec
from pipedrive_operator.crd import custom_resource_definition
from pipedrive_operator.crd.cel import ROOT, RULES, Rule, template_pattern
from pipedrive_operator.crd.structural import structural
from support import credential_examples
from support.credential_examples import Example

Schema = Mapping[str, Any]

TEMPLATE_PARTS = ("$", "(", ")", "$$(", "$(", "$(other)", "api_token", "|json)", "$(api_token)", "\n")


def root() -> Schema:
    """Return the schema of the resource."""
    schema: Schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: Schema, path: str = ROOT) -> Iterator[tuple[str, Schema]]:
    """Yield every schema with its path, written as in the rules."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from walk(field, f"{path}.{name}" if path else name)
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}.*")


def read(example: Example) -> AnyCredential:
    """Read an example as the operator does; an older CRD may have accepted it."""
    served = {"namespace": "crm", "uid": "1", "resourceVersion": "1", "creationTimestamp": "2026-03-01T00:00:00Z"}
    return read_credential({**example.manifest, "metadata": {**served, **example.manifest["metadata"]}})


def test_every_field_of_the_models_is_in_the_schema() -> None:
    """Under its name in the resource."""
    properties = root()["properties"]

    assert list(properties["spec"]["properties"]) == [to_camel(field.name) for field in fields(Spec)]
    assert list(properties["status"]["properties"]) == [to_camel(field.name) for field in fields(Status)]
    condition = properties["status"]["properties"]["conditions"]["items"]
    assert set(condition["properties"]) == {to_camel(field.name) for field in fields(Condition)}


def test_every_field_is_described_in_one_line() -> None:
    """`kubectl explain` shows it."""
    described = {path: schema.get("description") for path, schema in walk(root()) if not path.endswith(("*", "[]"))}

    assert [path for path, description in described.items() if not description] == []
    assert [path for path, description in described.items() if "\n" in str(description)] == []


def test_every_string_list_and_map_is_bounded() -> None:
    """Without bounds the API server rejects the rules, and an object could fill etcd."""
    bounds = {"string": ("maxLength", "enum"), "array": ("maxItems",)}

    for path, schema in walk(root()):
        if schema["type"] in bounds:
            assert any(bound in schema for bound in bounds[schema["type"]]), path
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, path


def test_integers_have_64_bits() -> None:
    """Ids in Pipedrive exceed 32 bits."""
    integers = [schema for _, schema in walk(root()) if schema["type"] == "integer"]

    assert {schema["format"] for schema in integers} == {"int64"}


def test_the_only_default_is_the_status_of_a_new_object() -> None:
    """GitOps tools would see a default in the spec as drift."""
    defaults = {path: schema["default"] for path, schema in walk(root()) if "default" in schema}

    assert defaults == {"status": {"observedGeneration": -1}}


def test_every_rule_belongs_to_an_existing_field() -> None:
    """A rule under another path would never be applied."""
    assert RULES.keys() <= {path for path, _ in walk(root())}


def test_every_rule_has_an_example() -> None:
    """Without an example that it rejects, a rule may accept everything."""
    messages = {rule["message"] for _, schema in walk(root()) for rule in schema.get("x-kubernetes-validations", ())}

    assert messages <= credential_examples.messages()


def test_the_description_of_templates_names_every_field() -> None:
    """It is a docstring, so the list is written there a second time."""
    description = root()["properties"]["spec"]["properties"]["target"]["properties"]["data"]["description"]

    assert {*OAUTH2_FIELDS, *API_TOKEN_FIELDS} <= set(description.replace(",", " ").split())


@given(st.lists(st.sampled_from(TEMPLATE_PARTS)).map("".join))
def test_the_operator_accepts_every_template_that_the_api_server_accepts(template: str) -> None:
    """Like the API server, it rejects every closed reference to an unknown field."""
    taken = re.fullmatch(template_pattern(API_TOKEN_FIELDS), template) is not None

    try:
        check_template("key", template, API_TOKEN_FIELDS)
    except InvalidSpec:
        assert not taken
    else:
        assert taken or "$(" in template.replace("$$(", "")


def test_each_call_builds_a_new_crd() -> None:
    """A caller may change the result without affecting another caller."""
    changed = custom_resource_definition()
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"].clear()

    assert root()["properties"]["status"]["properties"]


@pytest.mark.parametrize("example", credential_examples.creations(accepted=True), ids=Example.label)
def test_the_operator_reads_what_the_api_server_accepts(example: Example) -> None:
    """Both use the same regular expressions."""
    assert isinstance(read(example), Credential)


@pytest.mark.parametrize(
    "example", [e for e in credential_examples.creations(accepted=False) if e.read_by_operator], ids=Example.label
)
def test_the_operator_rejects_what_the_api_server_rejects(example: Example) -> None:
    """An older CRD may have accepted it."""
    credential = read(example)

    assert isinstance(credential, UnreadableCredential)
    assert credential.problem.startswith("spec")


def test_times_and_durations_are_parsed() -> None:
    """In the schema, both are strings."""
    oauth2 = credential_examples.valid("oauth2")
    oauth2["spec"] = {"oauth2": {**oauth2["spec"]["oauth2"], "renewBefore": "1h30m10s"}}
    example = Example(
        manifest={**oauth2, "status": {"expiresAt": "2026-03-04T12:00:00Z"}},
        before=None,
        accepted=True,
        field="",
        message="",
        read_by_operator=True,
    )

    credential = read(example)

    assert isinstance(credential, Credential)
    assert credential.spec.oauth2 is not None
    assert credential.spec.oauth2.renew_before == timedelta(hours=1, minutes=30, seconds=10)
    assert credential.status.expires_at == datetime.fromisoformat("2026-03-04T12:00:00Z")


def test_a_reference_is_inlined_and_keeps_the_description_of_its_field() -> None:
    """A structural schema has no references."""
    document = {
        "$defs": {"Inner": {"type": "object", "title": "Inner", "description": "Any.", "properties": {}}},
        "type": "object",
        "properties": {
            "inner": {
                "anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}],
                "description": "This\none.",
                "default": None,
            }
        },
    }

    schema = structural(document, path="spec", rules={})

    inner = {"description": "This one.", "type": "object", "properties": {}}
    assert schema == {"type": "object", "properties": {"inner": inner}}


def test_a_constant_is_an_enumeration_of_one() -> None:
    """A structural schema has no constants."""
    assert structural({"const": "a", "type": "string"}, path="spec", rules={}) == {"type": "string", "enum": ["a"]}


def test_rules_are_added_under_their_path() -> None:
    """They follow the rule that a pattern becomes."""
    document = {"type": "object", "properties": {"a": {"type": "boolean"}}}

    schema = structural(document, path="spec", rules={"spec.a": [Rule(rule="self", message="must be true")]})

    assert schema["properties"]["a"]["x-kubernetes-validations"] == [{"rule": "self", "message": "must be true"}]


def test_an_unknown_keyword_is_an_error() -> None:
    """Otherwise a bound could be lost without anyone noticing."""
    document = {"type": "object", "properties": {"a": {"type": "integer", "multipleOf": 2}}}

    with pytest.raises(ValueError, match=r"spec\.a: cannot be converted to a structural schema: multipleOf"):
        structural(document, path="spec", rules={})
