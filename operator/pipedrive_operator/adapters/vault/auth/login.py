"""What a login to Vault returns, and the protocol that every auth method implements."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from pipedrive_operator.adapters.vault.request_and_response import Json, VaultResponse
from pipedrive_operator.core.values.secret_value import SecretValue

LONGEST_TTL: Final = timedelta(days=3650)
"""Longer lifetimes are shortened to this, so that no arithmetic with them can overflow."""
MOST_USES: Final = 1_000_000
"""Higher limits are lowered to this, because Python refuses to print a number of more than 4,300 digits."""
_TOKEN: Final = re.compile("[!-~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """A Vault token and what Vault reports about it."""

    value: SecretValue
    ttl: timedelta | None
    """None for a token that does not expire."""
    renewable: bool
    policies: frozenset[str] = frozenset()
    uses: int = 0
    """How many requests the token is limited to; 0 for a token without a limit."""
    ours: bool = True
    """Whether Vault issued it to this process, which then revokes it. A token that a person provides is not ours."""


class Login(Protocol):
    """One way to get a token."""

    async def log_in(self) -> IssuedToken:
        """Get a token.

        Raises:
            VaultDenied: Vault refused, or what the login needs is missing.
            SourceMissing: Vault does not have the configured namespace.
            VaultUnavailable: no usable response.
        """


def issued_token(response: VaultResponse) -> IssuedToken | None:
    """Return the token that a login or a renewal issued; None if the response has none."""
    value = response.auth.get("client_token")
    if not isinstance(value, str) or not is_token(value):
        return None
    return read_token(SecretValue(value), response.auth, ttl=seconds(response.auth.get("lease_duration")) or None)


def read_token(value: SecretValue, report: Json, *, ttl: timedelta | None, ours: bool = True) -> IssuedToken:
    """Combine a token with what Vault reports about it, at a login or a lookup. Unexpected values are ignored."""
    policies, uses = report.get("policies"), report.get("num_uses")
    return IssuedToken(
        value=value,
        ttl=ttl,
        renewable=bool(report.get("renewable")),
        policies=frozenset(one for one in policies if isinstance(one, str))
        if isinstance(policies, list)
        else frozenset(),
        uses=min(uses, MOST_USES) if isinstance(uses, int) and uses > 0 else 0,
        ours=ours,
    )


def is_token(text: str) -> bool:
    """Return whether a text fits in an HTTP header; several lines or a byte order mark do not."""
    return _TOKEN.fullmatch(text) is not None


def seconds(value: object) -> timedelta:
    """Return a duration of Vault's, at most `LONGEST_TTL`; zero if it is not a positive number."""
    if not isinstance(value, int | float) or not value > 0:
        return timedelta(0)
    return timedelta(seconds=min(value, LONGEST_TTL.total_seconds()))
