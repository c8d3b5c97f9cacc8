"""A standby of Vault that lags, seen by a credential: its Secret never goes back, and its request is not lost."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.document import Document, VaultLocation
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import ConditionType, Reason
from pipedrive_operator.core.values.times import format_time
from support.builders import GRANT_LOCATION, GRANT_SOURCE, OAUTH2_SPEC, resource
from support.faked_operator import REFRESH, FakedOperator, seeded_world
from support.refresh import in_time

SECONDS = 4.0
NEW = Key(namespace="crm", name="new")


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a seeded world."""
    async for made in seeded_world():
        yield made


async def test_a_requested_refresh_uses_no_older_version_than_the_credential_has_read(world: FakedOperator) -> None:
    """Another cluster has just refreshed the grant. The refresh reads from a standby that does not know it yet."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    before = world.vault.documents[GRANT_LOCATION]
    _refresh_elsewhere(world)
    _let_reads_lag(world, before, after=1)

    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    await in_time(world.clock, world.settle())

    assert ["seed", "of another cluster"] == world.pipedrive.spent
    assert world.value("access_token") == world.vault.documents[GRANT_LOCATION].values["access_token"]


async def test_a_version_that_is_newer_than_what_a_credential_knows_is_used_although_a_server_lags(
    world: FakedOperator,
) -> None:
    """Another credential has read a newer one, and neither holds the grant that this one knows."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    _refresh_elsewhere(world)
    middle = world.vault.documents[GRANT_LOCATION]
    world.keeper.note_read(GRANT_SOURCE, replace(middle, version=middle.version + 1))
    world.clock.turn(timedelta(minutes=6))

    await world.settle()

    assert "access of another" == world.value("access_token")


@pytest.mark.parametrize("has_any", [True, False])
async def test_a_credential_that_joins_uses_no_older_version_than_the_process_has_read(
    world: FakedOperator, *, has_any: bool
) -> None:
    """Another credential has just read the newest one. The server that lags shows an older one, or none yet."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    before = world.vault.documents[GRANT_LOCATION] if has_any else None
    _refresh_elsewhere(world)
    world.clock.turn(timedelta(minutes=6))
    await world.settle()
    _let_reads_lag(world, before, after=0)

    world.cluster.apply(resource(OAUTH2_SPEC, name="new", creationTimestamp=format_time(world.clock.now())))
    await world.settle(NEW)

    assert (None, Reason.VAULT_UNAVAILABLE) == (world.value("access_token", "new"), _reason(world, NEW))
    world.clock.turn(timedelta(minutes=1))
    await world.settle(NEW)
    assert "access of another" == world.value("access_token", "new")


async def test_a_version_from_before_a_refresh_is_not_used(world: FakedOperator) -> None:
    """A server that lags shows the version with the intent, which is newer than what the credential had read."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    with_intent = world.vault.documents[GRANT_LOCATION]
    world.cluster.apply(resource(OAUTH2_SPEC, annotations=REFRESH))
    await world.settle()
    published = world.value("access_token")
    world.vault.documents[GRANT_LOCATION] = with_intent
    world.clock.turn(timedelta(minutes=6))

    await world.settle()

    assert "access-2" == published == world.value("access_token")


def _refresh_elsewhere(world: FakedOperator) -> None:
    values = dict(world.vault.documents[GRANT_LOCATION].values)
    del values["refresh_token_digest"]
    world.pipedrive.alive = {"of another cluster"}
    world.pipedrive.accounts["access of another"] = world.pipedrive.company
    newer = {"refresh_token": "of another cluster", "access_token": "access of another"}
    world.vault.put(GRANT_LOCATION, **(values | newer))


def _reason(world: FakedOperator, key: Key) -> Reason | None:
    found = read_credential(world.cluster.credentials[key]).status.condition(ConditionType.READY)
    return found.reason if found is not None else None


def _let_reads_lag(world: FakedOperator, before: Document | None, *, after: int) -> None:
    served, ends_at = world.vault.served, world.clock.monotonic() + SECONDS
    reads = iter([False] * after)

    def lag(location: VaultLocation) -> tuple[Document | None, float]:
        found, as_of = served(location)
        is_behind = location == GRANT_LOCATION and as_of < ends_at and next(reads, True)
        return (before, as_of) if is_behind else (found, as_of)

    world.vault.served = lag  # type: ignore[method-assign]
