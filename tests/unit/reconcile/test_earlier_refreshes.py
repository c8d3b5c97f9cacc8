"""A credential publishes what Vault holds, whatever was refreshed before it has read that."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.document import VaultIdentity, VaultLocation
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.core.values.times import format_time
from support.builders import ACCOUNT, GRANT_LOCATION, GRANT_SOURCE, KEY, OAUTH2_SPEC, resource
from support.faked_operator import FakedOperator, published_world
from support.refresh import ORDER

UNGUARDED = {"oauth2": OAUTH2_SPEC["oauth2"]}
OTHER = Account(company_id=99, company_domain="other", user_id=7)
NEW = Key(namespace="crm", name="new")


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Return an operator that has refreshed and published a grant."""
    async for made in published_world(UNGUARDED):
        yield made


@pytest.mark.parametrize("account", [ACCOUNT, OTHER])
async def test_a_credential_that_joins_publishes_what_another_has_stored_since(
    world: FakedOperator, account: Account
) -> None:
    """Another cluster has refreshed the grant, or a person has written that of another company."""
    _store_elsewhere(world, account)
    await world.settle()

    world.cluster.apply(resource(UNGUARDED, name="new", creationTimestamp=format_time(world.clock.now())))
    await world.settle(NEW)

    assert "of-another" == world.value("access_token", "new")


async def test_a_credential_publishes_what_was_stored_after_a_refresh_that_did_not_wake_it(
    world: FakedOperator,
) -> None:
    """Another credential had ordered that refresh, and another cluster has refreshed the grant since."""
    world.keeper.refresh(replace(ORDER, requester=NEW))
    await world.keeper.drain()
    _store_elsewhere(world, ACCOUNT)

    await world.settle()

    assert "of-another" == world.value("access_token")


async def test_a_credential_that_may_not_read_the_grant_publishes_no_earlier_refresh(world: FakedOperator) -> None:
    """Vault's policy was changed, and another credential of the same identity had refreshed it."""
    world.clock.turn(timedelta(seconds=1))
    world.vault.deny(GRANT_LOCATION, GRANT_SOURCE.identity)
    world.cluster.apply(resource(UNGUARDED, name="new", creationTimestamp=format_time(world.clock.now())))

    await world.settle(NEW)

    assert world.value("access_token", "new") is None


async def test_a_credential_of_a_deleted_grant_publishes_no_earlier_refresh(world: FakedOperator) -> None:
    """Another credential had refreshed it."""
    world.clock.turn(timedelta(seconds=1))
    del world.vault.documents[GRANT_LOCATION]
    world.cluster.apply(resource(UNGUARDED, name="new", creationTimestamp=format_time(world.clock.now())))

    await world.settle(NEW)

    assert world.value("access_token", "new") is None


async def test_a_credential_that_cannot_read_the_grant_yet_publishes_no_earlier_refresh(world: FakedOperator) -> None:
    """Vault has been away since it was created, and a person had written the grant of another company before."""
    _store_elsewhere(world, OTHER)
    await world.settle()
    world.vault.breaks = VaultUnavailable("Vault is sealed")
    world.cluster.apply(resource(UNGUARDED, name="new", creationTimestamp=format_time(world.clock.now())))
    await world.settle(NEW)
    during_outage = world.value("access_token", "new")
    world.vault.breaks = None
    world.reconciler.vault_returned(GRANT_LOCATION.connection)

    await world.settle(NEW)

    assert (None, "of-another") == (during_outage, world.value("access_token", "new"))


async def test_a_refresh_that_vault_acknowledges_late_is_not_put_over_what_was_read_since(world: FakedOperator) -> None:
    """A person wrote another grant over its result, and the credential has read that."""
    acknowledged, stored = asyncio.Event(), asyncio.Event()
    write = world.vault.write

    async def acknowledge_late(
        location: VaultLocation, values: Mapping[str, object], identity: VaultIdentity, *, cas: int
    ) -> int:
        version = await write(location, values, identity, cas=cas)
        if "refresh_id" not in values:
            world.vault.write = write  # type: ignore[method-assign]
            stored.set()
            await acknowledged.wait()
        return version

    world.vault.write = acknowledge_late  # type: ignore[method-assign]
    world.keeper.refresh(replace(ORDER, requester=KEY, is_requested=True, replaces=_access_digest(world)))
    await stored.wait()
    result = world.vault.documents[GRANT_LOCATION]
    _store_elsewhere(world, ACCOUNT)
    await world.reconciler.reconcile(KEY)
    world.clock.turn(timedelta(seconds=1))
    acknowledged.set()
    await world.keeper.drain()

    await world.settle()

    assert "of-another" == world.value("access_token")
    assert not world.keeper.note_read(GRANT_SOURCE, result)


async def test_a_refresh_that_ends_late_is_not_put_over_what_was_read_since(world: FakedOperator) -> None:
    """Its result was stored, but the deletion of the copy took long; another cluster refreshed the grant meanwhile."""
    go_on, waits = asyncio.Event(), asyncio.Event()
    escrow = world.escrow
    drop = escrow.drop

    async def drop_late(location: VaultLocation, refresh_id: str) -> None:
        waits.set()
        await go_on.wait()
        await drop(location, refresh_id)

    escrow.drop = drop_late  # type: ignore[method-assign]
    world.clock.turn(timedelta(seconds=1))
    world.keeper.refresh(replace(ORDER, requester=NEW, is_requested=True, replaces=_access_digest(world)))
    await waits.wait()
    world.clock.turn(timedelta(seconds=1))
    _store_elsewhere(world, ACCOUNT)
    await world.reconciler.reconcile(KEY)
    go_on.set()
    await world.keeper.drain()

    await world.settle()

    assert "of-another" == world.value("access_token")


def _access_digest(world: FakedOperator) -> str:
    return SecretValue(str(world.value("access_token"))).digest()


def _store_elsewhere(world: FakedOperator, account: Account) -> None:
    """Let another process store a grant of an account, and time pass until Vault is read again."""
    world.pipedrive.accounts["of-another"] = account
    expires_at = format_time(world.clock.now() + timedelta(hours=1))
    world.vault.put(GRANT_LOCATION, refresh_token="another", access_token="of-another", expires_at=expires_at)
    world.clock.turn(timedelta(minutes=6))
