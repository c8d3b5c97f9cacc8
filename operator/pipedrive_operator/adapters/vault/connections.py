"""Implements `ports.Vault` over the configured connections: each location names its own."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Final, Self

from pipedrive_operator.adapters.vault.api import VaultApi
from pipedrive_operator.config.vault import VaultSettings
from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.values.errors import InvalidSpec
from pipedrive_operator.ports import Clock, LoginMaterial


class VaultConnections:
    """All configured connections, by name."""

    def __init__(self, settings: VaultSettings, clock: Clock, cluster: LoginMaterial | None = None) -> None:
        """Use these settings; nothing is opened before the first use, which must be in the running event loop.

        `cluster` reads the Secrets and ServiceAccount tokens that logins need.
        """
        self.on_return: Callable[[str], None] = lambda _: None
        """Called with the name of a connection when its outage ends."""
        self.connections: Final = {
            name: VaultApi(name, connection, clock, cluster, partial(self._returned, name))
            for name, connection in settings.connections.items()
        }

    async def __aenter__(self) -> Self:
        """Return itself, to be closed at the end."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        async with AsyncExitStack() as stack:
            for connection in self.connections.values():
                stack.push_async_callback(connection.aclose)

    async def read(self, location: VaultLocation, identity: VaultIdentity) -> Document | None:
        """Return the newest version, as `ports.Vault` describes."""
        return await self._connection(location).read(location, identity)

    async def write(
        self, location: VaultLocation, values: Mapping[str, object], identity: VaultIdentity, *, cas: int
    ) -> int:
        """Write a version by check-and-set, as `ports.Vault` describes."""
        return await self._connection(location).write(location, values, identity, cas=cas)

    def _returned(self, name: str) -> None:
        self.on_return(name)

    def _connection(self, location: VaultLocation) -> VaultApi:
        connection = self.connections.get(location.connection)
        if connection is None:
            message = (
                f"The operator's configuration has no connection {location.connection} for {location}: correct the "
                "name, or add the connection to vault.connections"
            )
            raise InvalidSpec(message)
        return connection
