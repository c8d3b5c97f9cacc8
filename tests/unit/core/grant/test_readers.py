"""Reading a document in Vault raises only the operator's own errors, no matter what a tenant has written into it."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.grant.candidate import (
    marks_of,
    promoted,
    read_candidate,
    with_candidate,
    with_promoted,
    without_candidate,
)
from pipedrive_operator.core.grant.document import Document
from pipedrive_operator.core.grant.grant import (
    OUR_KEYS,
    Grant,
    TokenResponse,
    read_grant,
    refreshed_grant,
    write_grant,
)
from pipedrive_operator.core.grant.intent import (
    LONGEST_NAME,
    LONGEST_TIMEOUT,
    MARKS,
    one_more,
    read_intent,
    read_unanswered,
)
from pipedrive_operator.core.grant.keys import CANDIDATE, GRANT_FIELDS
from pipedrive_operator.core.values.errors import OperatorError
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, GRANT_LOCATION, NOW, document
from support.properties import ANYTHING, SHALLOW, mostly, nested, reads_anything

GRANT_KEYS = (*GRANT_FIELDS, *MARKS)
FOREIGN_KEYS = st.sampled_from(["note", "api_token", "client_secret", "terms", "refresh_token ", "REFRESH_TOKEN"])
KEYS = st.sampled_from(GRANT_KEYS) | FOREIGN_KEYS | st.text(st.characters(), max_size=5)
VALUES = st.dictionaries(KEYS, ANYTHING, max_size=6)
SENDABLE = VALUES.map(lambda values: {"refresh_token": "r", "access_token": "a"} | values)
CREATED = st.sampled_from([NOW, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)])
CANDIDATE_KEYS = st.sampled_from([*GRANT_KEYS, "terms_consent", "terms_generation", "terms_over", "terms_company_id"])
CANDIDATES = mostly(
    st.dictionaries(CANDIDATE_KEYS, SHALLOW, max_size=4).map(
        lambda values: json.dumps({"refresh_token": "r", "terms_consent": "uid"} | values)
    )
)
"""The text of a candidate, or anything else under its key."""
RESPONSES = st.builds(
    TokenResponse,
    access_token=st.just(SecretValue("v1u:new")),
    refresh_token=st.just(SecretValue("12:34:new")),
    token_type=st.just("Bearer"),
    expires_in=st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=365)),
    scope=st.none() | st.frozensets(st.text("abc:", min_size=1), max_size=3),
    api_domain=st.just("https://acme.pipedrive.com"),
)


def at(values: dict[str, object], created_at: datetime) -> Document:
    """Build a document that was written at a time."""
    return Document(location=GRANT_LOCATION, version=1, created_at=created_at, values=values)


def reread(values: dict[str, object], created_at: datetime) -> Grant:
    """Return the candidate in a document that has one."""
    candidate = read_candidate(at(values, created_at))
    assert candidate is not None
    return candidate


def foreign(values: dict[str, object]) -> list[tuple[str, int]]:
    """Return the foreign keys, and their values by identity: NaN does not equal itself."""
    return sorted((key, id(value)) for key, value in values.items() if key not in {*OUR_KEYS, CANDIDATE})


@reads_anything
@given(values=VALUES | SENDABLE, created_at=CREATED)
def test_a_grant_is_read_or_missing(values: dict[str, object], created_at: datetime) -> None:
    """What was read can be identified, published and compared with times."""
    grant = read_grant(at(values, created_at))
    if grant is None:
        return

    assert grant.lineage
    assert grant.refresh_token.reveal().isprintable()
    if grant.token is not None:
        assert grant.token.expires_at is not None
        assert grant.token.value.reveal().isprintable()
        grant.token.expired(NOW)


@reads_anything
@given(values=VALUES | SENDABLE, created_at=CREATED)
def test_a_grant_that_was_read_can_be_written_and_read_again(values: dict[str, object], created_at: datetime) -> None:
    """The first intent rewrites the document, and must change nothing else in it."""
    grant = read_grant(at(values, created_at))
    if grant is None:
        return

    written = write_grant(grant, values)
    again = read_grant(at(written, created_at))

    assert foreign(values) == foreign(written)
    assert again is not None
    assert (again.lineage, again.access_digest) == (grant.lineage, grant.access_digest)
    assert write_grant(again, written) == written


@reads_anything
@given(values=VALUES, created_at=CREATED)
def test_an_intent_is_read_and_bounded(values: dict[str, object], created_at: datetime) -> None:
    """It never prevents refreshes permanently, and never makes a message too long."""
    intent, unanswered = read_intent(values, created_at), read_unanswered(values, created_at)

    if intent is not None:
        assert timedelta(0) <= intent.timeout <= LONGEST_TIMEOUT
        assert len(intent.holder) <= LONGEST_NAME
        assert len(str(one_more(unanswered, intent))) < 400
    if unanswered is not None:
        assert unanswered.count > 0
        assert str(unanswered).isprintable()


@reads_anything
@given(values=SENDABLE, response=RESPONSES)
def test_a_refreshed_grant_can_be_written(values: dict[str, object], response: TokenResponse) -> None:
    """No matter what the document contained before: the new refresh token must not be lost."""
    old = read_grant(at(values, NOW))
    if old is None:
        return

    written = write_grant(refreshed_grant(old, response, client_id="client", asked_at=NOW), values)

    assert foreign(values) == foreign(written)
    assert written["refresh_token"] == "12:34:new"
    assert read_grant(at(written, NOW)) is not None


@reads_anything
@given(values=SENDABLE, written=CANDIDATES, created_at=CREATED)
def test_a_candidate_is_read_or_missing(values: dict[str, object], written: object, created_at: datetime) -> None:
    """Tenants can write its key. What was read can be kept, promoted and dropped, and no foreign key is lost."""
    values[CANDIDATE] = written
    candidate = read_candidate(at(values, created_at))
    if candidate is None:
        return

    assert candidate.terms is not None
    assert candidate.exchange == candidate.terms.exchange
    kept = with_candidate(values, candidate)
    assert candidate.lineage == reread(kept, created_at).lineage
    taken = with_promoted(kept, promoted(candidate, ACCOUNT))
    assert candidate.refresh_token.reveal() == taken["refresh_token"]
    dropped = without_candidate(kept, marks_of(at(kept, created_at))[1])
    assert foreign(values) == foreign(kept) == foreign(taken) == foreign(dropped)


@reads_anything
@given(value=ANYTHING, key=st.text())
def test_a_key_is_a_secret_or_missing(value: object, key: str) -> None:
    """The message names the key."""
    with suppress(OperatorError):
        assert at({key: value}, NOW).secret(key).digest()


@pytest.mark.parametrize(
    "expiry",
    [
        pytest.param({"expires_in": 9223372036854775807}, id="largest 64-bit number"),
        pytest.param({"expires_in": 1795900000000}, id="a time in milliseconds as a lifetime"),
        pytest.param({"expires_in": "9" * 5000}, id="thousands of digits"),
        pytest.param({"expires_in": -1}, id="negative"),
        pytest.param({"expires_at": 1772629200000}, id="milliseconds since the epoch"),
        pytest.param({"expires_at": "0001-01-01T00:00:00+05:00"}, id="before year 1"),
        pytest.param({"expires_at": nested(2000)}, id="deep nesting"),
    ],
)
def test_an_access_token_with_an_unusable_expiry_is_not_used(expiry: dict[str, object]) -> None:
    """It counts as expired, so that the grant is refreshed at once."""
    grant = read_grant(document(GRANT_LOCATION, refresh_token="r", access_token="a", **expiry))

    assert grant is not None
    assert grant.token is None


def test_a_lifetime_with_a_fraction_is_cut_to_seconds() -> None:
    """Some tools write floating-point numbers."""
    grant = read_grant(document(GRANT_LOCATION, refresh_token="r", access_token="a", expires_in=59.9))

    assert grant is not None
    assert grant.token is not None
    assert NOW + timedelta(seconds=59) == grant.token.expires_at


def test_control_characters_make_a_token_unusable() -> None:
    """Such a token cannot stand in a header, and Pipedrive issues none."""
    grant = read_grant(document(GRANT_LOCATION, refresh_token="r", access_token="a\nb", expires_in=60))

    assert grant is not None
    assert grant.token is None
    assert read_grant(document(GRANT_LOCATION, refresh_token="r\x00")) is None


def test_a_damaged_intent_is_still_an_intent() -> None:
    """Its holder may be about to send the refresh token."""
    intent = read_intent({"refresh_id": "a\x00b", "refresh_holder": "x" * 9999}, NOW)

    assert intent is not None
    assert ("a b", LONGEST_NAME) == (intent.refresh_id, len(intent.holder))
