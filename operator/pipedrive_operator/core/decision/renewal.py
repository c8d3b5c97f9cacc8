"""When to refresh a token, and when to check something again. Pure: times are passed in, and a hash spreads them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.values.backoff import SPREAD, fraction

SHORTEST_INTERVAL: Final = timedelta(seconds=1)
"""The shortest time between two refreshes of a grant that are due by themselves, however short its tokens live."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """When a token becomes due for a refresh."""

    at: datetime
    clamped_to: timedelta | None = None
    """The lead that was used instead of `renewBefore`, where that was more than half of the lifetime."""


def renewal(token: Token, renew_before: timedelta | None, *, spread_by: str) -> Renewal | None:
    """Return when to refresh: `renew_before` ahead of the expiry, by default a third of the lifetime.

    None for a token that does not expire. Never within `SHORTEST_INTERVAL` after the token was obtained, unless it has
    expired by then. In whole seconds: the status stores no fractions, and a time that it cannot represent would never
    be reached (https://github.com/cert-manager/cert-manager/pull/4399).
    """
    if token.expires_at is None or token.obtained_at is None:
        return None
    lifetime = max(token.expires_at - token.obtained_at, timedelta(0))
    wanted = renew_before or lifetime / 3
    lead = min(wanted, lifetime / 2)
    early = lead * SPREAD * fraction(f"{spread_by} {token.obtained_at.isoformat()}")
    earliest = min(token.obtained_at + SHORTEST_INTERVAL, token.expires_at)
    at = max(token.expires_at - lead - early, earliest).replace(microsecond=0)
    return Renewal(at=at, clamped_to=None if lead == wanted else lead)


def next_check(checked_at: datetime, interval: timedelta, *, spread_by: str) -> datetime:
    """Return when to check again: after the interval, less a spread of up to a tenth of it.

    What was checked at the same time, as after a start or an outage, drifts apart with each check.
    """
    early = interval * SPREAD * fraction(f"{spread_by} {checked_at.isoformat()}")
    return checked_at + interval - early
