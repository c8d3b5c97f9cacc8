"""How often a session logs in, how long its token lives, and when it is revoked."""

import asyncio
from datetime import timedelta

import pytest

from fakes.clock import TurnedClock
from fakes.vault_server import REFUSED, TTL, FakeVaultServer, renewed, revealed, tokens
from pipedrive_operator.adapters.vault.auth.session import KEPT_UNUSED, Session
from pipedrive_operator.adapters.vault.request_and_response import VaultResponse
from pipedrive_operator.core.values.errors import SourceMissing, VaultDenied, VaultUnavailable


async def test_a_thousand_concurrent_callers_cause_one_login(session: Session, vault: FakeVaultServer) -> None:
    """All get the same token."""
    assert await tokens(session, 1000) == {"token-1"}
    assert vault.logins == 1


async def test_a_token_is_renewed_at_two_thirds_of_its_lifetime(
    session: Session, vault: FakeVaultServer, clock: TurnedClock
) -> None:
    """One renewal serves all callers; until then the token is used unchanged."""
    await session.token()
    clock.turn(TTL * 2 / 3 - timedelta(seconds=1))
    assert await tokens(session, 10) == {"token-1"}

    clock.turn(timedelta(seconds=1))

    assert await tokens(session, 1000) == {"renewed"}
    assert (vault.logins, vault.renewals) == (1, 1)


async def test_a_token_that_is_not_renewable_is_replaced_by_a_login(
    session: Session, vault: FakeVaultServer, clock: TurnedClock
) -> None:
    """The login happens before the token expires."""
    vault.renewable = False
    await session.token()

    clock.turn(TTL * 2 / 3)

    assert await tokens(session, 10) == {"token-2"}
    assert vault.renewals == 0


@pytest.mark.parametrize(
    "renewal",
    [REFUSED, renewed(TTL / 2), renewed(timedelta(0))],
    ids=["refused", "near its maximum", "of zero seconds"],
)
async def test_a_renewal_that_gains_little_is_followed_by_a_login(
    session: Session, vault: FakeVaultServer, clock: TurnedClock, renewal: VaultResponse
) -> None:
    """A token near its maximum lifetime would otherwise be renewed ever more often."""
    vault.renewal = renewal
    await session.token()

    clock.turn(TTL * 2 / 3)

    assert await tokens(session, 10) == {"token-2"}


async def test_an_expired_token_is_not_renewed(session: Session, vault: FakeVaultServer, clock: TurnedClock) -> None:
    """Vault has deleted it."""
    await session.token()

    clock.turn(TTL)

    assert await tokens(session, 10) == {"token-2"}
    assert vault.renewals == 0


async def test_a_token_without_expiry_is_used_forever(
    session: Session, vault: FakeVaultServer, clock: TurnedClock
) -> None:
    """A root token has none."""
    vault.ttl = None
    await session.token()

    clock.turn(timedelta(days=1000))

    assert await tokens(session, 10) == {"token-1"}


@pytest.mark.parametrize("error", [VaultDenied("no role"), SourceMissing("no namespace")])
async def test_a_refused_login_fails_all_waiting_callers_at_once(
    session: Session, vault: FakeVaultServer, error: VaultDenied | SourceMissing
) -> None:
    """A thousand credentials with a wrong role cause one login."""
    vault.breaks = error

    outcomes = await asyncio.gather(*(session.token() for _ in range(1000)), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {type(error)}
    assert vault.logins == 1


async def test_a_refused_login_is_repeated_after_a_pause(
    session: Session, vault: FakeVaultServer, clock: TurnedClock
) -> None:
    """The role may have been corrected."""
    vault.breaks = VaultDenied("no role")
    with pytest.raises(VaultDenied):
        await session.token()
    vault.breaks = None

    clock.turn(timedelta(seconds=1))

    assert await tokens(session, 1) == {"token-2"}


async def test_a_login_without_a_response_is_not_a_refusal(session: Session, vault: FakeVaultServer) -> None:
    """The limiter of the server decides when to try again."""
    vault.breaks = VaultUnavailable("sealed")
    with pytest.raises(VaultUnavailable):
        await session.token()

    vault.breaks = None

    assert await tokens(session, 1) == {"token-2"}


async def test_a_cancelled_login_is_taken_over_by_the_next_caller(session: Session, vault: FakeVaultServer) -> None:
    """No caller waits forever."""
    first = asyncio.create_task(session.token())
    second = asyncio.create_task(session.token())
    await asyncio.sleep(0)

    first.cancel()

    assert revealed([await second]) == {"token-2"}
    assert vault.logins == 2


async def test_a_token_is_renewed_at_two_thirds_without_a_caller(
    session: Session, vault: FakeVaultServer, clock: TurnedClock
) -> None:
    """Credentials may poll less often than a short-lived token needs."""
    await session.token()
    await asyncio.sleep(0)

    clock.turn(TTL * 2 / 3)
    await asyncio.sleep(0.01)

    assert (vault.logins, vault.renewals) == (1, 1)


async def test_an_unused_token_is_not_kept_alive(session: Session, vault: FakeVaultServer, clock: TurnedClock) -> None:
    """Its credentials were deleted."""
    await session.token()
    await asyncio.sleep(0)

    clock.turn(KEPT_UNUSED)
    await asyncio.sleep(0.01)

    assert (vault.logins, vault.renewals) == (1, 0)
    assert session.is_idle


@pytest.mark.parametrize(("ours", "revoked"), [(True, ["token-1"]), (False, [])])
async def test_a_token_that_was_issued_to_this_process_is_revoked_at_the_end(
    session: Session, vault: FakeVaultServer, *, ours: bool, revoked: list[str]
) -> None:
    """A token that a person put into a file is not revoked."""
    vault.ours = ours
    await session.token()

    await session.aclose()

    assert vault.revoked == revoked


async def test_a_login_in_progress_at_the_end_leaves_no_token(session: Session, vault: FakeVaultServer) -> None:
    """The end waits for it, and revokes its token."""
    asking = asyncio.create_task(session.token())
    await asyncio.sleep(0)
    assert vault.logins == 1

    await session.aclose()

    assert revealed([await asking]) == {"token-1"}
    assert vault.revoked == ["token-1"]
