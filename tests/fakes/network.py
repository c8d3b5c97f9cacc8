"""The way to a part and back. It loses nothing, unless a test or the chance of a simulation says so."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol


class Chance(Protocol):
    """What a network needs of `random.Random`."""

    def random(self) -> float:
        """Return a number from 0 to 1, 1 excluded."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a number between two others."""


class _Certainty:
    """The chance of unit tests: only what is certain happens."""

    def random(self) -> float:
        """Return a number that is below a likelihood of 1 alone."""
        return 1 - 2**-53

    def uniform(self, a: float, _b: float, /) -> float:
        """Return the least."""
        return a


@dataclass
class Network:
    """What is lost, each as a likelihood from 0 to 1; without a chance of its own, only 0 and 1 make sense."""

    chance: Chance = field(default_factory=_Certainty)
    slowest: float = 0.0
    """In seconds: the longest way to a part, or back; at 0 a call does not even yield to the event loop."""
    is_away: bool = False
    loses_connections: float = 0.0
    """Before anything is sent; only a call that tells this from a lost request has a connection of its own."""
    loses_requests: float = 0.0
    loses_answers: float = 0.0
    hangs: float = 0.5
    """How often a lost answer shows as silence until the time-out, rather than as a closed connection."""

    async def pass_time(self) -> None:
        """Take as long as one way does."""
        if self.slowest:
            await asyncio.sleep(self.chance.uniform(0.001, self.slowest))

    def strikes(self, likelihood: float) -> bool:
        """Return whether something of that likelihood happens."""
        return likelihood > 0 and self.chance.random() < likelihood

    async def connect(self, failure: Exception) -> None:
        """Open a connection, or fail before anything is sent."""
        await self.pass_time()
        if self.is_away or self.strikes(self.loses_connections):
            raise failure

    async def arrive(self, failure: Exception) -> None:
        """Let a request arrive, or fail before its effect."""
        await self.pass_time()
        if self.is_away or self.strikes(self.loses_requests):
            raise failure

    async def answer(self, failure: Exception) -> None:
        """Let an answer arrive, or fail after the effect."""
        await self.pass_time()
        if self.is_away or self.strikes(self.loses_answers):
            raise failure
