"""The contract of `ports.Leases`, which the fake and the adapter with a real API server must both keep."""

from dataclasses import replace
from datetime import timedelta

import pytest

from contracts.kubernetes_contract import ClusterPart
from contracts.wire import Loss
from pipedrive_operator.core.values.errors import ApiServerUnavailable, LeaseChanged
from pipedrive_operator.core.values.lease import Lease
from support.builders import NOW

HELD = Lease(
    holder="operator-0",
    duration=timedelta(seconds=30),
    acquired_at=NOW,
    renewed_at=NOW + timedelta(seconds=3, microseconds=250),
    transitions=2,
)


async def created(cluster: ClusterPart) -> Lease:
    """Create the Lease, and read it."""
    await cluster.leases.write(HELD)
    lease = await cluster.leases.read()
    assert lease is not None
    return lease


async def test_a_lease_that_does_not_exist_is_none(cluster: ClusterPart) -> None:
    """It is not an error."""
    assert await cluster.leases.read() is None


async def test_a_lease_is_read_back_as_it_was_written(cluster: ClusterPart) -> None:
    """Times are kept to the microsecond, and the Lease has a resourceVersion."""
    lease = await created(cluster)

    assert replace(lease, resource_version=None) == HELD
    assert lease.resource_version is not None


async def test_a_renewed_lease_has_another_version(cluster: ClusterPart) -> None:
    """That is how standbys notice the renewal."""
    lease = await created(cluster)
    renewed = replace(lease, renewed_at=NOW + timedelta(seconds=6))

    await cluster.leases.write(renewed)

    now = await cluster.leases.read()
    assert now is not None
    assert now.resource_version != lease.resource_version
    assert replace(now, resource_version=lease.resource_version) == renewed


async def test_a_released_lease_has_no_holder(cluster: ClusterPart) -> None:
    """The Lease stays, and the next leader acquires it."""
    lease = await created(cluster)

    await cluster.leases.write(replace(lease, holder="", duration=timedelta(seconds=1)))

    now = await cluster.leases.read()
    assert now is not None
    assert (now.holder, now.duration, now.transitions) == ("", timedelta(seconds=1), 2)


async def test_of_two_writes_to_the_same_version_the_second_fails(cluster: ClusterPart) -> None:
    """The Lease stays as the first one wrote it."""
    lease = await created(cluster)
    await cluster.leases.write(replace(lease, holder="operator-1"))

    with pytest.raises(LeaseChanged):
        await cluster.leases.write(replace(lease, holder="operator-2"))

    now = await cluster.leases.read()
    assert now is not None
    assert now.holder == "operator-1"


async def test_of_two_creations_the_second_fails(cluster: ClusterPart) -> None:
    """Only one Lease of that name can exist."""
    await created(cluster)

    with pytest.raises(LeaseChanged):
        await cluster.leases.write(replace(HELD, holder="operator-1"))


async def test_a_lease_that_was_deleted_since_it_was_read_is_not_created_again(cluster: ClusterPart) -> None:
    """It has changed since it was read."""
    lease = await created(cluster)
    await cluster.delete_lease()

    with pytest.raises(LeaseChanged):
        await cluster.leases.write(lease)

    assert await cluster.leases.read() is None


async def test_a_write_that_changes_nothing_keeps_the_version(cluster: ClusterPart) -> None:
    """It can be repeated at the same version."""
    lease = await created(cluster)

    await cluster.leases.write(lease)

    assert await cluster.leases.read() == lease


@pytest.mark.parametrize("loss", [Loss.REQUESTS, Loss.ANSWERS])
async def test_a_lost_read_is_unavailable(cluster: ClusterPart, loss: Loss) -> None:
    """It is not reported as a missing Lease."""
    await cluster.lose(loss)

    with pytest.raises(ApiServerUnavailable):
        await cluster.leases.read()


async def test_a_write_whose_request_is_lost_changes_nothing(cluster: ClusterPart) -> None:
    """The port reports that the API server is unavailable."""
    lease = await created(cluster)
    await cluster.lose(Loss.REQUESTS)

    with pytest.raises(ApiServerUnavailable):
        await cluster.leases.write(replace(lease, holder="operator-1"))

    cluster.heal()
    assert await cluster.leases.read() == lease


async def test_a_write_whose_response_is_lost_has_taken_effect(cluster: ClusterPart) -> None:
    """The port reports that the API server is unavailable, and the write cannot be repeated."""
    lease = await created(cluster)
    await cluster.lose(Loss.ANSWERS)

    with pytest.raises(ApiServerUnavailable):
        await cluster.leases.write(replace(lease, holder="operator-1"))

    cluster.heal()
    now = await cluster.leases.read()
    assert now is not None
    assert now.holder == "operator-1"
    with pytest.raises(LeaseChanged):
        await cluster.leases.write(replace(lease, holder="operator-1"))
