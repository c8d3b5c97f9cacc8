"""A refresh that was asked for is made, even if it cannot be made at once."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pipedrive_operator.core.values.errors import PipedriveUnavailable, RateLimited, Trouble
from support.builders import GRANT_LOCATION, OAUTH2_SPEC, resource
from support.faked_operator import REFRESH, FakedOperator, published_world


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Return an operator that has published a grant."""
    async for made in published_world(OAUTH2_SPEC):
        made.clock.turn(timedelta(minutes=1))
        yield made


@pytest.mark.parametrize("trouble", [PipedriveUnavailable("refused"), RateLimited("429")])
@pytest.mark.parametrize("failures", [1, 3])
async def test_a_requested_refresh_that_pipedrive_does_not_accept_is_made_later(
    world: FakedOperator, trouble: Trouble, failures: int
) -> None:
    """It is not due otherwise."""
    world.pipedrive.breaks = trouble
    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    for _ in range(failures):
        await world.settle()
        world.clock.turn(timedelta(minutes=5))
    world.pipedrive.breaks = None
    before = len(world.pipedrive.spent)

    await world.settle()

    assert before + 1 == len(world.pipedrive.spent)


async def test_a_requested_refresh_is_made_when_vault_returns(world: FakedOperator) -> None:
    """Its intent could not be written."""
    world.vault.breaks_after = 0
    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    await world.settle()
    world.vault.breaks_after = None
    before = len(world.pipedrive.spent)

    assert world.reconciler.vault_returned(GRANT_LOCATION.connection)
    await world.settle()

    assert before + 1 == len(world.pipedrive.spent)


async def test_a_requested_refresh_is_made_once(world: FakedOperator) -> None:
    """Its failure is forgotten after a success."""
    world.pipedrive.breaks = RateLimited("429")
    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    await world.settle()
    world.pipedrive.breaks = None
    world.clock.turn(timedelta(minutes=5))
    await world.settle()
    made = len(world.pipedrive.spent)

    world.clock.turn(timedelta(minutes=5))
    await world.settle()

    assert made == len(world.pipedrive.spent)
