"""Limits how often a namespace can cause work that its tenants can provoke at will.

Pure: times are passed in, as monotonic seconds. Each namespace has an allowance of its own that refills steadily (the
generic cell rate algorithm). A namespace that has used up its allowance waits; the others do not.
"""

from typing import Final

MOST_IDLE: Final = 1000
"""How many namespaces with a full allowance are remembered until they are forgotten together."""


class Budget:
    """Allows each namespace `per_second` actions in the long run, and `burst` at once after a quiet time."""

    def __init__(self, *, per_second: float, burst: int) -> None:
        """Start with full allowances."""
        self._interval = 1 / per_second
        self._tolerance = (burst - 1) * self._interval
        self._spent_until: dict[str, float] = {}
        """When each namespace's allowance will be full again."""

    def reserve(self, namespace: str, now: float) -> float:
        """Reserve an action, and return for how many seconds it must wait."""
        if len(self._spent_until) > MOST_IDLE:
            self._spent_until = {one: until for one, until in self._spent_until.items() if until > now}
        start = max(self._spent_until.get(namespace, now), now)
        self._spent_until[namespace] = start + self._interval
        return max(0.0, start - now - self._tolerance)
