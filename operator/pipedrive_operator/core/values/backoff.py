"""Back-off and spread: how long to pause after failures, and how to keep many holders from acting at the same moment.

Pure arithmetic on values that are passed in. Spread comes from a hash rather than from a random number, so that every
holder of a grant computes the same times and a restart changes none of them.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Final

SHORTEST_PAUSE: Final = timedelta(seconds=1)
"""The first pause after a failure."""
LONGEST_BACK_OFF: Final = timedelta(minutes=5)
"""The longest pause of a back-off: long enough to be quiet, short enough that a recovery is noticed soon."""
SPREAD: Final = 0.1
"""The share of a period over which holders are spread."""


def pause(failures: int, *, spread_by: str) -> timedelta:
    """Return the pause after `failures` failures in a row: it doubles up to `LONGEST_BACK_OFF`, less the spread."""
    doubled = SHORTEST_PAUSE * int(2 ** min(failures - 1, 10))
    return min(doubled, LONGEST_BACK_OFF) * (1 - SPREAD * fraction(f"{spread_by} {failures}"))


def cap_to_lifetime(wanted: timedelta, expires_at: datetime | None, now: datetime) -> timedelta:
    """Shorten a pause to a quarter of the remaining lifetime, so that the end of an outage is noticed in time."""
    if expires_at is None or expires_at <= now:
        return wanted
    return max(min(wanted, (expires_at - now) / 4), SHORTEST_PAUSE)


def fraction(text: str) -> float:
    """Return a number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32
