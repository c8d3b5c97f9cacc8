"""Reads and writes the documents of grants and of their clients in Vault.

A write names the version that was read (check-and-set) and keeps foreign keys. Nothing is decided here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pipedrive_operator.core.grant.client import ClientCredentials, ClientSource
from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import Grant, dated, missing_grant, read_grant, require_bounds, write_grant
from pipedrive_operator.core.values.errors import CheckAndSetConflict, SourceMissing
from pipedrive_operator.grants.recent import Recent
from pipedrive_operator.grants.values import ReadGrant
from pipedrive_operator.ports import Clock, Vault

LONGEST_LAG: Final = timedelta(seconds=10)
"""For how long an older version than the one that was seen last is taken for the answer of a standby that lags.

After that, Vault was restored from a backup, or the document was deleted with its metadata.
"""
LAG_POLL: Final = timedelta(seconds=1)
"""How often a document is read again while a standby lags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Newest:
    """The newest version that this process has read or written."""

    version: int
    created_at: datetime | None
    """By Vault's clock; None if it is not known, as after a write."""
    at: float
    """On our monotonic clock: when Vault last showed it."""
    content: int
    """A hash of its values: two versions with the same number may differ."""
    older_since: float | None = None
    """On our monotonic clock: since when Vault has shown an older version to the credentials."""

    def is_newer_than(self, document: Document | None) -> bool:
        """Return whether a document is older. After a restore, another one may have the same version number."""
        if document is None or document.version != self.version:
            return (document.version if document is not None else 0) < self.version
        return self.created_at is not None and document.created_at < self.created_at


class GrantDocuments:
    """Grants as documents in Vault. A read never returns an older version than this process has just seen."""

    def __init__(self, vault: Vault, clock: Clock) -> None:
        """Take the ports."""
        self._vault = vault
        self._clock = clock
        self._newest: Recent[VaultLocation, _Newest] = Recent()

    async def find(self, location: VaultLocation, identity: VaultIdentity) -> tuple[Document | None, Grant | None]:
        """Return the document and its grant, as `find_document` does."""
        document = await self.find_document(location, identity)
        return document, read_grant(document)

    async def find_document(self, location: VaultLocation, identity: VaultIdentity) -> Document | None:
        """Return the document, or None if there is none, once no standby of Vault lags. Raises as `Vault.read` does."""
        while True:
            try:
                return await self.find_at_once(location, identity)
            except CheckAndSetConflict:
                await self._clock.sleep(LAG_POLL.total_seconds())

    async def find_at_once(self, location: VaultLocation, identity: VaultIdentity) -> Document | None:
        """Return the document, or None if there is none. Raises as `Vault.read` does.

        Raises:
            CheckAndSetConflict: a standby of Vault lags, and has shown an older version.
        """
        document = dated(await self._vault.read(location, identity))
        newest = self._newest.get(location)
        if newest is not None and newest.is_newer_than(document) and not self._is_over(newest.at):
            message = f"A server of Vault lags: it shows an older version of {location} than before"
            raise CheckAndSetConflict(message)
        self._see(location, document)
        return document

    def note(self, location: VaultLocation, document: Document | None) -> bool:
        """Note what was read elsewhere in this process; False if it is older than what this process knows.

        An older version counts once it is shown for longer than a server of Vault may lag: Vault was restored.
        """
        newest, now = self._newest.get(location), self._clock.monotonic()
        if newest is not None and newest.is_newer_than(document):
            since = now if newest.older_since is None else newest.older_since
            if not self._is_over(since):
                self._newest[location] = replace(newest, older_since=since)
                return False
        self._see(location, document)
        return True

    def newest_version(self, location: VaultLocation) -> int:
        """Return the newest version that this process has read or written; 0 if it knows none."""
        newest = self._newest.get(location)
        return newest.version if newest is not None else 0

    def _see(self, location: VaultLocation, document: Document | None) -> None:
        document = dated(document)
        version, created_at = (document.version, document.created_at) if document is not None else (0, None)
        self._newest[location] = _Newest(
            version=version,
            created_at=created_at,
            at=self._clock.monotonic(),
            content=_hash_of(document.values if document is not None else {}),
        )

    def _is_over(self, since: float) -> bool:
        return self._clock.monotonic() - since > LONGEST_LAG.total_seconds()

    async def read(self, location: VaultLocation, identity: VaultIdentity) -> ReadGrant:
        """Return the grant and its version.

        Raises:
            SourceMissing: there is no document, its version was deleted, it has no refresh token, or a field is too
                long.
        """
        asked_at = self._clock.monotonic()
        document, grant = await self.find(location, identity)
        if document is not None:
            document.require_values()
            require_bounds(document)
        if document is None or grant is None:
            raise SourceMissing(missing_grant(location))
        return ReadGrant(
            location=location,
            identity=identity,
            document=document,
            grant=grant,
            asked_at=asked_at,
            at=self._clock.monotonic(),
        )

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

    async def write(self, grant: Grant, over: ReadGrant, *, beside: Mapping[str, object] | None = None) -> Document:
        """Write a grant over the version that was read, and return the document as it is then.

        `beside` are the other values of the document, if they change too.

        Raises:
            CheckAndSetConflict: the document has changed since it was read.
        """
        values = write_grant(grant, over.document.values if beside is None else beside)
        version = await self.write_values(values, over.location, over.identity, over=over.document)
        return replace(over.document, version=version, values=values)

    async def write_values(
        self, values: Mapping[str, object], location: VaultLocation, identity: VaultIdentity, *, over: Document | None
    ) -> int:
        """Write all values of a document over a version of it, or where there is none, and return the new version.

        Raises as `Vault.write` does, and CheckAndSetConflict also if Vault has shown other values under the same
        version number since: another part of this process may have read them.
        """
        self._require_unchanged(location, over)
        version = await self._vault.write(location, values, identity, cas=over.version if over is not None else 0)
        if self.newest_version(location) <= version:  # another part of this process may have read what replaced it
            at = self._clock.monotonic()
            self._newest[location] = _Newest(version=version, created_at=None, at=at, content=_hash_of(values))
        return version

    def _require_unchanged(self, location: VaultLocation, over: Document | None) -> None:
        newest = self._newest.get(location)
        if newest is None or over is None or newest.version != over.version:
            return
        if newest.content != _hash_of(over.values):
            message = f"Vault was restored: {location} has the same version number as before, and other values"
            raise CheckAndSetConflict(message)

    async def write_over(self, document: Document | None, grant: Grant, read: ReadGrant) -> int:
        """Write a grant over a document, or where there is none any more, and return the new version.

        Raises:
            CheckAndSetConflict: the document has changed since it was read.
        """
        values = write_grant(grant, document.values if document is not None else {})
        return await self.write_values(values, read.location, read.identity, over=document)


def _hash_of(values: Mapping[str, object]) -> int:
    return hash(json.dumps(values, sort_keys=True))


def _is_as_read(grant: Grant | None, read: ReadGrant) -> bool:
    return grant is not None and (grant.lineage, grant.intent_id) == (read.grant.lineage, read.grant.intent_id)
