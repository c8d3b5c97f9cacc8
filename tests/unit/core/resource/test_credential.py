"""Reading a resource, and writing its status."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipedrive_operator.core.resource.credential import (
    Credential,
    UnreadableCredential,
    read_credential,
    write_status,
)
from pipedrive_operator.core.resource.names import LONGEST_REQUESTED_AT
from pipedrive_operator.core.resource.spec import ApiToken, OAuth2
from pipedrive_operator.core.resource.status import Status
from support.builders import API_TOKEN_SPEC, NOW, OAUTH2_SPEC, readable, resource

REQUESTED = "pipedrive-operator.io/requested-at"


@pytest.mark.parametrize(
    ("spec", "expected"), [(OAUTH2_SPEC, OAuth2), (API_TOKEN_SPEC, ApiToken)], ids=["OAuth2", "API token"]
)
def test_the_kind_of_access_is_resolved_once(spec: dict[str, Any], expected: type) -> None:
    """All other code relies on it alone."""
    credential = read_credential(resource(spec))

    assert isinstance(credential, Credential)
    assert isinstance(credential.access, expected)
    assert "acme" == credential.target_name
    assert datetime(2026, 3, 1, tzinfo=UTC) == credential.created_at


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        pytest.param({}, "exactly one of oauth2 and apiToken", id="neither"),
        pytest.param(OAUTH2_SPEC | API_TOKEN_SPEC, "exactly one of oauth2 and apiToken", id="both"),
        pytest.param({"apiToken": {}}, "spec.apiToken.path", id="a missing field"),
        pytest.param({"apiToken": {"path": "/x"}}, "spec.apiToken.path", id="a wrong path"),
        pytest.param({"apiToken": 7}, "spec.apiToken", id="no object"),
        pytest.param(API_TOKEN_SPEC | {"target": {"data": {"k": 7}}}, "spec.target.data.k", id="a number"),
        pytest.param(
            {"oauth2": OAUTH2_SPEC["oauth2"] | {"renewBefore": "soon"}}, "spec.oauth2.renewBefore", id="no duration"
        ),
    ],
)
def test_a_wrong_spec_is_named(spec: dict[str, Any], problem: str) -> None:
    """Such a resource is read without a spec, but with everything needed to report the problem."""
    credential = read_credential(resource(spec, generation=2, deletionTimestamp="2026-03-04T00:00:00Z"))

    assert isinstance(credential, UnreadableCredential)
    assert problem in credential.problem
    assert (2, True) == (credential.generation, credential.being_deleted)


@pytest.mark.parametrize(
    ("annotations", "handled", "expected"),
    [
        pytest.param({}, None, None, id="none"),
        pytest.param({REQUESTED: "1"}, None, "1", id="new"),
        pytest.param({REQUESTED: "1"}, "1", None, id="handled"),
        pytest.param({REQUESTED: "2"}, "1", "2", id="another"),
        pytest.param({REQUESTED: ""}, None, None, id="empty"),
        pytest.param({REQUESTED: "x" * 999}, "x" * LONGEST_REQUESTED_AT, None, id="longer than the status holds"),
    ],
)
def test_a_request_is_handled_once(annotations: dict[str, str], handled: str | None, expected: str | None) -> None:
    """Its value distinguishes requests."""
    status = {"lastHandledRequest": handled} if handled else {}

    assert expected == readable(resource(API_TOKEN_SPEC, annotations=annotations) | {"status": status}).request


@pytest.mark.parametrize(
    "status",
    [None, {}, {"conditions": 7}, {"account": {"companyId": "x"}}, {"expiresAt": "x"}],
    ids=["absent", "empty", "conditions", "account", "a time"],
)
def test_a_status_that_cannot_be_read_is_an_empty_one(status: object) -> None:
    """The next pass writes it again."""
    assert Status() == read_credential(resource(API_TOKEN_SPEC) | {"status": status}).status


def test_a_status_is_written_and_read_alike() -> None:
    """What a merge patch has to remove is None."""
    status = Status(observed_generation=1, expires_at=NOW + timedelta(hours=1))

    written = write_status(status)

    assert "2026-03-04T13:00:00Z" == written["expiresAt"]
    assert written["secretName"] is None
    assert status == read_credential(resource(API_TOKEN_SPEC) | {"status": written}).status
