"""The Lease in a real API server: as Kubernetes' own components see it, and with the rights that `check` asks for."""

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
    """Name the Lease."""
    return Key(namespace=namespace, name="leader")


@pytest.fixture
async def limited(control_plane: ControlPlane, key: Key) -> AsyncIterator[Api]:
    """Open the gateway as somebody who may do with that Lease what the operator must, and nothing else."""
    user = f"limited-{key.namespace}"
    grant_rights(control_plane, user, required_for_election(key))
    async with await Api.connect(KubernetesSettings(kubeconfig=control_plane.kubeconfig_for(user))) as api:
        yield api


def stored(control_plane: ControlPlane, key: Key) -> dict[str, Any]:
    """Return the Lease's spec as it is in the cluster."""
    text = control_plane.kubectl("get", "lease", key.name, f"--namespace={key.namespace}", "--output=json")
    spec: dict[str, Any] = json.loads(text)["spec"]
    return spec


async def test_the_lease_is_one_that_others_can_read(api: Api, control_plane: ControlPlane, key: Key) -> None:
    """`kubectl get lease` shows who leads."""
    await KubernetesLeases(api, key).write(replace(HELD, renewed_at=NOW + timedelta(microseconds=120)))

    assert stored(control_plane, key) == {
        "holderIdentity": "operator-0",
        "leaseDurationSeconds": 30,
        "acquireTime": "2026-03-04T12:00:00.000000Z",
        "renewTime": "2026-03-04T12:00:00.000120Z",
        "leaseTransitions": 4,
    }


async def test_a_lease_of_another_making_is_read(api: Api, control_plane: ControlPlane, key: Key) -> None:
    """A person may have made one with nothing in it."""
    manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": key.name}}
    control_plane.kubectl("create", f"--namespace={key.namespace}", "--filename=-", stdin=json.dumps(manifest))

    lease = await KubernetesLeases(api, key).read()

    assert lease is not None
    assert (lease.holder, lease.transitions, lease.acquired_at, lease.renewed_at) == ("", 0, None, None)


async def test_of_many_replicas_at_once_one_takes_the_lease(api: Api, key: Key) -> None:
    """Whether it has to be made or only to be taken."""
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


async def test_what_check_asks_for_is_enough(limited: Api, key: Key) -> None:
    """To make the Lease, renew it and release it; by its name, and no other."""
    leases = KubernetesLeases(limited, key)
    assert await missing(limited, required_for_election(key)) == []

    await leases.write(HELD)
    held = await leases.read()
    assert held is not None
    await leases.write(replace(held, holder=""))

    with pytest.raises(ApiServerUnavailable, match="cannot get resource"):
        await KubernetesLeases(limited, replace(key, name="another")).read()


async def test_without_the_rights_there_is_no_lease_and_no_absence(stranger: Api, key: Key) -> None:
    """Who may not read it does not take it for absent."""
    leases = KubernetesLeases(stranger, key)

    with pytest.raises(ApiServerUnavailable, match="cannot get resource"):
        await leases.read()
    with pytest.raises(ApiServerUnavailable, match="cannot create resource"):
        await leases.write(HELD)
    assert len(await missing(stranger, required_for_election(key))) == 3
