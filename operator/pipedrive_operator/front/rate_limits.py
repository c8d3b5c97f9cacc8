"""Limits the requests to the API server: a flood of bad links must neither burden it nor lock people out.

A token bucket for strangers, and another for the people whose key this replica has verified before.
"""

from collections import OrderedDict
from typing import Final

_REMEMBERED: Final = 2000
"""How many verified keys are remembered; the oldest is forgotten."""
_BURST: Final = 4
"""How many seconds' worth of requests may come at once."""


class TokenBucket:
    """Allows a number of requests per second, and some seconds' worth of them at once."""

    def __init__(self, per_second: float) -> None:
        """Start with a full bucket."""
        self._per_second = per_second
        self._tokens = self._size = per_second * _BURST
        self._filled_at: float | None = None

    def take(self, now: float) -> bool:
        """Return whether a request is allowed at this time, in seconds of a clock that never goes backwards."""
        if self._filled_at is not None:
            self._tokens = min(self._size, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class RateLimits:
    """Decides whether a request may use the API server now."""

    def __init__(self, per_second: float) -> None:
        """Allow that many requests per second, each to strangers and to known people."""
        self._strangers = TokenBucket(per_second)
        self._known_people = TokenBucket(per_second)
        self._known: OrderedDict[str, None] = OrderedDict()

    def allows(self, key_digest: str, now: float) -> bool:
        """Return whether a person may cause a request; `key_digest` identifies the key of the link."""
        bucket = self._known_people if key_digest in self._known else self._strangers
        return bucket.take(now)

    def remember(self, key_digest: str) -> None:
        """Remember that a key belongs to a consent."""
        self._known[key_digest] = None
        self._known.move_to_end(key_digest)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
