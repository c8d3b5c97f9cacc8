"""What a login to Vault returns, and the protocol that every auth method implements."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from pipedrive_operator.adapters.vault.exchange import Response
from pipedrive_operator.core.values.secret_value import SecretValue


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A Vault token and what Vault reports about it."""

    value: SecretValue
    ttl: timedelta | None
    """None for a token that does not expire."""
    renewable: bool
    ours: bool = True
    """Whether Vault issued it to this process, which then revokes it. A token that a person provides is not ours."""


class Login(Protocol):
    """One way to get a token."""

    async def log_in(self) -> IssuedToken:
        """Get a token.

        Raises:
            VaultDenied: Vault refused, or what the login needs is missing.
            VaultUnavailable: no usable response.
        """


def issued_token(response: Response) -> IssuedToken | None:
    """Return the token that a login or a renewal issued; None if the response has none."""
    value = response.auth.get("client_token")
    if not isinstance(value, str):
        return None
    return IssuedToken(
        value=SecretValue(value),
        ttl=timedelta(seconds=int(response.auth.get("lease_duration") or 0)) or None,
        renewable=bool(response.auth.get("renewable")),
    )
