"""Spaces requests so that no more than a given number leaves per second. Pure: the monotonic time is passed in.

The generic cell rate algorithm: a token bucket that needs one number and no timer.
"""

import math
from dataclasses import dataclass, field
from typing import Final

_BURST_SECONDS: Final = 1.0
"""How much of the allowance may be used at once after a quiet time."""


@dataclass(slots=True)
class RequestLimiter:
    """Allows at most `per_second` requests a second in the long run."""

    per_second: float
    _next: float = field(default=-math.inf, init=False)
    """When the next request would be due if all were spaced evenly."""

    def reserve(self, now: float) -> float:
        """Reserve the next slot, and return for how many seconds the request must wait."""
        interval = 1 / self.per_second
        slot = max(self._next, now)
        self._next = slot + interval
        return max(0.0, slot - max(0.0, _BURST_SECONDS - interval) - now)
