"""Which client may spend a grant: the one that it was given to, unless Pipedrive has rejected it as it still is.

Nothing is read or sent here.
"""

from dataclasses import dataclass

from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.grant import ClientCredentials
from pipedrive_operator.core.values.errors import ClientRejected, InvalidSpec
from pipedrive_operator.grants.values import ReadGrant, RefreshOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rejection:
    client: str
    """Its digest."""
    trouble: ClientRejected
    until: float
    """On our monotonic clock: when it is tried again, though it is still the same."""


class Clients:
    """What is known of the clients of this process's grants."""

    def __init__(self) -> None:
        """Start with none rejected."""
        self._rejections: dict[VaultLocation, _Rejection] = {}

    def reject(self, location: VaultLocation, client: ClientCredentials, trouble: ClientRejected, until: float) -> None:
        """Note that Pipedrive has rejected a client."""
        self._rejections[location] = _Rejection(client=client.digest(), trouble=trouble, until=until)

    def require_usable(self, client: ClientCredentials, read: ReadGrant, order: RefreshOrder, now: float) -> None:
        """Refuse a client that the grant was not given to, or that Pipedrive has rejected, before anything is written.

        Raises:
            InvalidSpec: the grant is another client's.
            ClientRejected: Vault still holds what was rejected, nobody asks, and a slow recheck is not due.
        """
        known, rejection = read.grant.client_id, self._rejections.get(read.location)
        if known not in {None, client.client_id}:
            message = (
                f"spec.oauth2.client: the grant was given to client {known}, and the client named here is "
                f"{client.client_id}; name that client, or consent with this one"
            )
            raise InvalidSpec(message)
        if rejection is None or order.is_requested or now >= rejection.until:
            return
        if rejection.client == client.digest():
            raise rejection.trouble
