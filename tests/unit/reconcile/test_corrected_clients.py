"""A grant is refreshed soon after a wrong client in Vault was corrected, or a new grant written as the message asks."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pipedrive_operator.core.values.conditions import ConditionType
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, OAUTH2_SPEC, resource
from support.faked_operator import REFRESH, FakedOperator, published_world

POLL = timedelta(minutes=5)


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Yield an operator whose credential could not be refreshed, because Vault holds the id of another client."""
    async for made in published_world(OAUTH2_SPEC):
        made.vault.put(CLIENT_SOURCE.location, client_id="typo", client_secret="hush")
        made.clock.turn(timedelta(minutes=45))
        await made.settle()
        assert ("False", "InvalidSpec") == made.condition(ConditionType.READY)
        yield made


async def test_a_grant_is_refreshed_at_the_next_poll_after_its_client_was_put_back(world: FakedOperator) -> None:
    """Its access token has a quarter of an hour left."""
    world.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="hush")

    await _let_pass(world, POLL)

    assert ["seed", "refresh-1"] == world.pipedrive.sent
    assert ("True", "Published") == world.condition(ConditionType.READY)


async def test_a_new_grant_is_refreshed_at_the_next_poll(world: FakedOperator) -> None:
    """A person has written it, as the message asks."""
    world.vault.put(GRANT_LOCATION, refresh_token="new")
    world.pipedrive.alive.add("new")

    await _let_pass(world, 2 * POLL)

    assert ["seed", "new"] == world.pipedrive.sent


async def test_a_requested_refresh_is_made_after_the_client_was_put_back(world: FakedOperator) -> None:
    """The request need not wait for the next verification."""
    world.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="hush")
    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))

    await _let_pass(world, POLL)

    assert ["seed", "refresh-1"] == world.pipedrive.sent


async def _let_pass(world: FakedOperator, time: timedelta) -> None:
    for _ in range(int(time / timedelta(minutes=1)) + 1):
        world.clock.turn(timedelta(minutes=1))
        await world.settle()
