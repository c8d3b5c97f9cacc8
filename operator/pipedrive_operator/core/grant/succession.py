"""Which of several grants of the same location stays: decided by descent, not by time. Pure.

Clocks of different machines are never compared. A grant names the refresh token that it was refreshed from, and that
is enough to distinguish a successor from a consent and from a restored backup.
"""

from datetime import datetime
from enum import Enum, auto

from pipedrive_operator.core.grant.grant import Grant


class Settlement(Enum):
    """What to do with a grant in escrow."""

    DROP = auto()
    """There is no escrow, or Vault holds the grant or its successor."""
    STORE = auto()
    """It succeeds what Vault holds."""
    UNCLEAR = auto()
    """Neither descends from the other: only Pipedrive knows which one is alive."""


def is_fresh(grant: Grant, *, replaces: str | None, now: datetime) -> bool:
    """Return whether a grant needs no refresh: its access token is unexpired and not the one to replace."""
    token = grant.token
    return token is not None and token.value.digest() != replaces and not token.expired(now)


def settlement(stored: Grant, escrowed: Grant) -> Settlement:
    """Decide what to do with a grant in escrow, given what Vault holds."""
    if stored.covers(escrowed):
        return Settlement.DROP
    return Settlement.STORE if escrowed.refreshed_from == stored.lineage else Settlement.UNCLEAR


def supersedes(stored: Grant, ours: Grant, *, spent: Grant) -> bool:
    """Return whether what Vault holds stays, rather than the result of our refresh.

    If Vault still holds the refresh token that we spent, ours is its successor, no matter whose intent is there. If
    that token did not rotate, the access token must also be the one that we replaced. Anything else in Vault is our
    own result whose acknowledgement was lost, a consent, or the refresh of another holder.
    """
    if stored.lineage != spent.lineage:
        return True
    return ours.lineage == spent.lineage and stored.access_digest != spent.access_digest
