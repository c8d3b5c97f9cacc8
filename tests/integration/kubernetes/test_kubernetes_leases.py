"""The Lease in a real API server: as Kubernetes' own tools see it, and with the permissions of `check`."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from integration.kubernetes.rights import grant_rights
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.leases import KubernetesLeases
from pipedrive_operator.adapters.kubernetes.permissions import missing, required_for_election
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable, LeaseChanged
from pipedrive_operator.core.values.lease import Lease
from support.builders import NOW
from testbed.control_plane import ControlPlane

HELD = Lease(holder="operator-0", duration=timedelta(seconds=30), acquired_at=NOW, renewed_at=NOW, transitions=4)


@pytest.fixture
def key(namespace: str) -> Key:
    """Return the key of the Lease."""
    return Key(namespace=namespace, name="leader")


@pytest.fixture
async def limited(control_plane: ControlPlane, key: Key) -> AsyncIterator[Api]:
    """Connect as a user with the permissions that the operator needs for that Lease, and no others."""
    user = f"limited-{key.namespace}"
    grant_rights(control_plane, user, required_for_election(key))
    async with await Api.connect(KubernetesSettings(kubeconfig=control_plane.kubeconfig_for(user))) as api:
        yield api


def stored(control_plane: ControlPlane, key: Key) -> dict[str, Any]:
    """Return the spec of the Lease in the cluster."""
    text = control_plane.kubectl("get", "lease", key.name, f"--namespace={key.namespace}", "--output=json")
    spec: dict[str, Any] = json.loads(text)["spec"]
    return spec


async def test_kubectl_shows_the_leader(api: Api, control_plane: ControlPlane, key: Key) -> None:
    """`kubectl get lease` prints the holder."""
    await KubernetesLeases(api, key).write(replace(HELD, renewed_at=NOW + timedelta(microseconds=120)))

    assert stored(control_plane, key) == {
        "holderIdentity": "operator-0",
        "leaseDurationSeconds": 30,
        "acquireTime": "2026-03-04T12:00:00.000000Z",
        "renewTime": "2026-03-04T12:00:00.000120Z",
        "leaseTransitions": 4,
    }


async def test_a_lease_that_a_person_created_is_read(api: Api, control_plane: ControlPlane, key: Key) -> None:
    """It may have an empty spec."""
    manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": key.name}}
    control_plane.kubectl("create", f"--namespace={key.namespace}", "--filename=-", stdin=json.dumps(manifest))

    lease = await KubernetesLeases(api, key).read()

    assert lease is not None
    assert (lease.holder, lease.transitions, lease.acquired_at, lease.renewed_at) == ("", 0, None, None)


async def test_one_of_many_concurrent_replicas_acquires_the_lease(api: Api, key: Key) -> None:
    """This holds for a Lease that must be created and for one that is free."""
    leases = KubernetesLeases(api, key)

    async def wins(lease: Lease) -> bool:
        try:
            await leases.write(lease)
        except LeaseChanged:
            return False
        return True

    made = await asyncio.gather(*(wins(replace(HELD, holder=f"operator-{number}")) for number in range(20)))
    held = await leases.read()
    assert held is not None
    taken = await asyncio.gather(*(wins(replace(held, holder=f"other-{number}")) for number in range(20)))

    assert (sum(made), sum(taken)) == (1, 1)
    assert held.holder == f"operator-{made.index(True)}"
    now = await leases.read()
    assert now is not None
    assert now.holder == f"other-{taken.index(True)}"


async def test_the_permissions_of_check_are_sufficient(limited: Api, key: Key) -> None:
    """They allow to create, renew and release the Lease of that name, and no other."""
    leases = KubernetesLeases(limited, key)
    assert await missing(limited, required_for_election(key)) == []

    await leases.write(HELD)
    held = await leases.read()
    assert held is not None
    await leases.write(replace(held, holder=""))

    with pytest.raises(ApiServerUnavailable, match="cannot get resource"):
        await KubernetesLeases(limited, replace(key, name="another")).read()


async def test_a_lease_that_cannot_be_read_is_not_taken_for_absent(stranger: Api, key: Key) -> None:
    """A missing permission is an error."""
    leases = KubernetesLeases(stranger, key)

    with pytest.raises(ApiServerUnavailable, match="cannot get resource"):
        await leases.read()
    with pytest.raises(ApiServerUnavailable, match="cannot create resource"):
        await leases.write(HELD)
    assert len(await missing(stranger, required_for_election(key))) == 3
