"""A refresh that was asked for is made, even if it cannot be made at once."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from fakes.escrow import build_escrow
from pipedrive_operator.core.grant.grant import read_grant
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.errors import PipedriveUnavailable, RateLimited, Trouble
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.core.values.times import format_time
from support.builders import GRANT_LOCATION, OAUTH2_SPEC, resource
from support.faked_operator import REFRESH, FakedOperator, published_world

YOUNGER = Key(namespace="crm", name="younger")


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


@pytest.mark.parametrize("can_be_deleted", [False, True])
async def test_a_requested_refresh_is_made_beside_a_copy_in_escrow(
    world: FakedOperator, *, can_be_deleted: bool
) -> None:
    """Vault holds the grant of that copy already, so settling it needs no refresh."""
    stored = read_grant(world.vault.documents[GRANT_LOCATION])
    assert stored is not None
    assert await world.escrow.keep(GRANT_LOCATION, stored, "us-0", SecretValue("hush"))
    world.cluster.keeps_escrow_for_ever = not can_be_deleted
    before = len(world.pipedrive.spent)

    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    await world.settle()

    assert before + 1 == len(world.pipedrive.spent)


async def test_a_refused_grant_is_not_accepted_again_because_a_copy_of_it_appears(world: FakedOperator) -> None:
    """A former leader has kept what Vault holds already. Settling that copy says nothing about the grant."""
    world.pipedrive.alive = set()
    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    await world.settle()
    stored = read_grant(world.vault.documents[GRANT_LOCATION])
    assert stored is not None
    assert await build_escrow(world.cluster).keep(GRANT_LOCATION, stored, "them-0", SecretValue("hush"))

    assert await world.escrow.load()
    world.keeper.escrow_appeared()
    await world.settle()

    assert ("False", "ConsentRequired") == world.condition(ConditionType.AUTHORIZED)


async def test_a_requested_refresh_is_made_although_another_credential_joins(world: FakedOperator) -> None:
    """A younger credential that has named another path before begins to use the grant during the pause."""
    created = format_time(world.clock.now())
    world.cluster.apply(_younger("pipedrive/crm/none", created=created, generation=1))
    await world.settle(YOUNGER)
    world.pipedrive.breaks = RateLimited("429", retry_after=timedelta(minutes=1))
    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    await world.settle()
    sent = len(world.pipedrive.sent)

    world.cluster.apply(_younger(GRANT_LOCATION.path, created=created, generation=2))
    await world.settle(YOUNGER)
    during_pause = len(world.pipedrive.sent)
    world.pipedrive.breaks = None
    world.clock.turn(timedelta(minutes=5))
    await world.settle()

    assert (sent, sent + 1) == (during_pause, len(world.pipedrive.sent))


async def test_a_requested_refresh_is_made_although_another_credential_knows_an_older_token(
    world: FakedOperator,
) -> None:
    """Another cluster has refreshed the grant. The other credential has not read that, and its renewal is due."""
    world.cluster.apply(_younger(GRANT_LOCATION.path, created=format_time(world.clock.now()), generation=1))
    await world.settle(YOUNGER)
    world.clock.turn(timedelta(minutes=38))
    await world.settle(YOUNGER)
    _refresh_elsewhere(world)
    world.pipedrive.breaks = RateLimited("429", retry_after=timedelta(minutes=2))
    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    await world.settle()
    world.pipedrive.breaks = None
    world.clock.turn(timedelta(minutes=3))

    await world.settle(YOUNGER)
    await world.settle()

    assert "elsewhere" == world.pipedrive.spent[-1]


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


def _refresh_elsewhere(world: FakedOperator) -> None:
    world.pipedrive.alive = {"elsewhere"}
    world.pipedrive.accounts["of elsewhere"] = world.pipedrive.company
    newer = {"refresh_token": "elsewhere", "access_token": "of elsewhere"}
    world.vault.put(GRANT_LOCATION, **newer, expires_at=format_time(world.clock.now() + timedelta(hours=1)))


def _younger(path: str, *, created: str, generation: int) -> dict[str, Any]:
    spec = OAUTH2_SPEC | {"oauth2": OAUTH2_SPEC["oauth2"] | {"grant": {"path": path}}}
    return resource(spec, name=YOUNGER.name, uid="uid-younger", creationTimestamp=created, generation=generation)
