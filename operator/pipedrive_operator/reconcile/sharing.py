"""Who may use a shared grant: one grant has one client, and what one Vault identity has read is not for another.

Anyone can name any grant. A credential that cannot read it must neither block those that can nor learn about them. Nor
may it cost them time: the oldest sharer is kept at hand, however many there are.
"""

from bisect import insort
from collections import defaultdict

from pipedrive_operator.core.decision.sources import GrantUser, GrantWithClient, Source
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.resource.credential import Credential, Seniority
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import InvalidSpec
from pipedrive_operator.ports import Cache


class GrantSharing:
    """Knows which credentials Vault has allowed to read what they name."""

    def __init__(self, cache: Cache) -> None:
        """Start with no credential having read anything."""
        self._cache = cache
        self._read: dict[Key, tuple[Seniority, Source]] = {}
        """Which resource last read which source, by key. The seniority is kept because another resource may have the
        same key later. Unlike a memory, this survives an invalid spec."""
        self._readers: defaultdict[VaultLocation, list[tuple[Seniority, Key]]] = defaultdict(list)
        """The credentials that have read a location, the oldest first."""

    def note_read(self, credential: Credential, source: Source) -> None:
        """Record that Vault let a credential read its source under its own Vault identity."""
        before = self._read.get(credential.key)
        if before is None or (before[0], before[1].location) != (credential.seniority, source.location):
            self.forget(credential.key)
            insort(self._readers[source.location], (credential.seniority, credential.key))
        self._read[credential.key] = (credential.seniority, source)

    def note_denial(self, key: Key) -> None:
        """Record that Vault no longer lets a credential read its source."""
        self.forget(key)

    def forget(self, key: Key) -> None:
        """Forget a credential that is gone."""
        if (known := self._read.pop(key, None)) is not None:
            readers = self._readers[known[1].location]
            readers.remove((known[0], key))
            if not readers:
                del self._readers[known[1].location]

    def forget_all(self) -> None:
        """Forget everything."""
        self._read.clear()
        self._readers.clear()

    def can_read(self, credential: Credential, source: Source) -> bool:
        """Return whether Vault let the credential read that source when it last asked."""
        known = self._read.get(credential.key)
        return known == (credential.seniority, source)

    def require_same_client(self, credential: Credential, source: Source) -> None:
        """Check that a grant is used with one client: the oldest credential that may use the grant decides which.

        Raises:
            InvalidSpec: an older credential uses the grant with another client.
        """
        if not isinstance(source, GrantWithClient):
            return
        first = self._first(GrantUser(credential=credential, source=source))
        if first.credential.uid != credential.uid and not source.has_client_of(first.source):
            message = (
                f"spec.oauth2.client: the older credential {first.credential.key} uses the same grant "
                f"({source.location}) with another OAuth2 client, and Pipedrive refreshes a grant only for the client "
                f"that it was issued to. Copy spec.oauth2.client from {first.credential.key}, or write a grant of its "
                "own for this credential to another path, and name that path in spec.oauth2.grant.path"
            )
            raise InvalidSpec(message)

    def _first(self, user: GrantUser) -> GrantUser:
        """Return the oldest credential that uses the grant under the same Vault identity, or if both can read it."""
        alike = self._cache.oldest_sharer(user.source.location, user.source.identity)
        reader = self._oldest_reader(user.source.location) if self.can_read(user.credential, user.source) else None
        sharing = [other for other in (user, alike, reader) if other is not None]
        return min(sharing, key=lambda other: other.credential.seniority)

    def _oldest_reader(self, location: VaultLocation) -> GrantUser | None:
        users = (self._cache.grant_user(key) for _, key in self._readers.get(location, ()))
        return next((user for user in users if user is not None and self.can_read(user.credential, user.source)), None)
