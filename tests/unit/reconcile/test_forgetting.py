"""What is remembered ends with the credential: a tenant could otherwise fill the memory with one path after another."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.document import VaultLocation
from support.builders import GRANT_LOCATION, GRANT_SOURCE, KEY, OAUTH2_SPEC, resource
from support.faked_operator import FakedOperator, seeded_world

OTHER_LOCATION = replace(GRANT_LOCATION, path="pipedrive/crm/other")


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a world with a published credential."""
    async for made in seeded_world():
        made.cluster.apply(resource(OAUTH2_SPEC))
        await made.settle()
        yield made


def state(world: FakedOperator, location: VaultLocation = GRANT_LOCATION) -> refresh_state.RefreshState:
    """Return what the keeper knows of a grant."""
    return world.keeper.state(replace(GRANT_SOURCE, location=location))


def at(path: str, **changes: Any) -> dict[str, Any]:
    """Return a spec with another path of the grant."""
    return OAUTH2_SPEC | {"oauth2": OAUTH2_SPEC["oauth2"] | {"grant": {"path": path}}} | changes


async def delete(world: FakedOperator) -> None:
    """Let the watch report that the credential is gone, and make the pass that follows."""
    world.cache.forget_credential(KEY, 10**6)
    await world.reconciler.reconcile(KEY)


async def test_the_grant_of_a_deleted_credential_is_forgotten(world: FakedOperator) -> None:
    """With its tokens."""
    assert isinstance(state(world), refresh_state.Fresh)

    await delete(world)

    assert refresh_state.IDLE == state(world)


async def test_the_grant_at_a_former_path_is_forgotten(world: FakedOperator) -> None:
    """The credential names another one now."""
    world.vault.put(OTHER_LOCATION, refresh_token="other")
    world.pipedrive.alive.add("other")
    world.cluster.apply(resource(at(OTHER_LOCATION.path), generation=2))

    await world.settle()

    assert refresh_state.IDLE == state(world)
    assert isinstance(state(world, OTHER_LOCATION), refresh_state.Fresh)


async def test_a_grant_that_is_still_being_refreshed_is_forgotten_afterwards(world: FakedOperator) -> None:
    """Its refresh token was sent, so the result is stored first."""
    world.vault.put(OTHER_LOCATION, refresh_token="other")
    world.pipedrive.alive.add("other")
    world.pipedrive.gate = asyncio.Event()
    world.cluster.apply(resource(at(OTHER_LOCATION.path), generation=2))
    await world.reconciler.reconcile(KEY)
    while not world.pipedrive.waits:  # noqa: ASYNC110  turns of the loop, not a time
        await asyncio.sleep(0)

    await delete(world)
    world.pipedrive.answer()
    await world.keeper.drain()

    assert "other" != world.vault.documents[OTHER_LOCATION].values["refresh_token"]
    assert refresh_state.IDLE == state(world, OTHER_LOCATION)


async def test_a_grant_that_another_credential_uses_is_remembered(world: FakedOperator) -> None:
    """It would refresh the grant again for nothing."""
    sharer = replace(KEY, name="sharer")
    world.cluster.apply(resource(OAUTH2_SPEC, name=sharer.name, uid="uid-of-sharer"))
    await world.settle(sharer)
    world.clock.turn(timedelta(minutes=50))
    await world.settle()

    await delete(world)

    assert isinstance(state(world), refresh_state.Fresh)


async def test_a_replica_that_begins_to_lead_remembers_no_refresh(world: FakedOperator) -> None:
    """Another process may have led since, and a grant that counts as refreshed hides one in escrow."""
    world.reconciler.forget_all()

    assert refresh_state.IDLE == state(world)
