"""How fast requests may follow each other: arithmetic on a monotonic time that is passed in.

The generic cell rate algorithm: a token bucket that needs one number and no timer.
"""

import math
from dataclasses import dataclass, field
from typing import Final

_BURST_SECONDS: Final = 1.0
"""How much of its allowance may be used at once after a quiet time."""


@dataclass(slots=True)
class RestartPacing:
    """At most `per_second` requests a second in the long run."""

    per_second: float
    _next: float = field(default=-math.inf, init=False)
    """When the next request is due, were all spaced evenly."""

    def reserve(self, now: float) -> float:
        """Give out the next request's turn, and return in how many seconds it comes."""
        interval = 1 / self.per_second
        turn = max(self._next, now)
        self._next = turn + interval
        return max(0.0, turn - max(0.0, _BURST_SECONDS - interval) - now)
