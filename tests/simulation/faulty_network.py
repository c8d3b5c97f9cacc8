"""A network that a storm disturbs for some time."""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fakes.network import Network


@dataclass
class Weather(Network):
    """A network whose faults the seed chooses; it remembers when it was last disturbed."""

    chance: random.Random = field(kw_only=True)
    slowest: float = 0.2
    on_return: list[Callable[[], object]] = field(default_factory=list)
    """Called when the faults have ended."""
    disturbances: list[tuple[float, float]] = field(default_factory=list)
    """From when until when there were faults, in their order; infinity while there are some."""

    @property
    def is_bad(self) -> bool:
        """Whether there are faults."""
        return bool(self.disturbances) and self.disturbances[-1][1] == float("inf")

    def darken(self) -> None:
        """Make the part unreachable."""
        self.is_away = True
        self._begin_disturbance()

    def flicker(self, requests: float, answers: float) -> None:
        """Lose some requests and some answers."""
        self.loses_connections = self.loses_requests = requests
        self.loses_answers = answers
        self._begin_disturbance()

    def _begin_disturbance(self) -> None:
        if not self.is_bad:
            self.disturbances.append((asyncio.get_running_loop().time(), float("inf")))

    def clear(self) -> None:
        """End all faults."""
        if self.is_bad:
            self.disturbances[-1] = self.disturbances[-1][0], asyncio.get_running_loop().time()
            for notify in self.on_return:
                notify()
        self.is_away, self.loses_connections, self.loses_requests, self.loses_answers = False, 0.0, 0.0, 0.0

    def was_bad_since(self, moment: float) -> bool:
        """Return whether anything could have failed since then."""
        return bool(self.disturbances) and self.disturbances[-1][1] >= moment

    def calms(self, since: float, now: float) -> Iterator[tuple[float, float]]:
        """Yield from when until when there were no faults since a moment."""
        begin = since
        for bad_from, bad_until in self.disturbances:
            if bad_from > begin:
                yield begin, min(bad_from, now)
            begin = max(begin, bad_until)
        if begin < now:
            yield begin, now
