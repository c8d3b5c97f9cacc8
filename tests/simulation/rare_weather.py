"""Faults that only a small share of the seeds have, so that the other seeds keep their histories.

Which of them a seed has is not drawn from the world's source of chance: that one goes on throughout the storm, and one
more draw would change whatever follows it.
"""

import contextvars
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from pipedrive_operator.core.values.errors import PipedriveUnavailable, RateLimited
from simulation.models import ClusterModel

if TYPE_CHECKING:
    from simulation.simulated_world import World

SHARE: Final = 0.06
"""The share of the seeds that have each kind."""
AIMED: Final = 0.5
"""The probability that a denial hits a copy that has just been made."""
LONGEST_DENIAL: Final = 120.0
SHORTEST_SILENCE, LONGEST_SILENCE = 30.0, 600.0
"""In seconds: for how long Pipedrive does not say whose a token is, unless the storm ends before."""
LONGEST_UNTIL_NEXT: Final = 150.0
"""In seconds: until the next consent, whose code comes while Pipedrive is silent, as a rule."""
LONGEST_RETRY: Final = 60.0
"""In seconds: the longest pause that Pipedrive asks for."""
LONGEST_HINDRANCE: Final = 120.0
SLOWEST_READ: Final = 10.0
"""In seconds, there as well as back: longer than a process may rely on what it has read."""


@dataclass(frozen=True)
class Kinds:
    """The kinds of rare weather that a seed has."""

    denies_all: bool = False
    """A webhook denies the deletion of the escrow until the storm is over."""
    denies_some: bool = False
    """A webhook denies the deletion of the escrow for some time, at random moments."""
    is_silent: bool = False
    """Pipedrive does not say whose the result of a consent is, for long."""
    hinders_reads: bool = False
    """One process cannot read the escrow, or slowly, for some time."""

    @classmethod
    def of(cls, seed: int) -> "Kinds":
        """Draw the kinds of a seed."""
        chance = random.Random(f"rare weather of {seed}")  # noqa: S311  a simulation
        denies, is_silent, hinders_reads = (chance.random() < SHARE for _ in range(3))
        denies_all = chance.random() < 0.5
        return cls(denies and denies_all, denies and not denies_all, is_silent, hinders_reads)


class RareWeather:
    """The strikes of rare weather in a world."""

    def __init__(self, world: "World", kinds: Kinds) -> None:
        """Take the world; deny deletions from the start, or aim at copies, if the seed says so."""
        self.world = world
        self.chance = world.chance
        self.kinds = kinds
        for cluster in world.clusters:
            cluster.keeps_escrow_for_ever = kinds.denies_all
            if kinds.denies_some:
                cluster.on_kept = partial(self._aim, cluster)

    def strikes(self) -> list[Callable[[], None]]:
        """Return the strikes of this seed."""
        denial = 2 * [self.deny] if self.kinds.denies_some else []
        silence = 2 * [self.silence] if self.kinds.is_silent else []
        hindrance = 2 * [self.hinder] if self.kinds.hinders_reads else []
        return [*denial, *silence, *hindrance]

    def clear(self) -> None:
        """End all of it."""
        self.world.pipedrive.silence = None
        for cluster in self.world.clusters:
            cluster.keeps_escrow_for_ever, cluster.hindered, cluster.on_kept = False, "", lambda: None

    def deny(self) -> None:
        """Deny the deletion of the escrow in a cluster for some time."""
        self._deny(self.chance.choice(self.world.clusters))

    def _aim(self, cluster: ClusterModel) -> None:
        """Deny sometimes that a copy which has just been made is deleted."""
        if self.chance.random() < AIMED:
            self._deny(cluster)

    def _deny(self, cluster: ClusterModel) -> None:
        cluster.keeps_escrow_for_ever = True
        self.world.history.note("world", f"denies the deletion of the escrow of {cluster.name}")

        def allow() -> None:
            cluster.keeps_escrow_for_ever = False

        self._later(1, LONGEST_DENIAL, allow)

    def silence(self) -> None:
        """Let Pipedrive not say whose the result of a consent is; it goes on to refresh, and people to consent."""
        self.world.people.connect()
        self._later(0, LONGEST_UNTIL_NEXT, self._connect_again)
        self.world.pipedrive.silence = self.chance.choice([_unavailable, _unusable, self._limited])
        self.world.history.note("world", "lets Pipedrive say nothing about accounts")

        def speak() -> None:
            self.world.pipedrive.silence = None

        self._later(SHORTEST_SILENCE, LONGEST_SILENCE, speak)

    def hinder(self) -> None:
        """Let one process fail to read the escrow, or read it slowly, for some time."""
        alive = [operator for operator in self.world.operators.values() if not operator.process.crashed]
        if not alive:
            return
        operator = self.chance.choice(alive)
        cluster = operator.cluster
        cluster.hindered = operator.process.name
        cluster.slowest_read, cluster.loses_reads = self.chance.choice([(0.0, 1.0), (SLOWEST_READ, 0.0), (3.0, 0.3)])
        self.world.history.note("world", f"hinders {cluster.hindered} to read the escrow")

        def allow() -> None:
            cluster.hindered = ""

        self._later(1, LONGEST_HINDRANCE, allow)

    def _connect_again(self) -> None:
        if not self.world.storm_is_over:
            self.world.people.connect()

    def _limited(self) -> Exception:
        return RateLimited("429", retry_after=timedelta(seconds=self.chance.uniform(1, LONGEST_RETRY)))

    def _later(self, least: float, most: float, do: Callable[[], None]) -> None:
        # In a context of its own, as the other faults of a storm.
        self.world.loop.call_later(self.chance.uniform(least, most), do, context=contextvars.Context())


def _unavailable() -> Exception:
    return PipedriveUnavailable("Pipedrive is not available")


def _unusable() -> Exception:
    return PipedriveUnavailable("Pipedrive's answer names no company")
