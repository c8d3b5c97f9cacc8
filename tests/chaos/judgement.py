"""Judges the evidence: what was accepted twice, what was lost and why, and what each kill interrupted. Pure.

A refresh token that Pipedrive accepted twice always breaks the promise. A grant is lost if a refresh succeeded and the
new token was neither stored in Vault or escrow nor used later. That is excused only inside the window that the promise
names: the sending process died, or its answer was lost, before the first copy was acknowledged. What is particular to
the exchange of a code is judged in `exchange_judgement`.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from chaos.attribution import first_copy, intent_of, is_of_candidate, sender
from chaos.evidence import TRANSIT, Death, Evidence, Kind, Refresh, Spending, Trouble

WITHIN: Final = 1.0
"""In seconds after the answer: a later death is outside the window if Vault was available."""
LONGEST_PROBE: Final = 15.0
"""In seconds: how long after its return a process may still take Vault for unavailable."""
_SLACK: Final = 3.0
_HINDERS: Final = ("vault", "cluster", "stopped")
_UNANSWERED: Final = re.compile(r"started at (\S+) by \S+?, went unanswered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """A status that asked a person to consent again."""

    path: str
    message: str
    at: float
    """When the status was read."""
    consent: str = ""
    """The consent that it is about, found by `attributed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A grant that was lost."""

    spending: Spending
    """The last refresh, or the exchange, whose result was lost."""
    sender: str
    excused: bool
    why: str
    message: str
    """What the status reported."""
    truthful: bool
    """Whether the message names the unanswered refresh, or calls the exchange uncertain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a process waits, in seconds."""

    vault: float
    """For Vault."""
    answer: float
    """For Pipedrive's answer."""


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


def accepted_twice(refreshes: Iterable[Spending]) -> list[str]:
    """Return the refresh tokens that Pipedrive accepted more than once."""
    spent = Counter(one.token for one in refreshes if one.accepted)
    return [token for token, times in spent.items() if times > 1]


def windows(evidence: Evidence) -> list[Window]:
    """Return the window of every refresh whose result was stored."""
    return [
        Window(since_taken=copy - one.taken, since_answered=copy - one.answered, at=one.taken)
        for one in evidence.refreshes
        if one.accepted and one.answered is not None and (copy := first_copy(one, evidence)) is not None
    ]


def attributed(
    complaints: Iterable[Complaint], evidence: Evidence, targets: Mapping[str, tuple[str, str]]
) -> list[Complaint]:
    """Find the consent behind each complaint: that of the newest refresh before the status was written.

    The status may be older than the moment when it was read: another consent may have become the grant since.
    """
    return [replace(one, consent=_complained_about(one, evidence, targets[one.path])) for one in complaints]


def lost(
    refreshes: Iterable[Spending],
    held: Mapping[str, str],
    complaints: Iterable[Complaint],
    *,
    replaced: Collection[str] = frozenset(),
) -> list[Spending]:
    """Return the refreshes whose result is lost; `held` is the final refresh token in Vault, by path.

    If a person was asked to consent again, the grant before that consent counts as lost. A grant that a later consent
    has `replaced` need not be held.
    """
    given_up = {one.consent for one in complaints}
    newest: dict[str, Spending] = {}
    for one in sorted(refreshes, key=lambda each: each.taken):
        if one.accepted:
            newest[one.consent] = one
    return [
        one
        for one in newest.values()
        if one.consent in given_up or (one.consent not in replaced and held.get(one.path) != one.issued)
    ]


def wrongly_declared_dead(refreshes: Iterable[Refresh], complaints: Iterable[Complaint]) -> list[Complaint]:
    """Return the complaints about consents of which no refresh ever succeeded, so that nothing can have been lost."""
    used = {one.consent for one in refreshes if one.accepted}
    return [one for one in complaints if one.consent not in used]


def judge(
    refresh: Spending,
    evidence: Evidence,
    *,
    deaths: Sequence[Death],
    troubles: Sequence[Trouble],
    complaints: Iterable[Complaint],
    limits: Limits,
) -> Loss:
    """Decide whether a loss is excused, and why."""
    by = sender(refresh, evidence) or "an unknown sender"
    said = next((one for one in complaints if one.consent == refresh.consent), None)
    why = excuse(refresh, evidence, deaths=deaths, troubles=troubles, limits=limits)
    return Loss(
        spending=refresh,
        sender=by,
        excused=why is not None,
        why=why or accusation(refresh, evidence),
        message=said.message if said is not None else "",
        truthful=said is not None and names_the_cause(said, refresh, evidence),
    )


def names_the_cause(complaint: Complaint, refresh: Spending, evidence: Evidence) -> bool:
    """Return whether a message names this unanswered refresh, or a later one of the same grant.

    A refresh starts when its intent does. On a busy machine, Vault stores it, and Pipedrive takes the request, seconds
    later.
    """
    found = _UNANSWERED.search(complaint.message)
    if found is None:
        return False
    named = datetime.fromisoformat(found[1]).timestamp()
    intent = intent_of(refresh, evidence)
    began = intent.at if intent is not None else refresh.taken
    intents = (one.at for one in evidence.writes_to.get(refresh.path, ()) if one.kind is Kind.INTENT)
    sent = (one.taken for one in evidence.refreshes_of.get(refresh.path, ()))
    later = (at for at in (*intents, *sent) if began <= at <= complaint.at)
    return began - _SLACK <= named <= refresh.taken or any(at - _SLACK <= named <= at for at in later)


def moment(death: Death, evidence: Evidence, targets: Mapping[str, tuple[str, str]]) -> Moment:
    """Return what a kill interrupted: the most dangerous moment over all grants; `targets` are their Secrets."""
    order = list(Moment)
    found = [_moment(death, path, target, evidence) for path, target in targets.items()]
    return min(found, key=order.index, default=Moment.IDLE)


def _moment(death: Death, path: str, target: tuple[str, str], evidence: Evidence) -> Moment:
    written = [one for one in evidence.writes_to.get(path, ()) if one.at <= death.at]
    if not written or written[-1].by != death.replica or written[-1].kind not in {Kind.INTENT, Kind.STORED}:
        return Moment.IDLE
    last = written[-1]
    if last.kind is Kind.STORED:
        published = evidence.publications_of.get(target, ())
        was_published = any(one.is_secret and last.at <= one.at <= death.at for one in published)
        return Moment.IDLE if was_published or death.at - last.at > WITHIN else Moment.STORED
    sent = [one for one in evidence.refreshes_of.get(path, ()) if last.at <= one.taken <= death.at]
    if not sent:
        return Moment.IDLE if last.for_consent else Moment.INTENT
    answered = sent[-1].answered
    return Moment.ANSWERED if answered is not None and answered <= death.at else Moment.SENT


def excuse(
    refresh: Spending,
    evidence: Evidence,
    *,
    deaths: Sequence[Death],
    troubles: Sequence[Trouble],
    limits: Limits,
) -> str | None:
    """Return why a result may be lost; None if nothing excuses it."""
    by = sender(refresh, evidence) or "an unknown sender"
    if first_copy(refresh, evidence) is not None:
        return None
    answered = refresh.answered if refresh.answered is not None else refresh.taken
    near = [one for one in troubles if one.meets(refresh.taken, answered + WITHIN, by)]
    until = answered + _within(near, answered, limits)
    for death in deaths:
        if death.replica == by and refresh.taken <= death.gone_at and death.at <= until:
            return f"its process was killed {1000 * (death.at - answered):.0f} ms after the answer"
    in_time = [one for one in near if one.began <= answered + TRANSIT]
    if any(one.what == "pipedrive" for one in in_time):
        return "its answer was lost: the link to Pipedrive was cut"
    if any(one.what == "stopped" and one.ended - refresh.taken >= limits.answer for one in in_time):
        return "its answer was lost: its process was stopped for longer than it waits for an answer"
    if not refresh.delivered and answered - refresh.taken >= limits.answer:
        return "its answer was lost: it took longer than the time-out"
    return None


def _complained_about(complaint: Complaint, evidence: Evidence, target: tuple[str, str]) -> str:
    published = evidence.publications_of.get(target, ())
    written = max((one.at for one in published if one.is_status and one.at <= complaint.at), default=complaint.at)
    tried = [
        one
        for one in evidence.refreshes_of.get(complaint.path, ())
        if one.taken <= written and not is_of_candidate(one, evidence)
    ]
    return tried[-1].consent if tried else ""


def _within(troubles: Sequence[Trouble], answered: float, limits: Limits) -> float:
    """Return how long the window may last: time in which its process is stopped, or can make no copy, adds to it."""
    lasts = {what: max((one.ended for one in troubles if one.what == what), default=answered) for what in _HINDERS}
    stopped, away = lasts["stopped"] - answered, min(lasts["vault"], lasts["cluster"]) - answered
    if away > 0:
        away += LONGEST_PROBE
    elif lasts["vault"] > answered:
        away = limits.vault
    return WITHIN + max(0.0, stopped) + max(0.0, away)


def accusation(refresh: Spending, evidence: Evidence) -> str:
    """Return why the loss of a result breaks the promise."""
    copy = first_copy(refresh, evidence)
    if copy is not None:
        return f"it was lost although a copy was acknowledged {copy - refresh.taken:.3f} s after the request"
    return "no excuse: no death inside the window, and the answer was " + ("delivered" if refresh.delivered else "lost")
