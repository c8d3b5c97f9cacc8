"""Two tenants with their own Vault identities: what one of them can read is not for the other."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.grant.document import TenantIdentity
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import ConditionType
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, resource
from support.faked_operator import FakedOperator, seeded_world

OWNER, OTHER = Key(namespace="crm", name="acme"), Key(namespace="sales", name="acme")


def identity(key: Key) -> TenantIdentity:
    """Name the ServiceAccount of a tenant."""
    return TenantIdentity(namespace=key.namespace, service_account="app", role="reader")


def named(key: Key, *, client_key: str = "client_id", **metadata: Any) -> dict[str, Any]:
    """Build a credential that names the grant under its own identity; all tenants use one role."""
    client = {"path": CLIENT_SOURCE.location.path, "idKey": client_key}
    spec = {
        "oauth2": {"client": client, "grant": {"path": GRANT_LOCATION.path}},
        "vault": {"auth": {"role": "reader", "serviceAccountRef": {"name": "app"}}},
    }
    return resource(spec, name=key.name, namespace=key.namespace, uid=f"uid-of-{key}", **metadata)


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a seeded world."""
    async for made in seeded_world():
        yield made


def reason(world: FakedOperator, key: Key, kind: ConditionType = ConditionType.AUTHORIZED) -> str | None:
    """Return the reason of a condition."""
    found = read_credential(world.cluster.credentials[key]).status.condition(kind)
    return None if found is None else found.reason.value


def deny(world: FakedOperator, key: Key) -> None:
    """Let Vault's policy keep a tenant from the grant."""
    world.vault.deny(GRANT_LOCATION, identity(key))


async def test_a_tenant_that_cannot_read_a_grant_learns_nothing_about_its_refresh(world: FakedOperator) -> None:
    """This holds during the refresh and after it."""
    deny(world, OTHER)
    world.cluster.apply(named(OWNER))
    world.cluster.apply(named(OTHER))
    await world.reconciler.reconcile(OWNER)

    await world.reconciler.reconcile(OTHER)
    during_refresh = reason(world, OTHER)
    await world.settle(OWNER)
    await world.settle(OTHER)

    assert "access-1" == world.value("access_token")
    assert ("VaultDenied", "VaultDenied") == (during_refresh, reason(world, OTHER))
    assert {OWNER} == {key for key in world.cluster.secrets if key.name == "acme"}


async def test_a_second_tenant_reads_the_grant_under_its_own_identity(world: FakedOperator) -> None:
    """One refresh serves both, and Vault has let each of them read the grant."""
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


async def test_a_revoked_permission_takes_effect_with_the_next_refresh(world: FakedOperator) -> None:
    """The published value stays until it expires; no newer one follows."""
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


async def test_a_tenant_with_read_access_only_blocks_nobody(world: FakedOperator) -> None:
    """A refresh that its identity cannot store fails only for this tenant, before a token is spent."""
    world.vault.deny(GRANT_LOCATION, identity(OTHER), "create", "update")
    world.cluster.apply(named(OTHER))
    await world.settle(OTHER)
    assert [] == world.pipedrive.spent

    world.cluster.apply(named(OWNER))
    await world.settle(OWNER)

    assert "access-1" == world.value("access_token")


async def test_a_tenant_that_cannot_read_a_grant_does_not_decide_its_client(world: FakedOperator) -> None:
    """Although its credential is the older one; and it does not learn who uses the grant."""
    deny(world, OTHER)
    world.cluster.apply(named(OTHER, client_key="another", creationTimestamp="2020-01-01T00:00:00Z"))
    await world.settle(OTHER)
    world.cluster.apply(named(OWNER))

    await world.settle(OWNER)
    await world.settle(OTHER)

    assert "access-1" == world.value("access_token")
    assert "VaultDenied" == reason(world, OTHER)


async def test_a_tenants_identity_replaces_the_operators(world: FakedOperator) -> None:
    """Vault's policy decides about a path outside the prefixes, and only the tenant's identity reads it."""
    world.cluster.apply(named(OTHER))

    await world.settle(OTHER)

    assert {identity(OTHER)} == set(world.vault.readers)
