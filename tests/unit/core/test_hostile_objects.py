"""No object that the API server or a broken proxy returns raises anything but ApiServerUnavailable."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.decision.consents import ConsentObservation, decide_consent, reported
from pipedrive_operator.core.grant.token import Accepted
from pipedrive_operator.core.publication.secret import desired_secret, patch
from pipedrive_operator.core.publication.target import belongs_to, may_be_adopted, read_target
from pipedrive_operator.core.resource.consent import read_consent, write_consent_status
from pipedrive_operator.core.resource.credential import Credential, read_credential
from pipedrive_operator.core.resource.names import ANNOTATION_MANAGED
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import ApiServerUnavailable, InvalidSpec
from support.builders import ACCOUNT, API_TOKEN_SPEC, NOW, access_token, resource
from support.properties import ANYTHING, TIMES, reads_anything

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
CONSENT_SPEC: Final[Mapping[str, Any]] = {
    "credential": "acme",
    "stateDigest": "sha256:" + "0" * 64,
    "lifetime": "2h",
    "allowAccountChange": True,
    "answer": {"code": "1.2.3f4a", "state": "crm:acme-x7k2p:" + "A" * 43},
}
CONSENT_STATUS: Final[Mapping[str, Any]] = {
    "observedGeneration": 1,
    "conditions": [],
    "url": "https://oauth.pipedrive.com",
    "expiresAt": "2026-03-01T00:30:00Z",
    "expectedAccount": {"companyId": 12},
    "requiredScopes": ["base"],
    "account": {"companyId": 12, "companyDomain": "acme", "userId": 34},
    "binding": "sha256:0",
}
DEEP: Final = "[" * 100_000


@st.composite
def objects(draw: st.DrawFn, /, **fields: Any) -> dict[str, Any]:
    """Build an object in which some fields are odd or missing."""
    metadata = dict(METADATA)
    for name in draw(st.sets(st.sampled_from(sorted(METADATA)), max_size=3)):
        metadata[name] = draw(ODD | TIMES)
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


@st.composite
def consents(draw: st.DrawFn) -> dict[str, Any]:
    """Build a consent in which some fields of the spec and the status are odd, too."""
    body = draw(objects(spec=dict(CONSENT_SPEC), status=dict(CONSENT_STATUS)))
    if isinstance(body["metadata"], dict) and draw(st.booleans()):
        body["metadata"]["creationTimestamp"] = draw(TIMES)
    for part in ("spec", "status"):
        for name in draw(st.sets(st.sampled_from(sorted({**CONSENT_SPEC, **CONSENT_STATUS})), max_size=1)):
            if isinstance(body.get(part), dict):
                body[part][name] = draw(ANYTHING)
    return body


@reads_anything
@given(consents())
def test_a_consent_is_read_or_unusable(body: dict[str, Any]) -> None:
    """An odd status counts as none. What was read can be decided about, and its status can be written."""
    with suppress(ApiServerUnavailable, InvalidSpec):
        consent = read_consent(body)

        assert consent.expires_at > consent.created_at or consent.created_at.year == 9999
        seen = ConsentObservation(now=NOW, consent=consent, credential=CREDENTIAL, source=None, redirect_uri=None)
        decision = decide_consent(seen)
        status = reported(consent, decision.reason or ConsentReason.PENDING, decision.message, NOW)
        assert json.dumps(write_consent_status(status), allow_nan=False)


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
