"""Operators without one rule each, which the simulation must detect. Each module has those of one subject."""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pipedrive_operator.controller.leadership import LeaderElection
from pipedrive_operator.grants import GrantKeeper, RefreshProtocol
from pipedrive_operator.reconcile.reconciler import Reconciler
from simulation.mutants import of_consents, of_refreshes, of_shutdown
from simulation.operators import Build

PARTS: dict[str, type[Any]] = {
    "protocol": RefreshProtocol,
    "keeper": GrantKeeper,
    "reconciler": Reconciler,
    "election": LeaderElection,
}
"""The parts of an operator that a mutant may replace, by their name in `Build`."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mutant, and how to build an operator with it."""

    build: Build
    rule: str
    attacks: tuple[str, ...]
    """The letters of the promises that it breaks. If only another one breaks, that proves nothing about this rule."""


def _in(module: ModuleType) -> Iterator[tuple[str, Mutant]]:
    """Find the mutants that a module defines."""
    for name, kind in vars(module).items():
        if isinstance(kind, type) and kind.__module__ == module.__name__ and not name.startswith("_"):
            part = next(part for part, base in PARTS.items() if issubclass(kind, base))
            yield name, Mutant(Build(**{part: kind}), kind.__doc__ or "", vars(kind)["attacks"])


MUTANTS = {
    **dict(_in(of_refreshes)),
    **dict(_in(of_shutdown)),
    **dict(_in(of_consents)),
    "StopsEarly": Mutant(Build(finish=of_shutdown.stops_early), of_shutdown.stops_early.__doc__ or "", ("(g)",)),
}
