"""No object that the API server or a broken proxy returns raises anything but ApiServerUnavailable."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.grant.token import Accepted
from pipedrive_operator.core.publication.secret import desired_secret, patch
from pipedrive_operator.core.publication.target import belongs_to, may_be_adopted, read_target
from pipedrive_operator.core.resource.credential import Credential, read_credential
from pipedrive_operator.core.resource.names import ANNOTATION_MANAGED
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from support.builders import ACCOUNT, API_TOKEN_SPEC, NOW, access_token, resource
from support.properties import reads_anything

ACCEPTED: Final = Accepted(token=access_token(), account=ACCOUNT, verified_at=NOW, lineage=None)


def a_credential() -> Credential:
    """Build a credential."""
    credential = read_credential(resource(API_TOKEN_SPEC))
    assert isinstance(credential, Credential)
    return credential


CREDENTIAL: Final = a_credential()
DESIRED: Final = desired_secret(CREDENTIAL, ACCEPTED)
ODD: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
METADATA: Final[Mapping[str, Any]] = {
    "namespace": "crm",
    "name": "acme",
    "uid": "uid-1",
    "resourceVersion": "7",
    "creationTimestamp": "2026-03-01T00:00:00Z",
    "generation": 1,
    "labels": {},
    "annotations": {},
    "ownerReferences": [{"uid": "uid-2", "name": "web", "kind": "Deployment", "controller": True}],
    "managedFields": [{"manager": "argo", "fieldsV1": {"f:data": {"f:a": {}}}}],
    "deletionTimestamp": "2026-03-01T00:00:00Z",
}
"""Each field that is read."""
DEEP: Final = "[" * 100_000


@st.composite
def objects(draw: st.DrawFn, /, **fields: Any) -> dict[str, Any]:
    """Build an object in which some fields are odd or missing."""
    metadata = dict(METADATA)
    for name in draw(st.sets(st.sampled_from(sorted(METADATA)), max_size=3)):
        metadata[name] = draw(ODD)
    for name in draw(st.sets(st.sampled_from(sorted(METADATA)), max_size=2)):
        metadata.pop(name)
    body = {"metadata": metadata, **fields}
    for name in draw(st.sets(st.sampled_from(sorted(body)), max_size=1)):
        body[name] = draw(ODD)
    return body


@reads_anything
@given(objects(data={"a": "YQ=="}, type="Opaque"))
def test_a_secret_is_read_or_unusable(body: dict[str, Any]) -> None:
    """What was read can be judged, patched and compared by its version."""
    with suppress(ApiServerUnavailable):
        target = read_target(body)

        assert int(target.resource_version) >= 0
        assert belongs_to(target, CREDENTIAL) in {True, False}
        assert may_be_adopted(target, CREDENTIAL) in {True, False}
        patch(target, DESIRED)


@reads_anything
@given(objects(spec=API_TOKEN_SPEC, status={"observedGeneration": 1}))
def test_a_credential_is_read_or_unusable(body: dict[str, Any]) -> None:
    """An odd spec makes it an unreadable one, and an odd status counts as none."""
    with suppress(ApiServerUnavailable):
        credential = read_credential(body)

        assert int(credential.resource_version) >= 0
        assert credential.created_at.tzinfo is not None


@reads_anything
@given(st.text() | st.recursive(st.none(), st.lists).map(json.dumps) | ODD.map(json.dumps))
def test_any_list_of_managed_keys_is_read(noted: str) -> None:
    """Tenants can write annotations."""
    target = read_target({"metadata": {**METADATA, "annotations": {ANNOTATION_MANAGED: noted}}})

    assert not target.is_untouched
    patch(target, DESIRED)


@pytest.mark.parametrize("noted", [DEEP, '{"data":' * 50_000, "9" * 100_000, f'{{"data": [{"9" * 10_000}]}}'])
def test_a_list_of_managed_keys_that_breaks_a_parser_counts_as_empty(noted: str) -> None:
    """An annotation may have 256 KiB."""
    target = read_target({"metadata": {**METADATA, "annotations": {ANNOTATION_MANAGED: noted}}})

    patch(target, DESIRED)
