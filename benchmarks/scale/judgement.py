"""Turns the records of a fleet into its figures. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.scale import evidence
from benchmarks.scale.evidence import Published, Records, Renewal
from benchmarks.scale.plan import Plan
from benchmarks.scale.report import FleetFigures, Moment, Return, Window

_BEFORE: Final = 30.0
"""How much of the time before the first outage the picture shows, in seconds."""
_AFTER_KILL: Final = 0.5
"""A refresh that was sent before a kill may be recorded this much later, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calm:
    """A calm time, and the processor time that was spent in it."""

    began: float
    ended: float
    cpu_seconds: float
    standby_cpu_seconds: float


@dataclass(slots=True, kw_only=True)
class Outage:
    """Something was away from `began` to `back`, and was watched until `ended`."""

    what: str
    began: float
    seconds: float
    back: float = 0.0
    ended: float = 0.0
    tries: int = 0


def judge(
    plan: Plan,
    *,
    published: Sequence[Published],
    records: Records,
    windows: tuple[Calm | None, Calm | None],
    outages: Sequence[Outage],
    killed_at: float | None,
    ended: float,
    verifications_per_second: int,
) -> FleetFigures:
    """Return the figures of a fleet."""
    renewals = evidence.renewals(published, records.refreshes)
    alone, steady = (None if span is None else _window(span, renewals, records) for span in windows)
    began = min((one.began for one in outages), default=ended) - _BEFORE
    return FleetFigures(
        grants=plan.grants,
        lifetime=plan.token_lifetime,
        verifications_per_second=verifications_per_second,
        alone=alone,
        steady=steady,
        returns=tuple(_return(one, renewals, records) for one in outages),
        takeover_seconds=None if killed_at is None else _takeover(killed_at, records),
        moments=tuple(_moments(renewals, records, began, killed_at or ended)) if outages else (),
        outages=tuple((one.what, one.began - began, one.back - began) for one in outages),
    )


def _window(span: Calm, renewals: Sequence[Renewal], records: Records) -> Window:
    return Window(
        seconds=span.ended - span.began,
        refreshes=sum(span.began <= one.began < span.ended for one in records.refreshes),
        cpu_seconds=span.cpu_seconds,
        standby_cpu_seconds=span.standby_cpu_seconds,
        longest_wait=evidence.longest_wait(renewals, span.began, span.ended),
    )


def _return(outage: Outage, renewals: Sequence[Renewal], records: Records) -> Return:
    back, ended = outage.back, outage.ended
    began = [one for one, _ in records.attempts]
    failed = sum(outage.began <= at < back for at in records.failed)
    return Return(
        what=outage.what,
        away_seconds=back - outage.began,
        due=len(evidence.waiting(renewals, back)),
        served_seconds=evidence.recovery(renewals, back),
        expired=evidence.expired(renewals, outage.began, ended),
        most_refreshes_per_second=max(evidence.per_second(began, back, ended), default=0),
        most_refreshes_at_once=evidence.at_once(one for one in records.attempts if back <= one[0] < ended),
        most_vault_at_once=evidence.at_once(one for one in records.vault if back <= one[0] < ended),
        most_verifications_per_second=max(evidence.per_second(records.verifications, back, ended), default=0),
        tries=outage.tries or failed,
    )


def _takeover(killed_at: float, records: Records) -> float | None:
    began = (one for one, _ in records.attempts if one > killed_at + _AFTER_KILL)
    return min((one - killed_at for one in began), default=None)


def _moments(renewals: Sequence[Renewal], records: Records, began: float, ended: float) -> Iterator[Moment]:
    refreshes = evidence.per_second((one.ended for one in records.refreshes), began, ended)
    vault = evidence.per_second((one for one, _ in records.vault), began, ended)
    for second, (refreshed, asked) in enumerate(zip(refreshes, vault, strict=True)):
        yield Moment(
            at=second,
            shortest_left=evidence.shortest_left(renewals, began + second),
            waiting=len(evidence.waiting(renewals, began + second)),
            refreshes=refreshed,
            vault_requests=asked,
        )
