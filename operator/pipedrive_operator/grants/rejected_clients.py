"""Decides which client may spend a grant: the one it was issued to, unless Pipedrive rejected it and it is unchanged.

Nothing is read or sent here.
"""

from dataclasses import dataclass

from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.values.errors import ClientRejected, InvalidSpec
from pipedrive_operator.grants.recent import Recent
from pipedrive_operator.grants.values import ReadGrant, RefreshOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rejection:
    client: str
    """The digest of the client."""
    lineage: str
    """The grant that it could not refresh. It may have obtained another one since."""
    trouble: ClientRejected
    until: float
    """On our monotonic clock: when an unchanged client is tried again."""


class RejectedClients:
    """The clients that Pipedrive has rejected in this process."""

    def __init__(self) -> None:
        """Start without rejections."""
        self._rejections = Recent[VaultLocation, _Rejection]()

    def reject(self, read: ReadGrant, client: ClientCredentials, trouble: ClientRejected, until: float) -> None:
        """Record that Pipedrive has rejected a client, with which a grant was refreshed."""
        self._rejections[read.location] = _Rejection(
            client=client.digest(), lineage=read.grant.lineage, trouble=trouble, until=until
        )

    def accept(self, location: VaultLocation) -> None:
        """Forget a rejection, because Pipedrive has accepted the client of a grant, or is about to decide about it."""
        self._rejections.pop(location, None)

    def require_usable(self, client: ClientCredentials, read: ReadGrant, order: RefreshOrder, now: float) -> None:
        """Refuse a client that the grant was not issued to, or that Pipedrive has rejected, before anything is written.

        Raises:
            InvalidSpec: the grant was issued to another client.
            ClientRejected: Vault still holds the rejected client and the same refresh token, no person requested the
                refresh, and a recheck is not due.
        """
        rejection = self._rejections.get(read.location)
        if not read.grant.is_usable_with(client.client_id):
            # Without the ids: a spec may name the wrong keys, and then what Vault holds there is a secret.
            message = (
                f"spec.oauth2.client: the grant at {read.location} was issued to another client than the one named "
                "here. Name that client, or authorize the app of this one and write the new refresh_token there"
            )
            raise InvalidSpec(message)
        if rejection is None:
            return
        if order.is_requested or now >= rejection.until:
            self.accept(read.location)  # the attempt may be repeated, and only Pipedrive can reject the client again
            return
        if rejection.client == client.digest() and rejection.lineage == read.grant.lineage:
            raise rejection.trouble
