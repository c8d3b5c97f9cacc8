"""A wall clock that is turned back must not prolong a pause: each one ends at a time that this clock shows."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pipedrive_operator.core.resource.names import ANNOTATION_REQUESTED_AT
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.errors import PipedriveUnavailable
from support.builders import API_TOKEN_SPEC, GRANT_LOCATION, OAUTH2_SPEC, TIMINGS, TOKEN_LOCATION, resource
from support.faked_operator import FIRST, FakedOperator, seeded_world

BACK = timedelta(days=-1)
SECOND = "b" * 40


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a world with a seeded Vault."""
    async for made in seeded_world():
        yield made


async def test_vault_is_read_at_the_poll_interval_after_the_clock_was_turned_back(world: FakedOperator) -> None:
    """A value that a person has written is published as usual."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    assert world.value("api_token") == FIRST
    world.vault.put(TOKEN_LOCATION, api_token=SECOND)
    world.pipedrive.accounts[SECOND] = world.pipedrive.company

    world.clock.step(BACK)
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()

    assert world.value("api_token") == SECOND


async def test_a_failed_refresh_is_repeated_after_the_clock_was_turned_back(world: FakedOperator) -> None:
    """The pause after it was a minute."""
    world.pipedrive.breaks = PipedriveUnavailable("503")
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    assert world.vault.documents[GRANT_LOCATION].values["refresh_token"] == "seed"
    world.pipedrive.breaks = None

    world.clock.step(BACK)
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()

    assert world.condition(ConditionType.READY) == ("True", "Published")


async def test_a_rejected_token_is_refreshed_after_the_clock_was_turned_back(world: FakedOperator) -> None:
    """The refresh that followed the rejection had failed."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    rejected = world.value("access_token")
    assert rejected is not None
    del world.pipedrive.accounts[rejected]
    world.pipedrive.network.loses_connections = 1.0
    world.cluster.apply(resource(OAUTH2_SPEC, annotations={ANNOTATION_REQUESTED_AT: "now"}))
    await world.settle()
    assert world.condition(ConditionType.AUTHORIZED) == ("Unknown", "PipedriveUnavailable")
    world.pipedrive.network.loses_connections = 0.0

    world.clock.step(BACK)
    await world.settle()
    world.clock.turn(timedelta(minutes=1))
    await world.settle()

    assert world.value("access_token") != rejected


async def test_an_older_value_is_not_published_after_the_clock_was_turned_back(world: FakedOperator) -> None:
    """The next read is from a standby of Vault that lags: what was known before the step still counts."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    old = world.vault.documents[TOKEN_LOCATION]
    world.vault.put(TOKEN_LOCATION, api_token=SECOND)
    world.pipedrive.accounts[SECOND] = world.pipedrive.company
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()
    assert world.value("api_token") == SECOND

    world.clock.step(BACK)
    world.vault.documents[TOKEN_LOCATION] = old
    await world.settle()

    assert world.value("api_token") == SECOND


async def test_a_small_step_back_costs_one_read(world: FakedOperator) -> None:
    """Without it, the next poll would come later by as much, and with it a value that was written meanwhile."""
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    reads = len(world.vault.reads)

    world.clock.step(timedelta(seconds=-1))
    await world.settle()
    await world.settle()

    assert reads + 1 == len(world.vault.reads)
