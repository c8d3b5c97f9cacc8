"""Consents beside refreshes of the same grant: neither harms the other, whichever came first."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.document import Document, TenantIdentity, VaultIdentity, VaultLocation
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    Trouble,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_SOURCE
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
