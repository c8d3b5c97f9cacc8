"""What a session does about a refused request: whether the token, the path or a lagging server is to blame."""

import asyncio
from datetime import timedelta

import pytest

from fakes.clock import TurnedClock
from fakes.vault_server import DENIED, OK, READ, REFUSED, FakeVaultServer, revealed, tokens
from pipedrive_operator.adapters.vault.auth.login import IssuedToken
from pipedrive_operator.adapters.vault.auth.session import (
    LOOKUP_INTERVAL,
    REPLACEMENT_INTERVAL,
    SETTLING_TIME,
    Session,
)
from pipedrive_operator.adapters.vault.request_and_response import VaultResponse
from pipedrive_operator.core.values.errors import VaultDenied
from pipedrive_operator.core.values.secret_value import SecretValue
from support.vault_clock import ImpatientClock


async def test_a_thousand_refused_requests_cause_one_login(session: Session, vault: FakeVaultServer) -> None:
    """All continue with the same new token."""
    refused = await session.token()

    others = await asyncio.gather(*(session.replacement(refused) for _ in range(1000)))

    assert revealed(others) == {"token-2"}
    assert vault.logins == 2


async def test_a_request_that_is_refused_with_the_new_token_too_keeps_that_token(
    session: Session, vault: FakeVaultServer, clock: TurnedClock
) -> None:
    """For a minute, further refusals are not attributed to the token."""
    first = await session.token()
    second = await session.replacement(first)
    assert second is not None

    assert await session.replacement(second) is None
    clock.turn(REPLACEMENT_INTERVAL)
    assert revealed([await session.replacement(second)]) == {"token-3"}
    assert vault.logins == 3


async def test_a_login_that_returns_the_same_token_replaces_nothing(
    vault: FakeVaultServer, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file still contains the refused token."""
    issued = IssuedToken(value=SecretValue("from the file"), ttl=None, renewable=False)

    async def log_in() -> IssuedToken:
        return issued

    monkeypatch.setattr(vault, "log_in", log_in)
    session = Session(vault, vault.send, clock)

    assert await session.replacement(await session.token()) is None


async def test_a_replaced_token_is_revoked(session: Session, vault: FakeVaultServer) -> None:
    """A token that the policy refuses is still valid, and would otherwise be left behind."""
    await session.replacement(await session.token())

    assert vault.revoked == ["token-1"]


@pytest.fixture
async def settled(session: Session, clock: TurnedClock) -> Session:
    """Return a session whose login every server knows by now."""
    await session.token()
    clock.turn(SETTLING_TIME)
    return session


async def test_a_path_that_the_policy_denies_costs_no_token(settled: Session, vault: FakeVaultServer) -> None:
    """The token is still valid, so that the path is to blame; the login that checked for new policies ends."""
    vault.is_valid, vault.reads = True, [DENIED]

    assert await settled.send(READ) == DENIED
    assert vault.revoked == ["token-2"]
    assert await tokens(settled, 1) == {"token-1"}


async def test_a_denied_path_does_not_delay_the_replacement_of_a_revoked_token(
    settled: Session, vault: FakeVaultServer, clock: TurnedClock
) -> None:
    """A tenant that names a denied path all the time must not cost the others a minute."""
    vault.is_valid, vault.reads = True, [DENIED]
    assert await settled.send(READ) == DENIED
    vault.is_valid, vault.reads = False, [DENIED]
    clock.turn(LOOKUP_INTERVAL)

    assert await settled.send(READ) == OK
    assert "token-3" == vault.tokens[-1]


async def test_a_denied_path_causes_one_login_a_minute(
    settled: Session, vault: FakeVaultServer, clock: TurnedClock
) -> None:
    """However often it is read; the lookup in between shows that the token is valid."""
    vault.is_valid = True
    for _ in range(59):
        vault.reads = [DENIED]
        assert await settled.send(READ) == DENIED
        clock.turn(timedelta(seconds=1))

    assert vault.revoked == ["token-2"]


async def test_new_policies_of_the_role_are_used(settled: Session, vault: FakeVaultServer) -> None:
    """A valid token keeps the policies of its login; the new token is in use before the old one is revoked."""
    vault.is_valid, vault.reads, vault.policies = True, [DENIED], frozenset({"default", "crm"})

    assert await settled.send(READ) == OK
    assert (vault.tokens, vault.revoked) == (["token-1", "token-2"], ["token-1"])


async def test_a_denied_path_keeps_the_valid_token_while_no_login_is_possible(
    settled: Session, vault: FakeVaultServer
) -> None:
    """The auth method may be down; other paths are still read."""
    vault.is_valid, vault.reads, vault.breaks = True, [DENIED], VaultDenied("no role")

    assert await settled.send(READ) == DENIED
    assert await settled.send(READ) == OK
    assert vault.revoked == []


async def test_an_invalid_token_without_a_login_is_the_failure_of_the_login(
    settled: Session, vault: FakeVaultServer
) -> None:
    """The message names the login, and not the policy of the path."""
    vault.reads, vault.breaks = [DENIED], VaultDenied("no role")

    with pytest.raises(VaultDenied, match="no role"):
        await settled.send(READ)


async def test_a_provided_token_that_was_replaced_is_used(settled: Session, vault: FakeVaultServer) -> None:
    """An agent wrote another token with the same policies."""
    vault.is_valid, vault.reads, vault.ours = True, [DENIED], False

    assert await settled.send(READ) == OK
    assert vault.tokens == ["token-1", "token-2"]


@pytest.mark.parametrize("ours", [True, False], ids=["issued to us", "provided"])
@pytest.mark.parametrize("refusal", [DENIED, REFUSED], ids=["403", "400"])
async def test_a_refusal_just_after_a_login_is_repeated(
    vault: FakeVaultServer, refusal: VaultResponse, *, ours: bool
) -> None:
    """A server that lags behind does not know the token yet, which an agent may have got a moment ago, too."""
    vault.reads, vault.ours = [refusal, refusal, refusal], ours
    session = Session(vault, vault.send, ImpatientClock())

    assert await session.send(READ) == OK
    assert set(vault.tokens) == {"token-1"}


async def test_a_refusal_that_stays_is_returned(vault: FakeVaultServer) -> None:
    """A refusal that lasts longer than a second is final."""
    vault.reads = [REFUSED] * 10
    session = Session(vault, vault.send, ImpatientClock())

    assert await session.send(READ) == REFUSED
    assert len(vault.tokens) == 4


async def test_a_conflict_just_after_a_login_is_not_repeated(vault: FakeVaultServer) -> None:
    """A server that lags does not report one, and the caller has to read the document again."""
    conflict = VaultResponse(status=400, body={"errors": ["check-and-set parameter did not match the current version"]})
    vault.reads = [conflict]
    session = Session(vault, vault.send, ImpatientClock())

    assert await session.send(READ) == conflict


async def test_a_refusal_long_after_a_login_is_not_repeated(settled: Session, vault: FakeVaultServer) -> None:
    """Every server knows the token by then."""
    vault.reads = [REFUSED]

    assert await settled.send(READ) == REFUSED
    assert len(vault.tokens) == 1
