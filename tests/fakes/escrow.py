"""The escrow of a cluster, as one process knows it."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from fakes.cluster import Escrowed, FakeCluster
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.values.errors import ApiServerUnavailable, GrantUnstored
from pipedrive_operator.core.values.secret_value import SecretValue


@dataclass
class FakeEscrow:
    """Implements `ports.Escrow`."""

    cluster: FakeCluster
    known: dict[VaultLocation, set[str]] = field(default_factory=dict)
    """The refreshes whose escrow this process may have written or has found; it touches no other."""

    async def load(self) -> list[str]:
        """Return the escrows that other processes have left since the last call."""
        await self.cluster.arrive()
        found = {location: {escrowed.refresh_id} for location, escrowed in self.cluster.escrow.items()}
        await self.cluster.answer()
        left = {location: ids for location, ids in found.items() if location not in self.known}
        self.known |= left
        return [str(location) for location in left]

    def holds(self, location: VaultLocation) -> bool:
        """Return whether an escrow exists for a location, or may exist, as far as this process knows."""
        return location in self.known

    async def find(self, location: VaultLocation) -> bool:
        """Return whether an escrow exists for a location, no matter which process created it."""
        await self.cluster.arrive()
        escrowed = self.cluster.escrow.get(location)
        await self.cluster.answer()
        self.known.pop(location, None)
        if escrowed is not None:
            self.known[location] = {escrowed.refresh_id}
        return escrowed is not None

    async def keep(self, location: VaultLocation, grant: Grant, refresh_id: str, key: SecretValue) -> bool:
        """Write a grant, which replaces one from an earlier refresh of this process."""
        with suppress(ApiServerUnavailable):
            await self.cluster.arrive()
            self.cluster.write("keep escrow")
            current = self.cluster.escrow.get(location)
            ids = self.known.setdefault(location, set()) | {refresh_id}
            if current is None or (current.refresh_id in ids and current.refresh_id != refresh_id):
                self.cluster.escrow[location] = Escrowed(grant, refresh_id, key)
                self.cluster.note("escrow", f"keeps {grant.refresh_token.reveal()}")
            self.known[location] = ids
            await self.cluster.answer()
            return self._escrowed(location) is not None
        return False

    async def open(self, location: VaultLocation, key: SecretValue) -> Grant | None:
        """Return the grant in escrow."""
        await asyncio.sleep(0)
        escrowed = self._escrowed(location)
        if escrowed is None:
            self.known.pop(location, None)
            return None
        if escrowed.key != key:
            raise GrantUnstored("the escrow cannot be opened with this key")
        return escrowed.grant

    async def drop(self, location: VaultLocation) -> None:
        """Delete the escrow that this process knows of; failures are not raised."""
        if location not in self.known:
            return
        with suppress(ApiServerUnavailable):
            await self.cluster.arrive()
            if self._escrowed(location) is not None:
                self.cluster.write("drop escrow")
                del self.cluster.escrow[location]
                self.cluster.note("escrow", "is empty")
            await self.cluster.answer()
            del self.known[location]

    def _escrowed(self, location: VaultLocation) -> Escrowed | None:
        escrowed = self.cluster.escrow.get(location)
        return escrowed if escrowed and escrowed.refresh_id in self.known.get(location, ()) else None
