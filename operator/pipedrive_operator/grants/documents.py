"""Reads and writes the documents of grants and of their clients in Vault.

A write names the version that was read (check-and-set) and keeps foreign keys. Nothing is decided here.
"""

from collections.abc import Mapping
from dataclasses import replace

from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import (
    ClientCredentials,
    ClientSource,
    Grant,
    missing_grant,
    read_grant,
    require_bounds,
    write_grant,
)
from pipedrive_operator.core.values.errors import SourceMissing
from pipedrive_operator.grants.values import ReadGrant
from pipedrive_operator.ports import Clock, Vault


class GrantDocuments:
    """Grants as documents in Vault."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        """Take the ports."""
        self._vault = vault
        self._clock = clock

    async def find(self, location: VaultLocation, identity: VaultIdentity) -> tuple[Document | None, Grant | None]:
        """Return the document and its grant; None for what is absent. Raises as `Vault.read` does."""
        document = await self._vault.read(location, identity)
        return document, read_grant(document)

    async def find_document(self, location: VaultLocation, identity: VaultIdentity) -> Document | None:
        """Return the document, or None if there is none. Raises as `Vault.read` does."""
        return await self._vault.read(location, identity)

    async def read(self, location: VaultLocation, identity: VaultIdentity) -> ReadGrant:
        """Return the grant and its version.

        Raises:
            SourceMissing: there is no document, its version was deleted, it has no refresh token, or a field is too
                long.
        """
        document, grant = await self.find(location, identity)
        if document is not None:
            document.require_values()
            require_bounds(document)
        if document is None or grant is None:
            raise SourceMissing(missing_grant(location))
        at = self._clock.monotonic()
        return ReadGrant(location=location, identity=identity, document=document, grant=grant, at=at)

    async def holds(self, read: ReadGrant) -> bool:
        """Return whether Vault still holds a grant as it was read or written. Raises as `Vault.read` does.

        The version alone does not show it: a Vault that was restored from a backup uses numbers again.
        """
        document, grant = await self.find(read.location, read.identity)
        return document is not None and document.version == read.document.version and _is_as_read(grant, read)

    async def may_hold(self, read: ReadGrant) -> bool:
        """Return whether a write over a grant may succeed. Raises as `Vault.read` does.

        An older version says nothing, because a standby of Vault that lags shows one.
        """
        document, grant = await self.find(read.location, read.identity)
        if document is None or document.version < read.document.version:
            return True
        return document.version == read.document.version and _is_as_read(grant, read)

    async def holds_document(self, document: Document, location: VaultLocation, identity: VaultIdentity) -> bool:
        """Return whether Vault still holds a document as it was read or written. Raises as `Vault.read` does."""
        found = await self.find_document(location, identity)
        return found is not None and (found.version, found.values) == (document.version, document.values)

    async def read_client(self, source: ClientSource) -> ClientCredentials:
        """Return the client's id and secret.

        Raises:
            SourceMissing: there is no document, or it lacks one of the two.
        """
        document = await self._vault.read(source.location, source.identity)
        if document is None:
            message = (
                f"Vault has no client at {source.location}: write its {source.id_key} and {source.secret_key} there"
            )
            raise SourceMissing(message)
        return ClientCredentials(
            client_id=document.secret(source.id_key).reveal(), client_secret=document.secret(source.secret_key)
        )

    async def write(self, grant: Grant, over: ReadGrant) -> Document:
        """Write a grant over the version that was read, and return the document as it is then.

        Raises:
            CheckAndSetConflict: the document has changed since it was read.
        """
        version = await self.write_over(over.document, grant, over)
        return replace(over.document, version=version, values=write_grant(grant, over.document.values))

    async def write_values(
        self, values: Mapping[str, object], location: VaultLocation, identity: VaultIdentity, *, cas: int
    ) -> int:
        """Write all values of a document, and return the new version. Raises as `Vault.write` does."""
        return await self._vault.write(location, values, identity, cas=cas)

    async def write_over(self, document: Document | None, grant: Grant, read: ReadGrant) -> int:
        """Write a grant over a document, or where there is none any more, and return the new version.

        Raises:
            CheckAndSetConflict: the document has changed since it was read.
        """
        foreign, version = (document.values, document.version) if document is not None else ({}, 0)
        return await self._vault.write(read.location, write_grant(grant, foreign), read.identity, cas=version)


def _is_as_read(grant: Grant | None, read: ReadGrant) -> bool:
    return grant is not None and (grant.lineage, grant.intent_id) == (read.grant.lineage, read.grant.intent_id)
