"""How an identity gets a token: the protocol of the methods and what they return. The methods are beside it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from pipedrive_operator.adapters.vault.exchange import Answer
from pipedrive_operator.core.values.secret_value import SecretValue


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A token of Vault's."""

    value: SecretValue
    ttl: timedelta | None
    """None for a token that does not expire."""
    renewable: bool
    ours: bool = True
    """Whether it was issued to this process alone, which then revokes it; one that a person gave us is theirs."""


class Login(Protocol):
    """One way to get a token."""

    async def log_in(self) -> IssuedToken:
        """Get a token.

        Raises:
            VaultDenied: Vault refuses, or there is nothing to log in with.
            VaultUnavailable: no usable answer.
        """


def issued_token(answer: Answer) -> IssuedToken | None:
    """Return the token of a login or a renewal; None where Vault gave none."""
    value = answer.auth.get("client_token")
    if not isinstance(value, str):
        return None
    return IssuedToken(
        value=SecretValue(value),
        ttl=timedelta(seconds=int(answer.auth.get("lease_duration") or 0)) or None,
        renewable=bool(answer.auth.get("renewable")),
    )
