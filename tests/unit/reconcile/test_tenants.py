"""Two tenants with identities of their own before one operator: what one may read is not for the other."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.grant.document import TenantIdentity
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import ConditionType
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, resource
from support.faked_operator import World, seeded_world

OWNER, OTHER = Key(namespace="crm", name="acme"), Key(namespace="sales", name="acme")


def identity(key: Key) -> TenantIdentity:
    """Name the ServiceAccount of a tenant."""
    return TenantIdentity(namespace=key.namespace, service_account="app", role="reader")


def named(key: Key, *, client_key: str = "client_id", **metadata: Any) -> dict[str, Any]:
    """Build a credential that names the grant under its own identity; its role is everybody's."""
    client = {"path": CLIENT_SOURCE.location.path, "idKey": client_key}
    spec = {
        "oauth2": {"client": client, "grant": {"path": GRANT_LOCATION.path}},
        "vault": {"auth": {"role": "reader", "serviceAccountRef": {"name": "app"}}},
    }
    return resource(spec, name=key.name, namespace=key.namespace, uid=f"uid-of-{key}", **metadata)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Give a seeded world."""
    async for made in seeded_world():
        yield made


def reason(world: World, key: Key, kind: ConditionType = ConditionType.AUTHORIZED) -> str | None:
    """Return the reason of a condition."""
    found = read_credential(world.cluster.credentials[key]).status.condition(kind)
    return None if found is None else found.reason.value


def deny(world: World, key: Key) -> None:
    """Let Vault's policy keep a tenant from the grant."""
    world.vault.deny(GRANT_LOCATION, identity(key))


async def test_who_may_not_read_a_grant_gets_nothing_of_a_flight(world: World) -> None:
    """Neither while it is under way nor when it has landed, nor a word about it."""
    deny(world, OTHER)
    world.cluster.apply(named(OWNER))
    world.cluster.apply(named(OTHER))
    await world.reconciler.reconcile(OWNER)

    await world.reconciler.reconcile(OTHER)
    in_flight = reason(world, OTHER)
    await world.settle(OWNER)
    await world.settle(OTHER)

    assert "access-1" == world.value("access_token")
    assert ("VaultDenied", "VaultDenied") == (in_flight, reason(world, OTHER))
    assert {OWNER} == {key for key in world.cluster.secrets if key.name == "acme"}


async def test_who_may_read_it_too_reads_it_under_its_own_identity(world: World) -> None:
    """One refresh serves both, and each has been shown the grant by Vault."""
    world.cluster.apply(named(OWNER))
    world.cluster.apply(named(OTHER))
    await world.reconciler.reconcile(OWNER)
    await world.reconciler.reconcile(OTHER)
    await world.keeper.drain()
    world.vault.readers.clear()

    await world.settle(OTHER)

    assert ["seed"] == world.pipedrive.spent
    assert {identity(OTHER)} == set(world.vault.readers)
    assert OTHER in world.cluster.secrets


async def test_a_right_that_was_taken_away_ends_with_the_next_flight(world: World) -> None:
    """What was published stays until it expires; nothing newer comes."""
    world.cluster.apply(named(OWNER))
    world.cluster.apply(named(OTHER))
    await world.settle(OWNER)
    await world.settle(OTHER)
    before = world.cluster.secrets[OTHER]
    deny(world, OTHER)
    world.clock.turn(timedelta(minutes=50))

    await world.settle(OWNER)
    await world.settle(OTHER)

    assert "access-2" == world.value("access_token")
    assert before == world.cluster.secrets[OTHER]
    assert "VaultDenied" == reason(world, OTHER)


async def test_who_may_only_read_holds_nobody_up(world: World) -> None:
    """A refresh that its identity may not write fails for it alone, before a token is spent."""
    world.vault.deny(GRANT_LOCATION, identity(OTHER), "create", "update")
    world.cluster.apply(named(OTHER))
    await world.settle(OTHER)
    assert [] == world.pipedrive.spent

    world.cluster.apply(named(OWNER))
    await world.settle(OWNER)

    assert "access-1" == world.value("access_token")


async def test_who_may_not_read_a_grant_does_not_decide_its_client(world: World) -> None:
    """Though their credential is the older one; and they are not told who has the grant."""
    deny(world, OTHER)
    world.cluster.apply(named(OTHER, client_key="another", creationTimestamp="2020-01-01T00:00:00Z"))
    await world.settle(OTHER)
    world.cluster.apply(named(OWNER))

    await world.settle(OWNER)
    await world.settle(OTHER)

    assert "access-1" == world.value("access_token")
    assert "VaultDenied" == reason(world, OTHER)


async def test_an_identity_is_not_the_operators(world: World) -> None:
    """A path outside the prefixes is for Vault's policy to judge then, and for the tenant's identity alone."""
    world.cluster.apply(named(OTHER))

    await world.settle(OTHER)

    assert {identity(OTHER)} == set(world.vault.readers)
