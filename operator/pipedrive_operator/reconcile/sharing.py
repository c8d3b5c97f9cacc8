"""Who may use a shared grant: one grant has one client, and what one Vault identity has read is not for another.

Anyone can name any grant. A credential that cannot read it must neither block those that can nor learn about them.
"""

from pipedrive_operator.core.decision.sources import GrantUser, GrantWithClient, Source
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import InvalidSpec
from pipedrive_operator.ports import Cache


class GrantSharing:
    """Knows which credentials Vault has allowed to read what they name."""

    def __init__(self, cache: Cache) -> None:
        """Start with no credential having read anything."""
        self._cache = cache
        self._read: dict[Key, tuple[str, Source]] = {}
        """The uid of each credential and the source it last read. Unlike its memory, this survives an invalid spec."""

    def note_read(self, key: Key, uid: str, source: Source) -> None:
        """Record that Vault let a credential read its source under its own Vault identity."""
        self._read[key] = (uid, source)

    def note_denial(self, key: Key) -> None:
        """Record that Vault no longer lets a credential read its source."""
        self._read.pop(key, None)

    def forget(self, key: Key) -> None:
        """Forget a credential that is gone."""
        self._read.pop(key, None)

    def forget_all(self) -> None:
        """Forget everything."""
        self._read.clear()

    def can_read(self, credential: Credential, source: Source) -> bool:
        """Return whether Vault let the credential read that source when it last asked."""
        return self._read.get(credential.key) == (credential.uid, source)

    def require_same_client(self, credential: Credential, source: Source) -> None:
        """Check that a grant is used with one client: the oldest credential that may use the grant decides which.

        Raises:
            InvalidSpec: an older credential uses the grant with another client.
        """
        if not isinstance(source, GrantWithClient):
            return
        user = GrantUser(credential=credential, source=source)
        sharing = self._cache.sharing_grant(source.location)
        first = next((other for other in sharing if self._matters_to(user, other)), user)
        if first.credential.uid != credential.uid and not source.has_client_of(first.source):
            message = (
                f"spec.oauth2.client: the older credential {first.credential.key} uses the same grant "
                f"({source.location}) with another OAuth2 client, and Pipedrive refreshes a grant only for the client "
                f"that it was issued to. Copy spec.oauth2.client from {first.credential.key}, or write a grant of its "
                "own for this credential to another path, and name that path in spec.oauth2.grant.path"
            )
            raise InvalidSpec(message)

    def _matters_to(self, user: GrantUser, other: GrantUser) -> bool:
        """Return whether both use the grant under one Vault identity, or can both read it."""
        if other.source.identity == user.source.identity:
            return True
        return self.can_read(other.credential, other.source) and self.can_read(user.credential, user.source)
