"""An absence in Vault is believed after a second read: a server that lags does not know a document yet."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.decision.memory import (
    CONFIRM_ABSENCE_AFTER,
    Memory,
    after_reading,
    after_return_of_vault,
    after_source_failure,
)
from pipedrive_operator.core.decision.retry import RetryBounds
from pipedrive_operator.core.decision.sources import ApiTokenSource
from pipedrive_operator.core.grant.document import OPERATOR, Document
from pipedrive_operator.core.grant.grant import write_grant
from pipedrive_operator.core.values.errors import Trouble
from support.builders import GRANT_LOCATION, GRANT_SOURCE, NOW, TOKEN_LOCATION, api_token, document, grant

POLL = timedelta(minutes=5)
GRANT_MEMORY = Memory(source=GRANT_SOURCE, uid="uid")
TOKEN_MEMORY = Memory(source=ApiTokenSource(location=TOKEN_LOCATION, identity=OPERATOR, key="api_token"), uid="uid")
GRANT = document(GRANT_LOCATION, **write_grant(grant(), {}))
TOKEN = document(TOKEN_LOCATION, api_token="a" * 40)


def after(memory: Memory, *reads: Document | None) -> Memory:
    """Return the memory after some reads, each at the time when it is due."""
    now = NOW
    for read in reads:
        try:
            memory = after_reading(memory, read, now)
            now += POLL
        except Trouble as trouble:
            memory = after_source_failure(memory, trouble, bounds=RetryBounds(now=now, slow=POLL))
            assert memory.source_failure is not None
            now = memory.source_failure.retry_at
    return memory


def reason(memory: Memory) -> str | None:
    """Return the reason that the status shows for the last read."""
    return None if memory.source_failure is None else memory.source_failure.trouble.reason.value


@pytest.mark.parametrize(
    ("memory", "held"), [(GRANT_MEMORY, GRANT), (TOKEN_MEMORY, TOKEN)], ids=["a grant", "an API token"]
)
def test_a_first_absence_changes_nothing(memory: Memory, held: Document) -> None:
    """The value stays, and Vault is asked again in seconds instead of minutes."""
    seen = after(memory, held)

    missed = after(seen, None)

    assert (seen.grant, seen.token) == (missed.grant, missed.token)
    assert missed.source_failure is not None
    assert NOW + CONFIRM_ABSENCE_AFTER == missed.source_failure.retry_at
    assert "A server of Vault that lags responds like that" in missed.source_failure.trouble.message
    assert "VaultUnavailable" == reason(missed)


def test_an_absence_that_was_a_lag_leaves_no_trace() -> None:
    """The next read finds the document again, and a later absence counts as a first one."""
    memory = after(GRANT_MEMORY, GRANT, None, GRANT)

    assert (grant().refresh_token, None) == (memory.grant.refresh_token if memory.grant else None, reason(memory))
    assert "VaultUnavailable" == reason(after(memory, None))


def test_a_grant_that_was_deleted_is_missing_after_the_second_read() -> None:
    """It stays missing at each later read, without another confirmation."""
    for reads in (2, 3, 9):
        memory = after(GRANT_MEMORY, GRANT, *[None] * reads)

        assert (None, None, None) == (memory.grant, memory.token, reason(memory))


def test_an_api_token_that_was_deleted_is_missing_after_the_second_read() -> None:
    """The last accepted value stays."""
    for reads in (2, 3, 9):
        memory = after(TOKEN_MEMORY, TOKEN, *[None] * reads)

        assert (api_token(), "SourceMissing") == (memory.token, reason(memory))


@pytest.mark.parametrize(("memory", "expected"), [(GRANT_MEMORY, None), (TOKEN_MEMORY, "SourceMissing")])
def test_a_document_that_was_never_read_is_missing_at_once(memory: Memory, expected: str | None) -> None:
    """A person who creates a credential before its value learns that without a delay."""
    assert expected == reason(after(memory, None))


def test_a_candidate_is_not_forgotten_because_of_a_lag() -> None:
    """The grant of a first consent waits beside no other grant."""
    memory = replace(GRANT_MEMORY, has_candidate=True)

    assert after(memory, None).has_candidate
    assert not after(memory, None, None).has_candidate


def test_the_end_of_an_outage_does_not_confirm_an_absence_early() -> None:
    """After a fail-over, a server lags most of all."""
    assert after_return_of_vault(after(GRANT_MEMORY, GRANT, None), GRANT_LOCATION.connection) is None
