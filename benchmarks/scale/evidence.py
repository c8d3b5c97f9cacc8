"""What the parts recorded about the renewals of a fleet of grants, and what follows from it. Pure.

All times are seconds since the epoch, by the clock of this machine. A renewal is published by the status of a
credential, and served when Pipedrive has accepted a refresh of its grant, by the simulator's ledger.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A value that a credential published, as a watch saw it in the status."""

    name: str
    seen_at: float
    due_at: float
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """A refresh that Pipedrive accepted."""

    name: str
    began: float
    ended: float


Span = tuple[float, float]
"""When something began and ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """All requests of the fleet, in seconds since the epoch."""

    refreshes: tuple[Refresh, ...]
    """Those that were accepted."""
    attempts: tuple[Span, ...]
    """All requests that sent a refresh token."""
    verifications: tuple[float, ...]
    failed: tuple[float, ...]
    """Requests to Pipedrive that a fault ended."""
    vault: tuple[Span, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """A published value, when its refresh was accepted, and when its successor was published (None: not yet)."""

    name: str
    seen_at: float
    due_at: float
    expires_at: float
    served_at: float | None
    replaced_at: float | None

    def waits_at(self, moment: float) -> bool:
        """Return whether the renewal is due and not served at that moment."""
        return self.due_at <= moment and (self.served_at is None or self.served_at > moment)


_Named = TypeVar("_Named", Published, Refresh)


def renewals(published: Iterable[Published], refreshes: Iterable[Refresh]) -> list[Renewal]:
    """Pair each published value with the first refresh of its grant that began after it was seen."""
    found: list[Renewal] = []
    served = _by_name(refreshes)
    for name, values in _by_name(published).items():
        ordered = sorted(values, key=lambda one: one.seen_at)
        later = sorted(served.get(name, ()), key=lambda one: one.began)
        found += [_renewal(*pair, later) for pair in zip(ordered, [*ordered[1:], None], strict=True)]
    return found


def _renewal(value: Published, successor: Published | None, refreshes: Sequence[Refresh]) -> Renewal:
    return Renewal(
        name=value.name,
        seen_at=value.seen_at,
        due_at=value.due_at,
        expires_at=value.expires_at,
        served_at=next((one.ended for one in refreshes if one.began > value.seen_at), None),
        replaced_at=None if successor is None else successor.seen_at,
    )


def longest_wait(found: Iterable[Renewal], began: float, ended: float) -> float:
    """Return the longest time past a renewal time that fell into a window, up to its end for one that still waits."""
    within = (one for one in found if began <= one.due_at < ended)
    return max((min(one.served_at or ended, ended) - one.due_at for one in within), default=0.0)


def waiting(found: Iterable[Renewal], moment: float) -> list[Renewal]:
    """Return the renewals that are due and not served."""
    return [one for one in found if one.waits_at(moment)]


def recovery(found: Iterable[Renewal], back: float) -> float | None:
    """Return how long after `back` the last renewal was served that was due then; None if one never was."""
    served = [one.served_at for one in found if one.waits_at(back)]
    known = [at for at in served if at is not None]
    return None if len(known) < len(served) else max((at - back for at in known), default=0.0)


def expired(found: Iterable[Renewal], began: float, ended: float) -> int:
    """Return how many values expired during a window before their successor was published."""
    return sum(
        began <= one.expires_at < ended and (one.replaced_at is None or one.replaced_at > one.expires_at)
        for one in found
    )


def shortest_left(found: Sequence[Renewal], moment: float) -> float | None:
    """Return the remaining lifetime of the worst published value; None while nothing is published."""
    current = (
        one.expires_at
        for one in found
        if one.seen_at <= moment and (one.replaced_at is None or one.replaced_at > moment)
    )
    soonest = min(current, default=None)
    return None if soonest is None else soonest - moment


def per_second(moments: Iterable[float], began: float, ended: float) -> list[int]:
    """Count events in each second of a window."""
    counts: Counter[int] = Counter(int(at - began) for at in moments if began <= at < ended)
    return [counts[second] for second in range(int(ended - began))]


def at_once(spans: Iterable[tuple[float, float]]) -> int:
    """Return how many spans overlapped at most; one that begins when another ends does not overlap it."""
    changes = sorted((at, change) for span in spans for at, change in zip(span, (1, -1), strict=True))
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _by_name(items: Iterable[_Named]) -> Mapping[str, list[_Named]]:
    found: dict[str, list[_Named]] = defaultdict(list)
    for one in items:
        found[one.name].append(one)
    return found
