"""Limits how often something happens: work that the tenants of a namespace can provoke, or requests to one host.

Pure: times are passed in, as monotonic seconds. Each subject, such as a namespace, has an allowance of its own that
refills steadily (the generic cell rate algorithm). A subject that has used up its allowance waits; the others do not.
"""

from typing import Final

MOST_IDLE: Final = 1000
"""How many subjects with a full allowance are remembered until they are forgotten together."""

_ROUNDING: Final = 1e-9
"""In seconds: how much the sums of times may be off."""


class Budget:
    """Allows each subject `per_second` actions in the long run, and `burst` at once after a quiet time."""

    def __init__(self, *, per_second: float, burst: float) -> None:
        """Start with full allowances."""
        self._interval = 1 / per_second
        self._tolerance = (burst - 1) * self._interval
        self._spent_until: dict[str, float] = {}
        """When each subject's allowance will be full again."""

    def reserve(self, subject: str, now: float) -> float:
        """Reserve an action, and return for how many seconds it must wait."""
        start = self._start(subject, now)
        self._spent_until[subject] = start + self._interval
        return self._wait(start, now)

    def take(self, subject: str, now: float) -> bool:
        """Return whether an action is allowed now; one that is not allowed uses nothing of the allowance."""
        start = self._start(subject, now)
        if self._wait(start, now) > _ROUNDING:
            return False
        self._spent_until[subject] = start + self._interval
        return True

    def _start(self, subject: str, now: float) -> float:
        """Return when the next action would start if all were spaced evenly."""
        if len(self._spent_until) > MOST_IDLE:
            self._spent_until = {one: until for one, until in self._spent_until.items() if until > now}
        return max(self._spent_until.get(subject, now), now)

    def _wait(self, start: float, now: float) -> float:
        return max(0.0, start - now - self._tolerance)
