"""Judges the evidence: what was accepted twice, what was lost and why, and what each kill interrupted. Pure.

A refresh token that Pipedrive accepted twice always breaks the promise. A grant is lost if a refresh succeeded and the
new token was neither stored in Vault or escrow nor used later. That is excused only inside the window that the promise
names: the sending process died, or its answer was lost, before the first copy was acknowledged.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Final

from chaos.evidence import Death, Evidence, Kind, Refresh, Trouble, escrow_name

WITHIN: Final = 1.0
"""In seconds after the answer: a later death is outside the window if Vault was available."""
_SLACK: Final = 3.0
_UNANSWERED: Final = re.compile(r"started at (\S+) by \S+?, went unanswered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """A status that asked a person to consent again."""

    path: str
    consent: str
    message: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A grant that was lost."""

    refresh: Refresh
    sender: str
    excused: bool
    why: str
    message: str
    """What the status reported."""
    truthful: bool
    """Whether the message names the unanswered refresh."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The time-outs of requests, in seconds."""

    vault: float
    pipedrive: float


class Moment(StrEnum):
    """What a kill interrupted, most dangerous first."""

    ANSWERED = "answered, and not stored"
    SENT = "sent, and not answered"
    INTENT = "intent written, and nothing sent"
    STORED = "stored, and not published"
    IDLE = "no refresh in flight"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How long the result of a refresh existed only in one process, in seconds."""

    since_taken: float
    since_answered: float
    at: float


def accepted_twice(refreshes: Iterable[Refresh]) -> list[str]:
    """Return the refresh tokens that Pipedrive accepted more than once."""
    spent = Counter(one.token for one in refreshes if one.accepted)
    return [token for token, times in spent.items() if times > 1]


def sent_at_once(refreshes: Iterable[Refresh]) -> list[tuple[Refresh, Refresh]]:
    """Return the pairs of refreshes of one token that were in flight at the same time."""
    found: dict[str, list[Refresh]] = {}
    for one in sorted(refreshes, key=lambda each: each.taken):
        found.setdefault(one.token, []).append(one)
    return [
        (first, second)
        for sent in found.values()
        for first, second in pairwise(sent)
        if first.answered is None or second.taken < first.answered
    ]


def sent_again(evidence: Evidence) -> list[Refresh]:
    """Return the refreshes whose token had been accepted before, with the result in Vault or in escrow by then.

    Refresh tokens work once here, so this is how reuse by an operator shows.
    """
    spent = {one.token: one for one in reversed(evidence.refreshes) if one.accepted}
    return [
        one
        for one in evidence.refreshes
        if (first := spent.get(one.token)) is not None
        and first.taken < one.taken
        and (copy := first_copy(first, evidence)) is not None
        and copy < one.taken
    ]


def sender(refresh: Refresh, evidence: Evidence) -> str | None:
    """Return the replica that sent a refresh: the one that wrote the newest intent before it."""
    writes = evidence.writes_to.get(refresh.path, ())
    return next((one.by for one in reversed(writes) if one.kind is Kind.INTENT and one.at <= refresh.taken), None)


def first_copy(refresh: Refresh, evidence: Evidence) -> float | None:
    """Return when the answer of a refresh was first acknowledged, by Vault or as an escrow; None if never."""
    later = (one.taken for one in evidence.refreshes_of[refresh.path] if one.accepted and one.taken > refresh.taken)
    end = min(later, default=float("inf"))
    stored = [one.at for one in evidence.writes_to.get(refresh.path, ()) if one.kind is Kind.STORED]
    escrowed = [one.at for one in evidence.escrowed.get(escrow_name(refresh.path), ())]
    return min((at for at in stored + escrowed if refresh.taken <= at <= end), default=None)


def windows(evidence: Evidence) -> list[Window]:
    """Return the window of every refresh whose result was stored."""
    return [
        Window(since_taken=copy - one.taken, since_answered=copy - one.answered, at=one.taken)
        for one in evidence.refreshes
        if one.accepted and one.answered is not None and (copy := first_copy(one, evidence)) is not None
    ]


def lost(refreshes: Iterable[Refresh], held: Mapping[str, str], complaints: Iterable[Complaint]) -> list[Refresh]:
    """Return the refreshes whose result is lost; `held` is the final refresh token in Vault, by path.

    If a person was asked to consent again, the grant before that consent counts as lost.
    """
    given_up = {one.consent for one in complaints}
    newest: dict[str, Refresh] = {}
    for one in sorted(refreshes, key=lambda each: each.taken):
        if one.accepted:
            newest[one.consent] = one
    return [
        one for one in newest.values() if one.consent in given_up or held.get(one.path) not in {one.issued, one.token}
    ]


def wrongly_declared_dead(refreshes: Iterable[Refresh], complaints: Iterable[Complaint]) -> list[Complaint]:
    """Return the complaints about consents of which no refresh ever succeeded, so that nothing can have been lost."""
    used = {one.consent for one in refreshes if one.accepted}
    return [one for one in complaints if one.consent not in used]


def judge(
    refresh: Refresh,
    evidence: Evidence,
    *,
    deaths: Sequence[Death],
    troubles: Sequence[Trouble],
    complaints: Iterable[Complaint],
    limits: Limits,
) -> Loss:
    """Decide whether a loss is excused, and why."""
    by = sender(refresh, evidence) or "an unknown sender"
    said = next((one.message for one in complaints if one.consent == refresh.consent), "")
    excuse = _excuse(refresh, by, evidence, deaths=deaths, troubles=troubles, limits=limits)
    return Loss(
        refresh=refresh,
        sender=by,
        excused=excuse is not None,
        why=excuse or _accusation(refresh, evidence),
        message=said,
        truthful=names_the_cause(said, refresh),
    )


def names_the_cause(message: str, refresh: Refresh) -> bool:
    """Return whether a message names an unanswered refresh that is not older than this one."""
    found = _UNANSWERED.search(message)
    return found is not None and datetime.fromisoformat(found[1]).timestamp() >= refresh.taken - _SLACK


def moment(death: Death, evidence: Evidence, targets: Mapping[str, tuple[str, str]]) -> Moment:
    """Return what a kill interrupted: the most dangerous moment over all grants; `targets` are their Secrets."""
    order = list(Moment)
    found = [_moment(death, path, target, evidence) for path, target in targets.items()]
    return min(found, key=order.index, default=Moment.IDLE)


def _moment(death: Death, path: str, target: tuple[str, str], evidence: Evidence) -> Moment:
    written = [one for one in evidence.writes_to.get(path, ()) if one.at <= death.at]
    if not written or written[-1].by != death.replica or written[-1].kind is Kind.MARK:
        return Moment.IDLE
    last = written[-1]
    if last.kind is Kind.STORED:
        published = evidence.publications_of.get(target, ())
        was_published = any(one.is_secret and last.at <= one.at <= death.at for one in published)
        return Moment.IDLE if was_published or death.at - last.at > WITHIN else Moment.STORED
    sent = [one for one in evidence.refreshes_of.get(path, ()) if last.at <= one.taken <= death.at]
    if not sent:
        return Moment.INTENT
    answered = sent[-1].answered
    return Moment.ANSWERED if answered is not None and answered <= death.at else Moment.SENT


def _excuse(
    refresh: Refresh,
    by: str,
    evidence: Evidence,
    *,
    deaths: Sequence[Death],
    troubles: Sequence[Trouble],
    limits: Limits,
) -> str | None:
    if first_copy(refresh, evidence) is not None:
        return None
    answered = refresh.answered if refresh.answered is not None else refresh.taken
    near = [one for one in troubles if one.meets(refresh.taken, answered + WITHIN, by)]
    for death in deaths:
        if death.replica == by and refresh.taken <= death.gone_at and death.at <= answered + _within(near, limits):
            return f"its process was killed {1000 * (death.at - answered):.0f} ms after the answer"
    for what, why in (("pipedrive", "the link to Pipedrive was cut"), ("stopped", "its process was stopped")):
        if any(one.what == what for one in near):
            return f"its answer was lost: {why}"
    if not refresh.delivered and answered - refresh.taken >= limits.pipedrive:
        return "its answer was lost: it took longer than the time-out"
    return None


def _within(troubles: Sequence[Trouble], limits: Limits) -> float:
    """Return how long the window may last: without limit if neither Vault nor the cluster can be reached."""
    away = {one.what for one in troubles}
    if {"vault", "cluster"} <= away or "stopped" in away:
        return float("inf")
    return WITHIN + (limits.vault if "vault" in away else 0.0)


def _accusation(refresh: Refresh, evidence: Evidence) -> str:
    copy = first_copy(refresh, evidence)
    if copy is not None:
        return f"it was lost although a copy was acknowledged {copy - refresh.taken:.3f} s after the request"
    return "no excuse: no death inside the window, and the answer was " + ("delivered" if refresh.delivered else "lost")
