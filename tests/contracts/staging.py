"""What a model of the simulation needs to be played with by hand: no chance, no hurry, one thing wrong at a time."""

import random  # noqa: TID251  a model takes one
from dataclasses import dataclass, field
from typing import Any

from simulation.history import History
from simulation.promises import Promises
from simulation.weather import Weather


class Fixed(random.Random):
    """A die that always falls the same way: what is certain happens, and what has even odds as `falls` has it."""

    falls = 0.75

    def random(self) -> float:
        """Return what was fixed."""
        return self.falls


@dataclass
class Stage:
    """What every model is built of."""

    chance: Fixed = field(default_factory=Fixed)
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        """Let chance make the weather."""
        self.weather = Weather(self.chance, slowest=0.002)
        self.promises = Promises(self.history)

    @property
    def parts(self) -> dict[str, Any]:
        """What a model takes."""
        return {"weather": self.weather, "history": self.history, "promises": self.promises}

    def lose_requests(self) -> None:
        """Lose each request before it has an effect."""
        self.weather.flicker(1.0, 0.0)

    def lose_answers(self) -> None:
        """Lose each answer after the effect."""
        self.weather.flicker(0.0, 1.0)
