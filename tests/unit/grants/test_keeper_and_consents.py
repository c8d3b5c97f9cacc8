"""Consents beside refreshes of the same grant: neither harms the other, whichever came first."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.candidate import with_candidate
from pipedrive_operator.core.grant.document import Document, TenantIdentity, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.terms import Terms
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    PipedriveUnavailable,
    RateLimited,
    Trouble,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.grants.values import ExchangeOrder
from support.builders import GRANT_LOCATION, GRANT_SOURCE, access_token
from support.exchanges import CONSENT, claimed, exchange_order
from support.keepers import KeeperSurroundings, until_it_sleeps
from support.refresh import ORDER


@pytest.fixture
async def around() -> AsyncIterator[KeeperSurroundings]:
    """Return a keeper, and wait at the end until no refresh is in progress."""
    made = KeeperSurroundings()
    yield made
    await made.keeper.drain()


@pytest.mark.parametrize("trouble", [VaultDenied("not for you"), VaultUnavailable("the login fails")])
async def test_a_consent_whose_identity_cannot_read_the_grant_does_not_keep_others_from_it(
    around: KeeperSurroundings, trouble: Trouble
) -> None:
    """A tenant can name the path of any other for an identity of its own, and answer a consent for it."""
    hostile = replace(GRANT_SOURCE, identity=TenantIdentity(namespace="hostile", service_account="app", role="any"))
    read = around.vault.read

    async def refuse(location: VaultLocation, identity: VaultIdentity) -> Document | None:
        if identity == hostile.identity:
            raise trouble
        return await read(location, identity)

    around.vault.read = refuse  # type: ignore[method-assign]
    order = exchange_order(hostile, SecretValue("code"), began=around.clock.monotonic())
    exchange = asyncio.create_task(around.keeper.exchange(order, _neverclaimed))
    await until_all_wait()
    around.keeper.refresh(ORDER)
    await until_all_wait()
    state = around.keeper.state(GRANT_SOURCE)
    around.clock.turn(timedelta(minutes=5))
    await exchange

    assert isinstance(state, refresh_state.Fresh)


async def test_a_consent_whose_identity_cannot_read_the_grant_is_not_concluded_beside_its_refreshes(
    around: KeeperSurroundings,
) -> None:
    """Its credential was edited to name the path of another tenant after the code was sent."""
    hostile = replace(GRANT_SOURCE, identity=TenantIdentity(namespace="hostile", service_account="app", role="any"))
    around.vault.deny(GRANT_SOURCE.location, hostile.identity)

    with pytest.raises(VaultDenied):
        await around.keeper.conclude(exchange_order(hostile, SecretValue("code"), began=around.clock.monotonic()))

    assert [] == around.reported_states


async def test_a_consent_that_connects_nothing_ends_no_pause(around: KeeperSurroundings) -> None:
    """Pipedrive has asked for ten minutes, and refuses the code."""
    before = await _paused(around)

    found = await around.keeper.exchange(_order(around, SecretValue("refused")), claimed)

    assert found is not None
    assert found.reason is ConsentReason.CODE_REFUSED
    assert before == around.keeper.state(GRANT_SOURCE)


async def test_a_consent_that_connects_an_account_ends_the_pause(around: KeeperSurroundings) -> None:
    """The new grant has failed in nothing."""
    await _paused(around)

    found = await around.keeper.exchange(_order(around, around.pipedrive.accept()), claimed)

    assert found is not None
    assert found.reason is ConsentReason.CONNECTED
    assert refresh_state.IDLE == around.keeper.state(GRANT_SOURCE)


async def test_a_copy_that_cannot_be_deleted_is_settled_once_although_a_consent_connects_an_account(
    around: KeeperSurroundings,
) -> None:
    """The pause after that refresh goes on, for every Vault identity: Pipedrive has just verified the new grant."""
    around.cluster.keeps_escrow_for_ever = True
    copy = Grant(refresh_token=SecretValue("of another cluster"))
    await around.escrow.keep(GRANT_LOCATION, copy, "them-1", SecretValue("hush"))
    assert around.keeper.has_escrow(GRANT_SOURCE)
    await around.refresh()

    await around.keeper.exchange(exchange_order(GRANT_SOURCE, around.pipedrive.accept(), began=0.0), claimed)

    assert not around.keeper.has_escrow(GRANT_SOURCE)
    assert not around.keeper.has_escrow(
        replace(GRANT_SOURCE, identity=TenantIdentity(namespace="b", service_account="app", role="r"))
    )
    around.clock.turn(timedelta(minutes=1))
    assert around.keeper.has_escrow(GRANT_SOURCE)


async def test_what_failed_because_vault_was_away_is_due_when_vault_returns_during_an_exchange(
    around: KeeperSurroundings,
) -> None:
    """The exchange does not bring the pause back."""
    around.vault.breaks = VaultUnavailable("sealed")
    assert isinstance(await around.refresh(), refresh_state.Unavailable)
    around.vault.breaks = None
    around.pipedrive.gate = asyncio.Event()
    exchange = asyncio.create_task(around.keeper.exchange(_order(around, SecretValue("refused")), claimed))
    await until_all_wait()

    around.keeper.vault_returned(GRANT_SOURCE.location.connection)
    around.pipedrive.answer()
    await exchange

    assert refresh_state.IDLE == around.keeper.state(GRANT_SOURCE)


async def test_a_grant_that_no_credential_uses_is_forgotten_after_a_consent(around: KeeperSurroundings) -> None:
    """The last credential was deleted while the code was exchanged."""
    await _paused(around)
    around.pipedrive.gate = asyncio.Event()
    exchange = asyncio.create_task(around.keeper.exchange(_order(around, SecretValue("refused")), claimed))
    await until_all_wait()
    around.keeper.release(GRANT_SOURCE)
    around.pipedrive.answer()

    await exchange

    assert refresh_state.IDLE == around.keeper.state(GRANT_SOURCE)


async def test_a_grant_is_refreshed_while_a_code_waits_to_be_sent(around: KeeperSurroundings) -> None:
    """Pipedrive does not say whose the candidate of an older consent is, but it refreshes."""
    terms = Terms(consent="older", consent_generation=2, expected=None, over=None)
    older = Grant(refresh_token=SecretValue("older"), token=access_token(), terms=terms)
    around.vault.put(GRANT_LOCATION, **with_candidate({"refresh_token": "seed"}, older))
    around.pipedrive.identify_access_token = _away  # type: ignore[method-assign,assignment]
    exchange = asyncio.create_task(around.keeper.exchange(_order(around, around.pipedrive.accept()), claimed))
    await until_it_sleeps(around.clock)

    state = await around.refresh()

    assert isinstance(state, refresh_state.Fresh)
    assert (["seed"], False) == (around.pipedrive.sent, exchange.done())
    exchange.cancel()


async def test_a_code_that_expired_before_its_turn_is_not_sent(around: KeeperSurroundings) -> None:
    """The message says why."""
    order = _order(around, around.pipedrive.accept())
    around.clock.turn(timedelta(minutes=5))

    found = await around.keeper.exchange(order, _neverclaimed)

    assert found is not None
    assert found.reason is ConsentReason.CODE_EXPIRED
    assert "took too long" in found.message


async def test_a_consent_during_a_refresh_that_is_not_stored_yet_loses_nothing(around: KeeperSurroundings) -> None:
    """Vault is sealed between the two: both results are stored in the end, and the consent's grant is the last."""
    around.pipedrive.gate = asyncio.Event()
    around.keeper.refresh(ORDER)
    await until_all_wait()
    around.vault.breaks = VaultUnavailable("Vault is sealed")
    around.pipedrive.answer()
    await until_it_sleeps(around.clock)
    order = exchange_order(GRANT_SOURCE, around.pipedrive.accept(), began=around.clock.monotonic())
    exchange = asyncio.create_task(around.keeper.exchange(order, claimed))
    await until_all_wait()
    sent_before = list(around.pipedrive.sent)

    around.vault.breaks = None
    while not exchange.done():
        around.clock.turn(timedelta(seconds=1))
        await until_all_wait()

    found = await exchange
    assert found is not None
    assert ConsentReason.CONNECTED is found.reason, found.message
    assert (["seed"], ["seed", order.code.reveal()]) == (sent_before, around.pipedrive.sent)
    assert (CONSENT, "theirs") == (around.stored("consent_uid"), around.stored("note"))
    assert {} == around.cluster.escrow


