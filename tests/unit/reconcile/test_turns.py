"""While Vault is away as a whole, few credentials look at a time whether it is back; its return wakes all of them."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import PipedriveUnavailable, Trouble, VaultAway, VaultUnavailable
from pipedrive_operator.grants.turns import LONGEST_TURN, TRIES_AT_ONCE, TRIES_PER_SECOND, Turns
from support.builders import API_TOKEN_SPEC, GRANT_SOURCE, KEY, resource
from support.faked_operator import FakedOperator, seeded_world
from support.keepers import KeeperSurroundings
from support.refresh import ORDER

AWAY = VaultAway("Vault is sealed")
MANY = TRIES_AT_ONCE + 5 * TRIES_PER_SECOND
"""The last one of these has its turn after five seconds."""


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a seeded world."""
    async for made in seeded_world():
        yield made


def test_few_that_wait_look_as_soon_as_they_want() -> None:
    """The end of an outage is noticed at once."""
    turns = Turns(TurnedClock())

    assert {timedelta(0)} == {turns.after(AWAY, "default") for _ in range(TRIES_AT_ONCE)}


def test_many_that_wait_take_turns() -> None:
    """The last one waits as long as the ones before it need."""
    turns = Turns(TurnedClock())

    last = [turns.after(AWAY, "default") for _ in range(MANY)][-1]

    assert 4.5 < last.total_seconds() <= 5


def test_no_turn_is_waited_for_forever() -> None:
    """A failure may be recorded after the return of Vault was announced."""
    turns = Turns(TurnedClock())

    assert LONGEST_TURN == max(turns.after(AWAY, "default") for _ in range(TRIES_AT_ONCE + 100 * TRIES_PER_SECOND))


def test_another_vault_has_turns_of_its_own() -> None:
    """It may be back earlier."""
    turns = Turns(TurnedClock())
    for _ in range(MANY):
        turns.after(AWAY, "default")

    assert timedelta(0) == turns.after(AWAY, "other")


@pytest.mark.parametrize("trouble", [VaultUnavailable("internal error"), PipedriveUnavailable("503")])
def test_nobody_takes_turns_for_what_is_not_announced(trouble: Trouble) -> None:
    """The failure of one document ends unnoticed by others."""
    turns = Turns(TurnedClock())

    assert {timedelta(0)} == {turns.after(trouble, "default") for _ in range(MANY)}


async def test_many_credentials_take_turns_to_read_a_vault_that_is_away(world: FakedOperator) -> None:
    """All of them read it when it is back."""
    keys = [replace(KEY, name=f"acme-{number}") for number in range(MANY)]
    world.vault.breaks = AWAY
    for key in keys:
        body = resource(API_TOKEN_SPEC)
        world.cluster.apply(body | {"metadata": body["metadata"] | {"name": key.name, "uid": f"uid-{key.name}"}})
    waits = []
    for key in keys:
        outcome = await world.reconciler.reconcile(key)
        assert outcome is not None
        assert outcome.until is not None
        waits.append((outcome.until - world.clock.now()).total_seconds())

    assert max(waits[:TRIES_AT_ONCE]) <= 1
    assert 4.5 < waits[-1] <= 5

    world.vault.breaks = None
    woken = world.reconciler.vault_returned("default")
    assert set(keys) == woken
    reads = len(world.vault.reads)
    await world.reconciler.reconcile(keys[-1])
    assert reads + 1 == len(world.vault.reads)


async def test_many_refreshes_take_turns_at_a_vault_that_is_away() -> None:
    """Each of them needs Vault before it sends anything."""
    around = KeeperSurroundings()
    around.vault.breaks = AWAY
    waits = []
    for number in range(MANY):
        location = replace(GRANT_SOURCE.location, path=f"grants/{number}")
        source = replace(GRANT_SOURCE, location=location)
        await around.refresh(replace(ORDER, source=source, requester=Key(namespace="crm", name=str(number))))
        state = around.keeper.state(source)
        assert isinstance(state, refresh_state.Unavailable)
        waits.append((state.retry_at - around.clock.now()).total_seconds())

    assert max(waits[:TRIES_AT_ONCE]) <= 1
    assert 4.5 < waits[-1] <= 5
    assert MANY == len(around.keeper.vault_returned("default"))
