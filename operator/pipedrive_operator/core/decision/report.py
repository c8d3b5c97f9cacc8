"""From an observation and a decision to the status: what is told to people and to other controllers. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime

from pipedrive_operator.core.decision.decision import Decision
from pipedrive_operator.core.decision.observation import Observation
from pipedrive_operator.core.grant.token import renaming
from pipedrive_operator.core.publication.rollout import NOT_ENABLED, RestartState, Result, noted, notes
from pipedrive_operator.core.publication.secret import differs, foreign_keys, is_ours, untouched_since_published
from pipedrive_operator.core.resource.status import Account, Status
from pipedrive_operator.core.resource.workload import WorkloadStatus
from pipedrive_operator.core.values.conditions import (
    EFFECTS,
    Condition,
    ConditionStatus,
    ConditionType,
    EventReason,
    Reason,
    keep_transition_times,
)
from pipedrive_operator.core.values.times import format_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """What an Event tells about a condition that flipped."""

    warning: bool
    reason: str
    message: str


def report(seen: Observation, decision: Decision, *, handled_request: str | None) -> Status:
    """Build the status. It equals the one before wherever nothing has changed."""
    before = seen.credential.status
    conditions = _conditions(seen, decision)
    previous = {condition.type: condition for condition in before.conditions}
    token = seen.token
    return Status(
        observed_generation=seen.credential.generation,
        conditions=keep_transition_times(conditions, previous),
        account=_account(seen),
        secret_name=seen.credential.target_name if is_ours(seen.target, seen.credential) else None,
        expires_at=seen.accepted.token.expires_at if seen.accepted is not None else before.expires_at,
        renewal_time=seen.renewal.at if seen.renewal is not None else (None if token else before.renewal_time),
        last_refresh_time=token.obtained_at if token is not None else before.last_refresh_time,
        rollout=_rollout(seen),
        last_handled_request=handled_request or before.last_handled_request,
    )


def announcement(before: Status, after: Status) -> Announcement | None:
    """Return the Event for what is news in the conditions; one a pass at most."""
    for wanted, good in (
        (ConditionType.STALLED, ConditionStatus.FALSE),
        (ConditionType.READY, ConditionStatus.TRUE),
        (ConditionType.AUTHORIZED, ConditionStatus.TRUE),
    ):
        old, new = before.condition(wanted), after.condition(wanted)
        if new is not None and _is_news(old, new, good):
            return Announcement(warning=new.status is not good, reason=new.reason, message=new.message)
    return None


def rollout_announcement(seen: Observation) -> Announcement | None:
    """Return the Event for workloads that could not be restarted, once: what Ready tells already is no news."""
    before = seen.credential.status.condition(ConditionType.READY)
    told = before.message if before is not None else ""
    problems = [one.message for one in _open_standings(seen) if one.result is not Result.DEFERRED]
    news = [message for message in (*_not_enabled(seen), *problems, *_absences(seen)) if message not in told]
    return Announcement(warning=True, reason=EventReason.ROLLOUT_DENIED, message=". ".join(news)) if news else None


def is_ready(seen: Observation) -> bool:
    """Tell whether the Secret matches this generation, with an accepted, unexpired value of the right account."""
    if not is_ours(seen.target, seen.credential) or seen.target is None:
        return False
    if seen.desired is not None:
        return seen.publishable and not differs(seen.target, seen.desired)
    before = seen.credential.status.condition(ConditionType.READY)
    return (
        before is not None
        and before.status is ConditionStatus.TRUE
        and before.observed_generation == seen.credential.generation
        and untouched_since_published(seen.target)
        and _is_ahead(seen.credential.status.expires_at, seen.now)
    )


def _conditions(seen: Observation, decision: Decision) -> list[Condition]:
    effect = EFFECTS[decision.reason]
    found = [_ready(seen, decision), _authorized(seen, decision)]
    if effect.stalled:
        found.append(_condition(seen, ConditionType.STALLED, ConditionStatus.TRUE, decision.reason, decision.message))
    return found


def _ready(seen: Observation, decision: Decision) -> Condition:
    if is_ready(seen) and not EFFECTS[decision.reason].not_ready:
        return _condition(seen, ConditionType.READY, ConditionStatus.TRUE, Reason.PUBLISHED, _published_message(seen))
    return _condition(seen, ConditionType.READY, ConditionStatus.FALSE, decision.reason, decision.message)


def _authorized(seen: Observation, decision: Decision) -> Condition:
    status = EFFECTS[decision.reason].authorized
    if status is not None:
        return _condition(seen, ConditionType.AUTHORIZED, status, decision.reason, decision.message)
    if seen.verification is not None and seen.verification.account is not None:
        message = f"Pipedrive accepts what Vault holds, for company {seen.verification.account.company_domain}"
        return _condition(seen, ConditionType.AUTHORIZED, ConditionStatus.TRUE, Reason.ACCEPTED, message)
    message = "Pipedrive was not asked yet"
    return _condition(seen, ConditionType.AUTHORIZED, ConditionStatus.UNKNOWN, Reason.PENDING, message)


def _condition(
    seen: Observation, kind: ConditionType, status: ConditionStatus, reason: Reason, message: str
) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        observed_generation=seen.credential.generation,
        last_transition_time=seen.now.replace(microsecond=0),
    )


def _published_message(seen: Observation) -> str:
    parts = [f"Secret {seen.credential.target_name} holds a value that Pipedrive accepts"]
    if seen.renewal is not None and seen.renewal.clamped_to is not None:
        parts.append(
            f"renewBefore is more than half of the lifetime: {format_duration(seen.renewal.clamped_to)} is used"
        )
    guard = seen.credential.spec.account if seen.credential.spec is not None else None
    renamed = renaming(guard, seen.accepted.account) if seen.accepted is not None else None
    if renamed is not None:
        parts.append(renamed)
    parts.extend((*_not_enabled(seen), *(standing.message for standing in _open_standings(seen))))
    if seen.target is not None and seen.desired is not None and (foreign := foreign_keys(seen.target, seen.desired)):
        parts.append(f"Keys that are not ours are left alone: {', '.join(foreign)}")
    return ". ".join(parts)


def _rollout(seen: Observation) -> tuple[WorkloadStatus, ...] | None:
    """Note nothing while workloads may not be restarted, so that to allow it later restarts none."""
    if seen.timings.restart_interval is None:
        return None
    return notes(seen.credential, seen.published_revision, seen.restart_states) or None


def _not_enabled(seen: Observation) -> tuple[str, ...]:
    spec = seen.credential.spec
    wanted = spec is not None and spec.rollout is not None
    return (NOT_ENABLED,) if wanted and seen.timings.restart_interval is None else ()


def _open_standings(seen: Observation) -> tuple[RestartState, ...]:
    """Return what keeps workloads behind what is published."""
    return tuple(one for one in seen.restart_states if one.revision == seen.published_revision and not one.is_concluded)


def _absences(seen: Observation) -> tuple[str, ...]:
    """Return the messages about workloads that were not there, until the status has noted it."""
    before = noted(seen.credential)
    return tuple(
        standing.message
        for standing in seen.restart_states
        if standing.result is Result.ABSENT and before.get(standing.reference) != standing.revision
    )


def _account(seen: Observation) -> Account | None:
    """Keep the domain that the guard names when its company is renamed: it is what marks the renaming."""
    before = seen.credential.status.account
    if seen.accepted is None:
        return before
    guard = seen.credential.spec.account if seen.credential.spec is not None else None
    if before is not None and guard is not None and renaming(guard, seen.accepted.account) is not None:
        return replace(seen.accepted.account, company_domain=before.company_domain)
    return seen.accepted.account


def _is_ahead(moment: datetime | None, now: datetime) -> bool:
    return moment is None or now < moment


def _is_news(old: Condition | None, new: Condition, good: ConditionStatus) -> bool:
    """Tell whether a flip is worth an Event: a first success is not, nor that something is unknown for now.

    That a grant is in escrow is news though it flips nothing: Vault must take it before the cluster is lost.
    """
    if new.reason is Reason.GRANT_ESCROWED:
        return old is None or old.reason is not new.reason
    if old is None:
        return new.type is ConditionType.STALLED
    if not new.flipped_from(old) or new.status is ConditionStatus.UNKNOWN:
        return False
    return new.status is not good or old.reason is not Reason.PENDING
