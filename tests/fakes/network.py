"""The network to a service. It loses messages only if a test or the random source of a simulation says so."""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol


class Chance(Protocol):
    """The methods of `random.Random` that a network uses."""

    def random(self) -> float:
        """Return a number from 0 to 1, 1 excluded."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a number between two others."""


class _Certainty:
    """The random source of unit tests: only events with a likelihood of 1 happen."""

    def random(self) -> float:
        """Return a number that is below 1 and no smaller likelihood."""
        return 1 - 2**-53

    def uniform(self, a: float, _b: float, /) -> float:
        """Return the smaller number."""
        return a


@dataclass
class Network:
    """A lossy network. Likelihoods range from 0 to 1; without a random source, only 0 and 1 have a meaning."""

    chance: Chance = field(default_factory=_Certainty)
    slowest: float = 0.0
    """The longest one-way delay in seconds; at 0 a call does not even yield to the event loop."""
    is_away: bool = False
    loses_connections: float = 0.0
    """Connections that fail before anything is sent, for calls that distinguish this from a lost request."""
    loses_requests: float = 0.0
    loses_answers: float = 0.0
    hangs: float = 0.5
    """How often a lost response appears as silence until the timeout, rather than as a closed connection."""

    async def pass_time(self) -> None:
        """Wait for one one-way delay."""
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
        """Deliver a request, or fail before it takes effect."""
        await self.pass_time()
        if self.is_away or self.strikes(self.loses_requests):
            raise failure

    async def answer(self, failure: Exception) -> None:
        """Deliver a response, or fail after the request took effect."""
        await self.pass_time()
        if self.is_away or self.strikes(self.loses_answers):
            raise failure
