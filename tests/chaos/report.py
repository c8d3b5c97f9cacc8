"""The result of a run, for people and for programs. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from chaos.cell import LEASE_SECONDS
from chaos.conclusion import Verdict
from chaos.fleet import SHORTEST_CYCLE, Figures
from chaos.judgement import Window
from testbed.figure import Figure, percentile

HAND_OVER_SECONDS: Final = 2.0
LONGEST_TAKEOVER: Final = LEASE_SECONDS + HAND_OVER_SECONDS
EXPECTED_WINDOW: Final = 15.0
"""In milliseconds, at the 99th percentile. Not asserted, because it depends on how busy the machine is."""
MANY_KILLS: Final = 50
"""With so many kills, one that interrupts no exchange would be a fault of the tests."""
WITHIN_A_MOMENT: Final = "  sent again within a moment, between the last check and the request"
_P99: Final = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A scenario that was run; `failure` is the failed expectation, or empty."""

    name: str
    seconds: float
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The results of a run; a part that was not requested is None."""

    kills: Verdict | None = None
    fleet: Figures | None = None
    scenarios: Sequence[Scenario] = ()

    @property
    def lines(self) -> list[Figure]:
        """The figures, as a table."""
        found = [_scenario(one) for one in self.scenarios]
        if self.kills is not None:
            found += _kills(self.kills)
        if self.fleet is not None:
            found += _fleet(self.fleet)
        return found

    @property
    def kept(self) -> bool:
        """Whether every expectation was met."""
        return all(line.met is not False for line in self.lines)

    def document(self) -> dict[str, Any]:
        """Return everything as a JSON document, with a summary of the windows."""
        parts: dict[str, Any] = {"kept": self.kept, "lines": [asdict(line) for line in self.lines]}
        if self.kills is not None:
            parts["kills"] = {**asdict(self.kills), "windows": summary(self.kills.windows)}
            parts["kills"]["breaches"] = self.kills.breaches
            del parts["kills"]["histories"]  # long; they are kept as files
        if self.fleet is not None:
            parts["fleet"] = {**asdict(self.fleet), "windows": summary(self.fleet.windows)}
        return parts | {"scenarios": [asdict(one) for one in self.scenarios]}


def summary(windows: Sequence[Window]) -> dict[str, float]:
    """Summarise windows, in milliseconds."""
    if not windows:
        return {"count": 0}
    answered = [1000 * one.since_answered for one in windows]
    taken = [1000 * one.since_taken for one in windows]
    return {
        "count": len(windows),
        "since_answered_median": median(answered),
        "since_answered_p99": percentile(answered, _P99),
        "since_answered_max": max(answered),
        "since_taken_median": median(taken),
        "since_taken_p99": percentile(taken, _P99),
        "since_taken_max": max(taken),
    }


def _scenario(one: Scenario) -> Figure:
    return Figure(what=one.name, measured=one.failure or f"{one.seconds:.0f} s", met=not one.failure)


def _kills(verdict: Verdict) -> Iterable[Figure]:
    excused = [one for one in verdict.losses if one.excused]
    lost = [one for one in verdict.losses if not one.excused]
    yield Figure(
        what="SIGKILLs at random moments",
        measured=f"{sum(verdict.deaths.values())} in {verdict.seconds / 60:.0f} min, seed {verdict.seed}",
    )
    yield from (Figure(what=f"  {moment}", measured=str(count)) for moment, count in verdict.deaths.items())
    yield Figure(what="faults", measured=", ".join(f"{count} {what}" for what, count in verdict.troubles.items()))
    yield Figure(what="refreshes that Pipedrive accepted", measured=f"{verdict.refreshes:,}")
    yield _none("refresh tokens accepted twice", len(verdict.accepted_twice))
    yield _none("refresh tokens sent again although their successor was stored", len(verdict.sent_again.known))
    yield _counted(WITHIN_A_MOMENT, len(verdict.sent_again.unseen))
    yield _none("refresh tokens in flight twice at the same time", len(verdict.sent_at_once.early))
    yield _counted("  sent again after four time-outs without an answer", len(verdict.sent_at_once.awaited))
    yield _none("grants lost, outside the window", len(lost))
    yield _none("grants wrongly declared dead", len(verdict.wrongly_declared_dead))
    yield Figure(what="grants lost inside the window", measured=str(len(excused)))
    truthful = sum(one.truthful for one in excused)
    yield Figure(
        what="  whose status named the cause",
        measured=str(truthful),
        expected=f"all {len(excused)}",
        met=truthful == len(excused),
    )
    yield from _consents(verdict)
    if verdict.takeovers:
        yield Figure(
            what="take-over after a kill, without a fault that affects the election",
            measured=f"median {median(verdict.takeovers):.1f} s, max {max(verdict.takeovers):.1f} s "
            f"of {len(verdict.takeovers)}",
            expected=f"<= {LONGEST_TAKEOVER:.0f} s",
            met=max(verdict.takeovers) <= LONGEST_TAKEOVER,
        )


def _consents(verdict: Verdict) -> Iterable[Figure]:
    excused = [one for one in verdict.lost_results if one.excused]
    yield Figure(
        what="consents that people accepted",
        measured=f"{sum(verdict.answers.values())}, of which Pipedrive accepted {verdict.exchanges} codes",
    )
    yield from (Figure(what=f"  {reason}", measured=str(count)) for reason, count in verdict.answers.items())
    hit = sum(verdict.exchanges_hit.values())
    is_certain = sum(verdict.deaths.values()) >= MANY_KILLS
    yield Figure(
        what="SIGKILLs that interrupted an exchange",
        measured=str(hit),
        expected=">= 1" if is_certain else "",
        met=hit >= 1 if is_certain else None,
    )
    yield from (Figure(what=f"  {moment}", measured=str(count)) for moment, count in verdict.exchanges_hit.items())
    yield _none("codes sent twice", len(verdict.sent_twice))
    yield _none("grants of another company in use", len(verdict.strange))
    yield _none("consents wrongly reported as connected, or not", len(verdict.wrongly_reported))
    yield _none("results of an exchange lost, outside the window", len(verdict.lost_results) - len(excused))
    yield _counted("results of an exchange that a newer grant outlived", len(verdict.outlived))
    yield Figure(what="results of an exchange lost inside the window", measured=str(len(excused)))
    truthful = sum(one.truthful for one in excused)
    yield Figure(
        what="  whose status said so",
        measured=str(truthful),
        expected=f"all {len(excused)}",
        met=truthful == len(excused),
    )


def _fleet(figures: Figures) -> Iterable[Figure]:
    yield Figure(
        what="fleet: grants with one-minute tokens",
        measured=f"{figures.grants} for {figures.seconds / 60:.0f} min, {figures.refreshes:,} refreshes",
    )
    yield Figure(
        what="seconds with an expired token, over all Secrets",
        measured=f"{figures.expired_seconds:.3f}",
        expected="0",
        met=figures.expired_seconds == 0,
    )
    yield Figure(what="  the shortest remaining lifetime at a replacement", measured=f"{figures.shortest_left:.1f} s")
    yield _none("refresh tokens accepted twice", len(figures.accepted_twice))
    yield _none("refresh tokens sent again although their successor was stored", figures.sent_again)
    yield _counted(WITHIN_A_MOMENT, figures.sent_unseen)
    yield _none("refresh tokens in flight twice at the same time", figures.sent_at_once)
    yield _none("refreshes without an acknowledged copy", figures.lost)
    yield _none(f"renewals without exactly one refresh, of {figures.cycles:,}", figures.odd_cycles)
    yield Figure(
        what="  the shortest calm cycle",
        measured=f"{figures.shortest_calm_cycle:.1f} s",
        expected=f">= {SHORTEST_CYCLE:.0f} s",
        met=figures.shortest_calm_cycle >= SHORTEST_CYCLE,
    )
    for what, key, most in (
        ("Vault writes", "vault_writes", 2),
        ("Vault reads", "vault_reads", 2),
        ("Secret writes", "secret_writes", 1),
        ("status writes", "status_writes", 1),
    ):
        yield Figure(
            what=f"{what} per refresh, at most (of {figures.calm_cycles:,} calm ones)",
            measured=f"{figures.calm[key]} (with faults {figures.troubled[key]})",
            expected=f"<= {most}",
            met=figures.calm[key] <= most,
        )
    yield from _windows(figures.windows)


def _windows(windows: Sequence[Window]) -> Iterable[Figure]:
    if not windows:
        return
    figures = summary(windows)
    for start in ("answered", "taken"):
        middle, p99, longest = (figures[f"since_{start}_{name}"] for name in ("median", "p99", "max"))
        yield Figure(
            what=f"window in which a grant can be lost, from request {start} to first copy",
            measured=f"median {middle:.1f} ms, p99 {p99:.1f} ms, max {longest:.1f} ms of {figures['count']:,}",
            expected=f"p99 about {EXPECTED_WINDOW:.0f} ms" if start == "answered" else "",
        )


def _counted(what: str, count: int) -> Figure:
    return Figure(what=what, measured=str(count))


def _none(what: str, count: int) -> Figure:
    return Figure(what=what, measured=str(count), expected="0", met=count == 0)
