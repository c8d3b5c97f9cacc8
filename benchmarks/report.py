"""Summarizes the figures and compares them with the expectations. Pure values and arithmetic."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any, Final

from testbed.figure import Figure
from testbed.hardware import Machine

MOST_SECONDS_FOR_ONE: Final = 0.5
MOST_TIMES_FLOOR: Final = 2.0
WRITES: Final = 2
VAULT_READS: Final = 1
MOST_MIB: Final = 130.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """The requests to the API server and to Vault for the first publication of some credentials, by kind."""

    credentials: int
    writes: Mapping[str, int]
    vault: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The memory of a process."""

    resident_mib: float
    peak_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The figures of one round. Seconds are wall time, unless the name says CPU."""

    floor_seconds: tuple[float, float]
    """The minimal client, for existing credentials, before and after the operator."""
    work_seconds: float
    """The operator, for existing credentials."""
    work_cpu_seconds: float
    """The operator's CPU time for them, which other programs disturb less than wall time."""
    lone_apply_seconds: float
    """kubectl, while no operator runs."""
    apply_seconds: float
    """kubectl, while the operator works."""
    apply_to_last_secret_seconds: float
    singles_seconds: tuple[float, ...]
    requests: Requests
    empty: Memory
    """Before the first credential."""
    memory: Memory
    """With all credentials published."""

    @property
    def floor(self) -> float:
        """The floor for the operator's times in this round, in seconds."""
        return mean(self.floor_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a run."""

    machine: Machine
    workers: int
    rounds: tuple[Round, ...]

    @property
    def heading(self) -> list[str]:
        """The machine, and what the figures are."""
        size = f"{len(self.rounds)} rounds, {self.workers} credentials at once"
        return [str(self.machine), f"{size}; medians, and the lowest and highest in brackets"]

    @property
    def lines(self) -> list[Figure]:
        """The figures, each with its expectation."""
        return [_one(self.rounds), *_many(self.rounds), *_requests(self.rounds), *_memory(self.rounds)]

    @property
    def as_expected(self) -> bool:
        """Whether every expectation is met."""
        return all(line.met is not False for line in self.lines)

    def document(self) -> dict[str, Any]:
        """Return everything, including the measurements of each round, in types that JSON supports."""
        return {
            "machine": asdict(self.machine),
            "workers": self.workers,
            "as_expected": self.as_expected,
            "lines": [asdict(line) for line in self.lines],
            "rounds": [asdict(one) for one in self.rounds],
        }


def _one(rounds: Sequence[Round]) -> Figure:
    times = [seconds for one in rounds for seconds in one.singles_seconds]
    return Figure(
        what="1 credential: from kubectl apply to its Secret",
        measured=f"{_spread(times)} s",
        expected=f"< {MOST_SECONDS_FOR_ONE:g} s",
        met=median(times) < MOST_SECONDS_FOR_ONE,
    )


def _many(rounds: Sequence[Round]) -> Iterable[Figure]:
    size = rounds[0].requests.credentials
    work = [one.work_seconds / one.floor for one in rounds]
    yield Figure(
        what=f"{size:,} existing credentials: until the last Secret, relative to the floor",
        measured=f"{_spread(work)} x",
        expected=f"<= {MOST_TIMES_FLOOR:g} x",
        met=median(work) <= MOST_TIMES_FLOOR,
    )
    yield Figure(what="  the floor: a minimal client", measured=_seconds(rounds, lambda one: one.floor))
    yield Figure(what="  the operator", measured=_seconds(rounds, lambda one: one.work_seconds))
    yield Figure(
        what="  the operator's CPU time for each",
        measured=f"{_spread([1000 * one.work_cpu_seconds / size for one in rounds], 1)} ms",
    )
    whole = [one.apply_to_last_secret_seconds / (one.lone_apply_seconds + one.floor) for one in rounds]
    yield Figure(
        what=f"{size:,} credentials: from kubectl apply to the last Secret, relative to kubectl followed by the floor",
        measured=f"{_spread(whole)} x",
        expected=f"<= {MOST_TIMES_FLOOR:g} x",
        met=median(whole) <= MOST_TIMES_FLOOR,
    )
    yield Figure(what="  kubectl alone", measured=_seconds(rounds, lambda one: one.lone_apply_seconds))
    yield Figure(what="  kubectl while the operator works", measured=_seconds(rounds, lambda one: one.apply_seconds))
    yield Figure(
        what="  from kubectl apply to the last Secret",
        measured=_seconds(rounds, lambda one: one.apply_to_last_secret_seconds),
    )
    bare = [one.apply_to_last_secret_seconds / one.floor for one in rounds]
    yield Figure(what="  the same, relative to the floor without kubectl", measured=f"{_spread(bare)} x")


def _requests(rounds: Sequence[Round]) -> Iterable[Figure]:
    yield _exactly("API-server writes for each first publication", WRITES, [one.requests for one in rounds], _writes)
    yield _exactly("Vault reads for each first publication", VAULT_READS, [one.requests for one in rounds], _vault)


def _memory(rounds: Sequence[Round]) -> Iterable[Figure]:
    resident = [one.memory.resident_mib for one in rounds]
    yield Figure(
        what=f"resident memory with {rounds[0].requests.credentials:,} credentials",
        measured=f"{_spread(resident, 0)} MiB",
        expected=f"< {MOST_MIB:g} MiB",
        met=max(resident) < MOST_MIB,
    )
    yield Figure(what="  at its peak", measured=f"{_spread([one.memory.peak_mib for one in rounds], 0)} MiB")
    yield Figure(
        what="  before the first credential", measured=f"{_spread([one.empty.resident_mib for one in rounds], 0)} MiB"
    )


def _writes(requests: Requests) -> Mapping[str, int]:
    return requests.writes


def _vault(requests: Requests) -> Mapping[str, int]:
    return requests.vault


def _exactly(
    what: str, expected: int, rounds: Sequence[Requests], kinds: Callable[[Requests], Mapping[str, int]]
) -> Figure:
    """Compare counts with an exact expectation; the line lists the counts by kind."""
    each = [sum(kinds(one).values()) / one.credentials for one in rounds]
    worst = max(rounds, key=lambda one: abs(sum(kinds(one).values()) - expected * one.credentials))
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds(worst).items()))
    return Figure(
        what=what,
        measured=f"{_spread(each, 3)} ({counts})",
        expected=f"exactly {expected}",
        met=all(sum(kinds(one).values()) == expected * one.credentials for one in rounds),
    )


def _seconds(rounds: Sequence[Round], take: Callable[[Round], float]) -> str:
    return f"{_spread([take(one) for one in rounds])} s"


def _spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median, and the range if the values differ."""
    middle, lowest, highest = (f"{one:.{digits}f}" for one in (median(values), min(values), max(values)))
    return middle if lowest == highest else f"{middle} ({lowest} to {highest})"
