"""Runs many seeds on all processors, and summarises the results."""

import gc
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice

from simulation.mutants import MUTANTS
from simulation.simulated_world import CALM, STORM, BrokenPromiseError, play

BATCH = 25
"""How many seeds a processor runs at a time."""


@dataclass(frozen=True, slots=True)
class Played:
    """The result of a seed."""

    seed: int
    broken: str | None
    """The broken promise, with the history."""
    excuses: Mapping[str, int]
    """How often each kind of exception occurred that no protocol can prevent."""
    refreshes: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The results of many seeds."""

    seeds: int
    refreshes: int
    excuses: Mapping[str, int]
    """How often each kind of exception occurred that no protocol can prevent."""
    broken: tuple[str, ...]

    @classmethod
    def of(cls, played: Sequence[Played]) -> "Figures":
        """Add up the results of seeds."""
        return cls(
            seeds=len(played),
            refreshes=sum(one.refreshes for one in played),
            excuses=dict(sum((Counter(one.excuses) for one in played), Counter())),
            broken=tuple(one.broken for one in played if one.broken is not None),
        )

    @property
    def hours(self) -> float:
        """The total simulated time, in hours."""
        return self.seeds * (STORM + CALM) / 3600


def players() -> Executor:
    """Return a pool of processes. Separate ones, because abandoned coroutines warn when they are collected."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(os.cpu_count(), mp_context=context, initializer=_begin)


def play_many(seeds: Iterable[int]) -> Figures:
    """Run seeds on all processors."""
    return Figures.of([one for batch in play_batches(seeds) for one in batch])


def play_batches(seeds: Iterable[int]) -> Iterator[Sequence[Played]]:
    """Run seeds on all processors, and return the results of each batch in their order, as soon as they are known."""
    with players() as executor:
        yield from executor.map(_play_batch, _batches(seeds))


def first_broken(name: str, most: int) -> str | None:
    """Run seeds with a mutant until one breaks a promise that it attacks; None if none of them does."""
    mutant = MUTANTS[name]
    for seed in range(most):
        try:
            play(seed, mutant.build)
        except BrokenPromiseError as error:
            if error.promise.startswith(mutant.attacks):
                return str(error)
    return None


def _batches(seeds: Iterable[int]) -> Iterator[tuple[int, ...]]:
    rest = iter(seeds)
    while batch := tuple(islice(rest, BATCH)):
        yield batch


def _play_batch(seeds: tuple[int, ...]) -> list[Played]:
    return list(_each(seeds))


def _each(seeds: Iterable[int]) -> Iterator[Played]:
    for seed in seeds:
        try:
            world = play(seed)
        except BrokenPromiseError as error:
            yield Played(seed, str(error), {}, 0)
        else:
            refreshes = sum(1 for send in world.promises.sends if send.successor is not None)
            yield Played(seed, None, dict(world.history.excuses), refreshes)


def _begin() -> None:
    sys.unraisablehook = lambda _: None
    gc.freeze()