async def test_a_shutdown_does_not_hang_on_an_exchange_that_has_just_ended(around: KeeperSurroundings) -> None:
    """What follows the end of a task runs in the next turn of the loop, and the shutdown lets it run."""
    order = exchange_order(GRANT_SOURCE, around.pipedrive.accept(), began=around.clock.monotonic())
    asking = asyncio.create_task(around.keeper.exchange(order, claimed))
    await _until_the_exchange_ended()

    await around.keeper.drain()

    found = await asking
    assert found is not None
    assert ConsentReason.CONNECTED is found.reason, found.message


async def until_all_wait() -> None:
    """Run all tasks until they wait for something other than the loop."""
    for _ in range(50):
        await asyncio.sleep(0)


async def _until_the_exchange_ended() -> None:
    """Return before what follows the end of its task has run."""
    exchange: asyncio.Task[object] | None = None
    for _ in range(50):
        exchange = exchange or next((one for one in asyncio.all_tasks() if one.get_name().startswith("consent")), None)
        if exchange is not None and exchange.done():
            return
        await asyncio.sleep(0)
    raise AssertionError


async def _neverclaimed() -> bool:
    raise AssertionError


async def _paused(around: KeeperSurroundings) -> refresh_state.RefreshState:
    """Let a refresh fail, and return its state."""
    around.pipedrive.breaks = RateLimited("429", retry_after=timedelta(minutes=10))
    state = await around.refresh()
    around.pipedrive.breaks = None
    assert isinstance(state, refresh_state.Unavailable)
    return state


async def _away(_: Token) -> Account:
    raise PipedriveUnavailable("503")


def _order(around: KeeperSurroundings, code: SecretValue) -> ExchangeOrder:
    return exchange_order(GRANT_SOURCE, code, began=around.clock.monotonic())
