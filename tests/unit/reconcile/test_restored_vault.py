"""What Vault holds now counts, even if it is older than what was read before, or was written by another clock."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.times import format_time
from support.builders import API_TOKEN_SPEC, GRANT_LOCATION, OAUTH2_SPEC, TIMINGS, TOKEN_LOCATION, resource
from support.faked_operator import FIRST, FakedOperator, seeded_world
from support.refresh import ORDER

SECOND = "b" * 40
POLL = TIMINGS.poll_interval + timedelta(seconds=1)


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Return an operator with a seeded Vault."""
    async for made in seeded_world():
        yield made


@pytest.mark.parametrize("was_deleted", [False, True])
async def test_an_api_token_from_a_backup_is_published(world: FakedOperator, *, was_deleted: bool) -> None:
    """The newer token was deleted from Vault, with its metadata, or overwritten by the restore."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    backup = world.vault.documents[TOKEN_LOCATION]
    world.clock.turn(POLL)
    world.vault.put(TOKEN_LOCATION, api_token=SECOND)
    world.pipedrive.accounts[SECOND] = world.pipedrive.company
    await world.settle()
    assert world.value("api_token") == SECOND
    if was_deleted:
        del world.vault.documents[TOKEN_LOCATION]
        await _polls(world, 3)

    world.vault.documents[TOKEN_LOCATION] = backup
    await _polls(world, 2)

    assert world.value("api_token") == FIRST


async def test_a_grant_from_a_backup_is_published_after_it_was_missing(world: FakedOperator) -> None:
    """Its refresh token does not rotate, so that it is alive."""
    world.pipedrive.rotates = False
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    backup = world.vault.documents[GRANT_LOCATION]
    world.clock.turn(timedelta(minutes=50))
    await world.settle()
    del world.vault.documents[GRANT_LOCATION]
    await _polls(world, 3)
    assert world.condition(ConditionType.AUTHORIZED) == ("False", "GrantMissing")

    world.vault.documents[GRANT_LOCATION] = backup
    await _polls(world, 2)

    assert world.condition(ConditionType.READY) == ("True", "Published")


async def test_a_refresh_by_a_cluster_whose_clock_is_behind_is_published(world: FakedOperator) -> None:
    """The refresh token does not rotate, and the access token seems to be older than ours."""
    world.pipedrive.rotates = False
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    values = world.vault.documents[GRANT_LOCATION].values
    _store_elsewhere(
        world, obtained_at=world.clock.now() - timedelta(minutes=10), refresh_token=values["refresh_token"]
    )

    await _polls(world, 1)

    assert world.value("access_token") == "of-another"


async def test_a_refresh_that_ends_during_a_read_is_not_put_over_what_was_read(world: FakedOperator) -> None:
    """Another credential had ordered it, and another cluster has stored a newer grant before Vault answered."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    world.clock.turn(POLL)
    answered, is_read = _hold_back_the_next_read(world)
    poll = asyncio.create_task(world.reconciler.reconcile(ORDER.requester))
    await is_read.wait()
    world.keeper.refresh(replace(ORDER, is_requested=True))
    await world.keeper.drain()
    _store_elsewhere(world, obtained_at=world.clock.now(), refresh_token="another")
    answered.set()
    await poll

    await world.settle()

    assert world.value("access_token") == "of-another"


async def test_two_credentials_do_not_end_the_pause_of_a_refused_grant_in_turn(world: FakedOperator) -> None:
    """Vault was restored, and one of them has known a newer access token."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    backup = world.vault.documents[GRANT_LOCATION]
    world.clock.turn(timedelta(minutes=45))
    await world.settle()
    world.vault.documents[GRANT_LOCATION] = backup
    await _polls(world, 20)
    assert world.condition(ConditionType.AUTHORIZED) == ("False", "ConsentRequired")
    sent = len(world.pipedrive.sent)
    new = replace(ORDER.requester, name="new")
    world.cluster.apply(resource(OAUTH2_SPEC, name="new", creationTimestamp=format_time(world.clock.now())))

    for _ in range(20):
        await world.settle(new)
        await _polls(world, 1)

    assert len(world.pipedrive.sent) - sent <= 4


async def _polls(world: FakedOperator, times: int) -> None:
    for _ in range(times):
        world.clock.turn(POLL)
        await world.settle()


def _store_elsewhere(world: FakedOperator, **values: object) -> None:
    """Let another cluster store the result of a refresh."""
    held = world.vault.documents[GRANT_LOCATION].values
    obtained_at = values["obtained_at"]
    expires_at = world.clock.now() + timedelta(hours=1)
    world.pipedrive.accounts["of-another"] = world.pipedrive.company
    written = {
        **{key: value for key, value in held.items() if key != "refresh_token_digest"},
        **values,
        "access_token": "of-another",
        "obtained_at": format_time(obtained_at),  # type: ignore[arg-type]
        "expires_at": format_time(expires_at),
    }
    world.vault.put(GRANT_LOCATION, **written)


def _hold_back_the_next_read(world: FakedOperator) -> tuple[asyncio.Event, asyncio.Event]:
    """Let the next read of Vault wait, and return what lets it go on, and what shows that it has begun."""
    read, go_on, has_begun = world.vault.read, asyncio.Event(), asyncio.Event()

    async def wait(location: VaultLocation, identity: VaultIdentity) -> Document | None:
        world.vault.read = read  # type: ignore[method-assign]
        has_begun.set()
        await go_on.wait()
        return await read(location, identity)

    world.vault.read = wait  # type: ignore[method-assign]
    return go_on, has_begun
