"""The Lease of a cluster's replicas."""

from dataclasses import dataclass, replace

from fakes.cluster import FakeCluster
from pipedrive_operator.core.values.errors import LeaseChanged
from pipedrive_operator.core.values.lease import Lease


@dataclass
class FakeLeases:
    """Implements `ports.Leases`."""

    cluster: FakeCluster

    async def read(self) -> Lease | None:
        """Return the Lease."""
        await self.cluster.arrive()
        lease = self.cluster.lease
        await self.cluster.answer()
        return lease

    async def write(self, lease: Lease) -> None:
        """Create the Lease, or replace the one that was read."""
        await self.cluster.arrive()
        current = self.cluster.lease
        is_current = lease.resource_version == (current.resource_version if current else None)
        if is_current and lease != current:
            if current is None or current.holder != lease.holder:
                self.cluster.note("lease", f"is {lease.holder or 'released'}")
                self.cluster.hands_over("" if current is None else current.holder, lease.holder)
            self.cluster.lease = replace(lease, resource_version=self.cluster.next())
        await self.cluster.answer()
        if not is_current:
            raise LeaseChanged("another replica has changed the Lease")
