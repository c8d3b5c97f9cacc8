"""When to refresh, to verify, and to try again: arithmetic on times that are passed in, with no clock and no chance.

Spread comes from a hash, so that every holder of a grant computes the same renewal time, and a restart changes none.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipedrive_operator.core.grant.token import Token

SHORTEST_PAUSE: Final = timedelta(seconds=1)
"""The first pause after a failure."""
LONGEST_PAUSE: Final = timedelta(minutes=5)
"""The longest pause of a back-off: long enough to be quiet, short enough that nobody waits for a recovery."""
LONGEST_RETRY_AFTER: Final = timedelta(minutes=15)
"""Pipedrive's daily limit asks for more than an hour; its budget can be raised before, so we look earlier."""
_SPREAD: Final = 0.1
"""How much of a period is spread over holders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """When a token is to be refreshed."""

    at: datetime
    clamped_to: timedelta | None = None
    """The lead that was used instead of `renewBefore`, where that was more than half of the lifetime."""


def renewal(token: Token, renew_before: timedelta | None, *, spread_by: str) -> Renewal | None:
    """Return when to refresh: `renew_before` ahead of expiry, by default a third of the lifetime; None for ever.

    Whole seconds, because the status stores no more, and a time that it cannot hold would never come
    (https://github.com/cert-manager/cert-manager/pull/4399).
    """
    if token.expires_at is None or token.obtained_at is None:
        return None
    lifetime = max(token.expires_at - token.obtained_at, timedelta(0))
    wanted = renew_before or lifetime / 3
    lead = min(wanted, lifetime / 2)
    early = lead * _SPREAD * fraction(f"{spread_by} {token.obtained_at.isoformat()}")
    at = (token.expires_at - lead - early).replace(microsecond=0)
    return Renewal(at=at, clamped_to=None if lead == wanted else lead)


def verification_time(verified_at: datetime, interval: timedelta, *, spread_by: str) -> datetime:
    """Return when to ask Pipedrive again about a token: up to a tenth of the interval early."""
    early = interval * _SPREAD * fraction(f"{spread_by} {verified_at.isoformat()}")
    return verified_at + interval - early


def pause(failures: int, *, spread_by: str) -> timedelta:
    """Return the pause after that many failures in a row: doubling, spread, and never longer than the longest."""
    doubled = SHORTEST_PAUSE * int(2 ** min(failures - 1, 10))
    return min(doubled, LONGEST_PAUSE) * (1 - _SPREAD * fraction(f"{spread_by} {failures}"))


def cap_to_lifetime(wanted: timedelta, expires_at: datetime | None, now: datetime) -> timedelta:
    """Shorten a pause to a quarter of the remaining lifetime, so that an outage's end is seen in time."""
    if expires_at is None or expires_at <= now:
        return wanted
    return max(min(wanted, (expires_at - now) / 4), SHORTEST_PAUSE)


def fraction(text: str) -> float:
    """Return a number from 0 up to 1 that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32
