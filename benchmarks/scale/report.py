"""The figures of a run of `make scale`, and their comparison with the goals. Pure values and arithmetic."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from benchmarks.report import Memory
from benchmarks.scale.plan import LEASE, MODEL_GRANTS, MODEL_LIFETIME
from testbed.figure import Figure, percentile
from testbed.hardware import Machine

MOST_EMPTY_MIB: Final = 65.0
MOST_MIB: Final = {10_000: 160.0, 50_000: 500.0}
LONGEST_EMPTY_START: Final = 0.5
MOST_CPU_MS: Final = 2.2
MOST_CORE: Final = 0.05
LONGEST_WAIT: Final = 30.0
LONGEST_CLEAN: Final = 2.0
LONGEST_KILLED: Final = LEASE + 2.0
LONGEST_START: Final = 10.0
LONGEST_REPAIR: Final = 0.1
LONGEST_RECOVERY: Final = 60.0
MOST_VAULT_AT_ONCE: Final = 32
MOST_REFRESHES_AT_ONCE: Final = 40
_P95: Final = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The publication of more API tokens, up to a number."""

    credentials: int
    added: int
    floor_seconds: float
    work_seconds: float
    cpu_seconds: float
    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """One start, without a credential, and the resident memory after it."""

    seconds: float
    mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """Starts of the operator until it is ready, each beside one of a process that only imports the libraries."""

    operator: tuple[Start, ...]
    libraries: tuple[Start, ...]

    @property
    def medians(self) -> tuple[Start, Start]:
        """The medians of the operator, and of the libraries: one start says little."""
        return _median(self.operator), _median(self.libraries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Memory and time by number of credentials."""

    starts: Starts
    empty: Memory
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """Secrets that were edited at once, and the time until each was repaired."""

    credentials: int
    seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """What happened after a leader got its signal, in seconds since then."""

    ended_seconds: float
    """Its process had ended."""
    leads_seconds: float
    """Another replica reported that it leads."""
    repaired_seconds: float
    """A Secret that was edited when the process had ended was repaired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """The end of a leader, until another replica has repaired a Secret."""

    credentials: int
    stopped: Takeover
    killed: Takeover
    start_seconds: float
    """The start of a replica, until it is ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time without a fault, in which grants were refreshed."""

    seconds: float
    refreshes: int
    cpu_seconds: float
    """Of the leader."""
    standby_cpu_seconds: float
    longest_wait: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """How the operator, Vault or Pipedrive came back after a while."""

    what: str
    away_seconds: float
    due: int
    """The renewals that were due when it came back."""
    served_seconds: float | None
    """Until all of these were served; None if one was not."""
    expired: int
    """Values that expired in between."""
    most_refreshes_per_second: int
    most_refreshes_at_once: int
    most_vault_at_once: int
    most_verifications_per_second: int
    tries: int
    """Requests to what was away, by its own record or by the operator's counter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One second of the fleet's time, for the picture."""

    at: float
    """In seconds since the beginning."""
    shortest_left: float | None
    waiting: int
    refreshes: int
    vault_requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFigures:
    """Grants with short tokens."""

    grants: int
    lifetime: float
    verifications_per_second: int
    """The limit that was set."""
    alone: Window | None = None
    """Without polls and verifications by interval."""
    steady: Window | None = None
    """With both, in proportion to the lifetime."""
    returns: tuple[Return, ...] = ()
    takeover_seconds: float | None = None
    """From the kill of the leader until another replica sends a refresh."""
    moments: tuple[Moment, ...] = ()
    memory: Memory | None = None
    """Of the leader, after all of this."""
    outages: tuple[tuple[str, float, float], ...] = ()
    """What was away, and from when until when, in seconds since the beginning of the moments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleReport:
    """The result of a run; a part that was not requested is None."""

    machine: Machine
    growth: Growth | None = None
    edits: Edits | None = None
    failover: Failover | None = None
    fleet: FleetFigures | None = None

    @property
    def heading(self) -> list[str]:
        """The machine, and what the grants stand for."""
        fleet = self.fleet
        stands = "" if fleet is None else f"{fleet.grants:,} grants with tokens of {fleet.lifetime:.0f} s"
        return [str(self.machine), *filter(None, (stands,))]

    @property
    def lines(self) -> list[Figure]:
        """The figures, each with its goal."""
        return [
            *(_growth(self.growth) if self.growth else ()),
            *(_edits(self.edits) if self.edits else ()),
            *(_failover(self.failover) if self.failover else ()),
            *(_fleet(self.fleet) if self.fleet else ()),
        ]

    @property
    def as_expected(self) -> bool:
        """Whether every goal is met."""
        return all(line.met is not False for line in self.lines)

    def document(self) -> dict[str, Any]:
        """Return everything in types that JSON supports."""
        return {**asdict(self), "as_expected": self.as_expected, "lines": [asdict(line) for line in self.lines]}


def _growth(growth: Growth) -> Iterable[Figure]:
    yield from _starts(growth.starts)
    yield _at_most("resident memory without a credential", growth.empty.resident_mib, MOST_EMPTY_MIB, "MiB", digits=0)
    for step in growth.steps:
        what = f"resident memory with {step.credentials:,} credentials"
        yield _at_most(what, step.memory.resident_mib, MOST_MIB.get(step.credentials), "MiB", digits=0)
    for step in growth.steps:
        yield Figure(
            what=f"publication of {_added(step)}, relative to the floor",
            measured=f"{step.work_seconds / step.floor_seconds:.2f} x "
            f"({step.work_seconds:.1f} s beside {step.floor_seconds:.1f} s)",
        )
        each = 1000 * step.cpu_seconds / step.added
        yield _at_most("  the operator's CPU time for each", each, MOST_CPU_MS, "ms", digits=1)


def _starts(starts: Starts) -> Iterable[Figure]:
    operator, floor = starts.medians
    yield _at_most("start until ready, without a credential", operator.seconds, LONGEST_EMPTY_START, "s", digits=2)
    yield Figure(
        what="  a process that only imports the libraries", measured=f"{floor.seconds:.2f} s, {floor.mib:.0f} MiB"
    )
    yield Figure(
        what="  the operator, relative to that process",
        measured=f"{operator.seconds / floor.seconds:.2f} x the time, {operator.mib / floor.mib:.2f} x the memory",
    )


def _median(starts: Sequence[Start]) -> Start:
    return Start(seconds=median(one.seconds for one in starts), mib=median(one.mib for one in starts))


def _added(step: Step) -> str:
    before = step.credentials - step.added
    return f"{step.added:,} credentials" if not before else f"{step.added:,} more, beside {before:,}"


def _edits(edits: Edits) -> Iterable[Figure]:
    what = f"{len(edits.seconds)} Secrets edited at once, with {edits.credentials:,}, until 95 % are repaired"
    yield _at_most(what, percentile(edits.seconds, _P95), LONGEST_REPAIR, "s", digits=2)
    yield Figure(what="  until all are", measured=f"{max(edits.seconds):.2f} s")


def _failover(failover: Failover) -> Iterable[Figure]:
    size = f"with {failover.credentials:,} credentials"
    what = f"another replica repairs a Secret, {size}, after its leader was stopped"
    yield _at_most(what, failover.stopped.repaired_seconds, LONGEST_CLEAN, "s", digits=1)
    yield _leads(failover.stopped)
    yield _at_most("  after its leader was killed", failover.killed.repaired_seconds, LONGEST_KILLED, "s", digits=1)
    yield _leads(failover.killed)
    yield Figure(what=f"  start of a replica, until it is ready, {size}", measured=f"{failover.start_seconds:.1f} s")


def _leads(takeover: Takeover) -> Figure:
    return Figure(
        what="    until it leads, and until the old process has ended",
        measured=f"{takeover.leads_seconds:.1f} s, {takeover.ended_seconds:.1f} s",
    )


def _fleet(fleet: FleetFigures) -> Iterable[Figure]:
    if fleet.alone is not None:
        each = 1000 * fleet.alone.cpu_seconds / max(1, fleet.alone.refreshes)
        yield Figure(what="the operator's CPU time for a refresh", measured=f"{each:.1f} ms")
    if fleet.steady is not None:
        yield from _steady(fleet, fleet.steady)
    for one in fleet.returns:
        yield from _return(one, fleet)
    if fleet.takeover_seconds is not None:
        what = "another replica refreshes a grant, after its leader was killed"
        yield _at_most(what, fleet.takeover_seconds, LONGEST_KILLED, "s", digits=1)
    if fleet.memory is not None:
        what = f"resident memory of the leader with {fleet.grants:,} grants, at the end, and at its peak"
        yield Figure(what=what, measured=f"{fleet.memory.resident_mib:.0f} MiB, {fleet.memory.peak_mib:.0f} MiB")


def _steady(fleet: FleetFigures, window: Window) -> Iterable[Figure]:
    rate = window.refreshes / window.seconds
    yield Figure(
        what=f"refreshes of {fleet.grants:,} grants with tokens of {fleet.lifetime:.0f} s",
        measured=f"{window.refreshes:,} in {window.seconds:.0f} s, {rate:.1f} a second",
    )
    is_model = fleet.lifetime * MODEL_GRANTS <= MODEL_LIFETIME * fleet.grants * 1.01
    what = "  share of one core, with polls and verifications in proportion"
    share = window.cpu_seconds / window.seconds
    yield Figure(
        what=what,
        measured=f"{100 * share:.1f} %",
        expected=f"<= {100 * MOST_CORE:g} %" if is_model else "",
        met=share <= MOST_CORE if is_model else None,
    )
    idle = 100 * window.standby_cpu_seconds / window.seconds
    yield Figure(what="  share of one core of the replica that stands by", measured=f"{idle:.1f} %")
    yield _at_most("  longest wait past the renewal time", window.longest_wait, LONGEST_WAIT, "s", digits=1)


def _return(one: Return, fleet: FleetFigures) -> Iterable[Figure]:
    most = _longest(one, fleet)
    what = f"{one.what} away for {one.away_seconds:.0f} s: until the {one.due:,} due renewals are served"
    if one.served_seconds is None:
        yield Figure(what=what, measured="not all were", expected="all of them", met=False)
    else:
        yield _at_most(what, one.served_seconds, most, "s", digits=1)
    yield _count("  values that expired", one.expired, 0)
    yield _count("  refreshes at once, at most", one.most_refreshes_at_once, MOST_REFRESHES_AT_ONCE)
    yield Figure(what="  refreshes in a second, at most", measured=str(one.most_refreshes_per_second))
    yield _count("  requests to Vault at once, at most", one.most_vault_at_once, MOST_VAULT_AT_ONCE)
    limit = 2 * fleet.verifications_per_second
    yield _count("  verifications in a second, at most", one.most_verifications_per_second, limit)
    if one.tries:
        yield Figure(what="  requests while it was away", measured=f"{one.tries:,}")


def _longest(one: Return, fleet: FleetFigures) -> float | None:
    """Return the goal: a shorter outage of Vault leaves fewer renewals due, so the goal is as much shorter."""
    goals = {"operator": LONGEST_START, "Vault": LONGEST_RECOVERY * fleet.lifetime / MODEL_LIFETIME}
    return goals.get(one.what)


def _at_most(what: str, value: float, most: float | None, unit: str, *, digits: int) -> Figure:
    expected = "" if most is None else f"<= {most:g} {unit}"
    return Figure(
        what=what,
        measured=f"{value:.{digits}f} {unit}",
        expected=expected,
        met=None if most is None else value <= most,
    )


def _count(what: str, value: int, most: int) -> Figure:
    return Figure(what=what, measured=f"{value:,}", expected=f"<= {most:,}" if most else "0", met=value <= most)
