"""Counts what the refreshes of a fleet cost, and for how long its Secrets held expired tokens. Pure.

A cycle of a grant lasts from one result that Vault acknowledged to the next, so that every request belongs to one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from chaos.evidence import Evidence, Kind, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """The requests between one stored refresh of a grant and the next."""

    path: str
    began: float
    ended: float
    refreshes: int
    """How many Pipedrive accepted."""
    vault_writes: int
    vault_reads: int
    secret_writes: int
    status_writes: int
    calm: bool
    """Whether there was no fault during the cycle."""

    @property
    def seconds(self) -> float:
        """The length of the cycle, in seconds."""
        return self.ended - self.began


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value of a Secret, as a watch saw it."""

    seen_at: float
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The paths of a grant in Vault, and its only credential."""

    path: str
    client_path: str
    target: tuple[str, str]


def cycles(evidence: Evidence, places: Iterable[Place], troubles: Sequence[Trouble], *, slack: float) -> list[Cycle]:
    """Return all cycles; one within `slack` seconds of a fault is not calm."""
    return [cycle for place in places for cycle in _cycles(evidence, place, troubles, slack)]


def expired_seconds(values: Sequence[Value], *, end: float) -> float:
    """Return for how many seconds a Secret held an expired value, until `end`."""
    ends = [value.seen_at for value in values[1:]] + [end] * bool(values)
    return sum(
        max(0.0, until - max(value.expires_at, value.seen_at)) for value, until in zip(values, ends, strict=True)
    )


def worst(cycles: Iterable[Cycle]) -> Mapping[str, int]:
    """Return the highest count of any cycle."""
    every = list(cycles)
    names = ("refreshes", "vault_writes", "vault_reads", "secret_writes", "status_writes")
    return {name: max((getattr(cycle, name) for cycle in every), default=0) for name in names}


def _cycles(evidence: Evidence, place: Place, troubles: Sequence[Trouble], slack: float) -> Iterable[Cycle]:
    writes = evidence.writes_to.get(place.path, [])
    reads = [*evidence.reads_of.get(place.path, ()), *evidence.reads_of.get(place.client_path, ())]
    published = evidence.publications_of.get(place.target, [])
    accepted = [one.taken for one in evidence.refreshes_of.get(place.path, ()) if one.accepted]
    stored = [one.at for one in writes if one.kind is Kind.STORED]
    for began, ended in pairwise(stored):
        yield Cycle(
            path=place.path,
            began=began,
            ended=ended,
            refreshes=_within(accepted, began, ended),
            vault_writes=_within((one.at for one in writes), began, ended),
            vault_reads=_within((one.at for one in reads), began, ended),
            secret_writes=_within((one.at for one in published if one.is_secret), began, ended),
            status_writes=_within((one.at for one in published if one.is_status), began, ended),
            calm=not any(one.meets(began - slack, ended + slack, None) for one in troubles),
        )


def _within(times: Iterable[float], began: float, ended: float) -> int:
    return sum(1 for at in times if began < at <= ended)
