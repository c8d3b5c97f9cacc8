"""How an identity gets a token: the protocol of the methods and what they return. Each method is its own module."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from pipedrive_operator.adapters.vault.exchange import Answer
from pipedrive_operator.core.errors import VaultDenied
from pipedrive_operator.core.secret_value import SecretValue


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A token of Vault's."""

    value: SecretValue
    ttl: timedelta | None
    """None for a token that does not expire."""
    renewable: bool


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


def read_secret_file(path: Path, setting: str) -> SecretValue:
    """Read a file that the kubelet or an agent keeps up to date.

    Raises:
        VaultDenied: it cannot be read, or is empty.
    """
    try:
        value = SecretValue(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        message = (
            f"There is no login to Vault without the file {path}, which cannot be read: mount it, or set {setting}"
        )
        raise VaultDenied(message) from error
    if not value:
        message = f"There is no login to Vault with the file {path}, which is empty: fill it, or set {setting}"
        raise VaultDenied(message)
    return value
