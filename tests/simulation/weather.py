"""How the parts fail: not at all, for a while, before an effect, or between effect and answer."""

import asyncio
import random
from dataclasses import dataclass


@dataclass
class Weather:
    """How likely things go wrong, and how long they take; it changes while the simulation runs."""

    chance: random.Random
    slowest: float = 0.2
    """In seconds: the longest way to a part, or back."""
    is_away: bool = False
    loses_requests: float = 0.0
    loses_answers: float = 0.0
    _bad_until: float = float("-inf")

    def darken(self) -> None:
        """Take the part away."""
        self.is_away, self._bad_until = True, float("inf")

    def flicker(self, requests: float, answers: float) -> None:
        """Lose some requests and some answers."""
        self.loses_requests, self.loses_answers, self._bad_until = requests, answers, float("inf")

    def clear(self) -> None:
        """Let all be well."""
        if self._bad_until == float("inf"):
            self._bad_until = asyncio.get_running_loop().time()
        self.is_away, self.loses_requests, self.loses_answers = False, 0.0, 0.0

    def was_bad_since(self, moment: float) -> bool:
        """Tell whether anything could have failed since then."""
        return self._bad_until >= moment

    async def pass_time(self) -> None:
        """Take a while."""
        await asyncio.sleep(self.chance.uniform(0.001, self.slowest))

    def strikes(self, likelihood: float) -> bool:
        """Tell whether something of that likelihood happens."""
        return likelihood > 0 and self.chance.random() < likelihood

    async def arrive(self, failure: Exception) -> None:
        """Let a request arrive, or fail before its effect."""
        await self.pass_time()
        if self.is_away or self.strikes(self.loses_requests):
            raise failure

    async def answer(self, failure: Exception) -> None:
        """Let an answer arrive, or fail after its effect."""
        await self.pass_time()
        if self.is_away or self.strikes(self.loses_answers):
            raise failure
