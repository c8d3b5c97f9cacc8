"""A network that a storm disturbs for some time."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from fakes.network import Network


@dataclass
class Weather(Network):
    """A network whose faults the seed chooses; it remembers when it was last disturbed."""

    chance: random.Random = field(kw_only=True)
    slowest: float = 0.2
    on_return: list[Callable[[], object]] = field(default_factory=list)
    """Called when the faults have ended."""
    bad_until: float = float("-inf")
    """When the last faults ended; infinity while there are some."""

    def darken(self) -> None:
        """Make the part unreachable."""
        self.is_away, self.bad_until = True, float("inf")

    def flicker(self, requests: float, answers: float) -> None:
        """Lose some requests and some answers."""
        self.loses_connections = self.loses_requests = requests
        self.loses_answers, self.bad_until = answers, float("inf")

    def clear(self) -> None:
        """End all faults."""
        if self.bad_until == float("inf"):
            self.bad_until = asyncio.get_running_loop().time()
            for notify in self.on_return:
                notify()
        self.is_away, self.loses_connections, self.loses_requests, self.loses_answers = False, 0.0, 0.0, 0.0

    def was_bad_since(self, moment: float) -> bool:
        """Return whether anything could have failed since then."""
        return self.bad_until >= moment
