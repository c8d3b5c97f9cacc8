"""Turns an observation and a decision into the status and Events for people and other controllers. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from pipedrive_operator.core.decision.consent_hints import pending_uninstall
from pipedrive_operator.core.decision.decision import Decision
from pipedrive_operator.core.decision.observation import Observation
from pipedrive_operator.core.grant.token import renaming
from pipedrive_operator.core.publication.rollout import (
    NOT_ENABLED,
    RestartState,
    Result,
    recorded_revisions,
    records,
)
from pipedrive_operator.core.publication.secret import foreign_keys
from pipedrive_operator.core.publication.target import TargetSecret, belongs_to
from pipedrive_operator.core.resource.credential import Credential, Resource, UnreadableCredential
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
from pipedrive_operator.core.values.mask import reportable
from pipedrive_operator.core.values.times import format_duration

_NOT_VERIFIED: Final = "Pipedrive was not asked yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """The content of an Event."""

    warning: bool
    reason: str
    message: str


def report(seen: Observation, decision: Decision, *, handled_request: str | None) -> Status:
    """Build the status. It equals the previous one if nothing has changed."""
    before, token, accepted = seen.credential.status, seen.token, seen.memory.accepted
    return Status(
        observed_generation=seen.credential.generation,
        conditions=_with_previous_times(_conditions(seen, decision), before),
        account=_account(seen),
        secret_name=seen.credential.target_name if belongs_to(seen.target, seen.credential) else None,
        expires_at=accepted.token.expires_at if accepted is not None and seen.is_as_desired else before.expires_at,
        renewal_time=seen.renewal.at if seen.renewal is not None else (None if token else before.renewal_time),
        last_refresh_time=token.obtained_at if token is not None else before.last_refresh_time,
        uninstall_reported_at=pending_uninstall(seen.credential, seen.memory.grant),
        rollout=_rollout(seen),
        last_handled_request=handled_request or before.last_handled_request,
    )


def report_unreadable(credential: UnreadableCredential, now: datetime) -> Status:
    """Build the status of a resource whose spec cannot be read; everything else in it stays."""
    invalid: dict[str, Any] = {"reason": Reason.INVALID_SPEC, "message": credential.problem}
    pending: dict[str, Any] = {"reason": Reason.PENDING, "message": _NOT_VERIFIED}
    conditions = [
        _condition(credential, now, ConditionType.READY, ConditionStatus.FALSE, **invalid),
        _condition(credential, now, ConditionType.AUTHORIZED, ConditionStatus.UNKNOWN, **pending),
        _condition(credential, now, ConditionType.STALLED, ConditionStatus.TRUE, **invalid),
    ]
    before = credential.status
    return replace(
        before, observed_generation=credential.generation, conditions=_with_previous_times(conditions, before)
    )


def announcement(before: Status, after: Status) -> Announcement | None:
    """Return the Event for news in the conditions: one per pass at most."""
    for wanted, favourable in (
        (ConditionType.STALLED, ConditionStatus.FALSE),
        (ConditionType.READY, ConditionStatus.TRUE),
        (ConditionType.AUTHORIZED, ConditionStatus.TRUE),
    ):
        old, new = before.condition(wanted), after.condition(wanted)
        if new is not None and _is_news(old, new, favourable):
            return Announcement(warning=new.status is not favourable, reason=new.reason, message=new.message)
    return None


def orphan_announcement(credential: Credential, orphan: TargetSecret) -> Announcement:
    """Return the Event for a deleted Secret: one under a former name, or a copy that kept the owner reference."""
    message = (
        f'Deleted Secret "{orphan.key.name}": its owner reference named this credential, but the credential publishes '
        f'only Secret "{credential.target_name}". If you copied that one, create the copy without '
        "metadata.ownerReferences"
    )
    return Announcement(warning=False, reason=EventReason.ORPHAN_DELETED, message=message)


def rollout_announcement(seen: Observation) -> Announcement | None:
    """Return the Event for workloads that could not be restarted, once: what Ready already says is not news."""
    before = seen.credential.status.condition(ConditionType.READY)
    known = before.message if before is not None else ""
    problems = [state.message for state in _unfinished_restarts(seen) if state.result is not Result.DEFERRED]
    news = [message for message in (*_not_enabled(seen), *problems, *_absences(seen)) if message not in known]
    return Announcement(warning=True, reason=EventReason.ROLLOUT_DENIED, message=". ".join(news)) if news else None


def is_ready(seen: Observation) -> bool:
    """Return whether the Secret matches this generation and holds an accepted, unexpired value with all scopes."""
    if seen.target is None or not belongs_to(seen.target, seen.credential):
        return False
    accepted = seen.memory.accepted
    if accepted is not None and seen.desired is not None:
        return seen.is_publishable and seen.is_as_desired and not seen.missing_scopes(accepted.token)
    before = seen.credential.status.condition(ConditionType.READY)
    return (
        before is not None
        and before.status is ConditionStatus.TRUE
        and before.observed_generation == seen.credential.generation
        and seen.target.is_untouched
        and _is_ahead(seen.credential.status.expires_at, seen.now)
    )


def has_expired(seen: Observation) -> bool:
    """Return whether the published value has expired although the status says that it is ready."""
    before, accepted = seen.credential.status, seen.memory.accepted
    ready = before.condition(ConditionType.READY)
    expires_at = accepted.token.expires_at if accepted is not None else before.expires_at
    return ready is not None and ready.status is ConditionStatus.TRUE and not _is_ahead(expires_at, seen.now)


def _conditions(seen: Observation, decision: Decision) -> list[Condition]:
    effect = EFFECTS[decision.reason]
    found = [_ready(seen, decision), _authorized(seen, decision)]
    if effect.stalled:
        found.append(_observed(seen, ConditionType.STALLED, ConditionStatus.TRUE, decision.reason, decision.message))
    return found


def _ready(seen: Observation, decision: Decision) -> Condition:
    if is_ready(seen) and not EFFECTS[decision.reason].not_ready:
        return _observed(seen, ConditionType.READY, ConditionStatus.TRUE, Reason.PUBLISHED, _published_message(seen))
    return _observed(seen, ConditionType.READY, ConditionStatus.FALSE, decision.reason, decision.message)


def _authorized(seen: Observation, decision: Decision) -> Condition:
    status = EFFECTS[decision.reason].authorized
    if status is not None:
        return _observed(seen, ConditionType.AUTHORIZED, status, decision.reason, decision.message)
    verification = seen.verification
    if verification is not None and verification.account is not None:
        message = f"Pipedrive accepts the token in Vault, for company {verification.account.company_domain}"
        return _observed(seen, ConditionType.AUTHORIZED, ConditionStatus.TRUE, Reason.ACCEPTED, message)
    return _observed(seen, ConditionType.AUTHORIZED, ConditionStatus.UNKNOWN, Reason.PENDING, _NOT_VERIFIED)


def _observed(
    seen: Observation, kind: ConditionType, status: ConditionStatus, reason: Reason, message: str
) -> Condition:
    return _condition(seen.credential, seen.now, kind, status, reason=reason, message=message)


def _condition(
    credential: Resource,
    now: datetime,
    kind: ConditionType,
    status: ConditionStatus,
    *,
    reason: Reason,
    message: str,
) -> Condition:
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=reportable(message),
        observed_generation=credential.generation,
        last_transition_time=now.replace(microsecond=0),
    )


def _with_previous_times(conditions: list[Condition], before: Status) -> tuple[Condition, ...]:
    return keep_transition_times(conditions, {condition.type: condition for condition in before.conditions})


def _published_message(seen: Observation) -> str:
    parts = [f"Secret {seen.credential.target_name} holds a value that Pipedrive accepts"]
    if seen.renewal is not None and seen.renewal.clamped_to is not None:
        parts.append(f"renewBefore exceeds half of the lifetime, so {format_duration(seen.renewal.clamped_to)} is used")
    accepted = seen.memory.accepted
    renamed = renaming(seen.credential.spec.account, accepted.account) if accepted is not None else None
    if renamed is not None:
        parts.append(renamed)
    parts.extend((*_not_enabled(seen), *(state.message for state in _unfinished_restarts(seen))))
    if seen.target is not None and seen.desired is not None and (foreign := foreign_keys(seen.target, seen.desired)):
        parts.append(f"Foreign keys are left unchanged: {', '.join(foreign)}")
    return ". ".join(parts)


def _rollout(seen: Observation) -> tuple[WorkloadStatus, ...] | None:
    """Record nothing while restarts are disabled, so that enabling them later restarts nothing by itself."""
    if seen.timings.restart_interval is None:
        return None
    return records(seen.credential, seen.published_revision, seen.memory.restart_states) or None


def _not_enabled(seen: Observation) -> tuple[str, ...]:
    return (NOT_ENABLED,) if seen.credential.spec.rollout is not None and seen.timings.restart_interval is None else ()


def _unfinished_restarts(seen: Observation) -> tuple[RestartState, ...]:
    """Return the states of the workloads that are still behind what is published."""
    states, published = seen.memory.restart_states, seen.published_revision
    return tuple(state for state in states if state.revision == published and not state.is_concluded)


def _absences(seen: Observation) -> tuple[str, ...]:
    """Return the messages about workloads that do not exist, until the status has recorded that."""
    recorded = recorded_revisions(seen.credential)
    return tuple(
        state.message
        for state in seen.memory.restart_states
        if state.result is Result.ABSENT and recorded.get(state.reference) != state.revision
    )


def _account(seen: Observation) -> Account | None:
    """Keep the domain that the guard names after the company was renamed: the difference marks the renaming."""
    before, accepted = seen.credential.status.account, seen.memory.accepted
    if accepted is None:
        return before
    if before is not None and renaming(seen.credential.spec.account, accepted.account) is not None:
        return replace(accepted.account, company_domain=before.company_domain)
    return accepted.account


def _is_ahead(moment: datetime | None, now: datetime) -> bool:
    return moment is None or now < moment


def _is_news(old: Condition | None, new: Condition, favourable: ConditionStatus) -> bool:
    """Return whether a change deserves an Event: neither a first success nor a status that is unknown for now does.

    A grant in escrow is news although no condition flips: Vault must store it before the cluster is lost.
    """
    if new.reason is Reason.GRANT_ESCROWED:
        return old is None or old.reason is not new.reason
    if old is None:
        return new.type is ConditionType.STALLED
    if not new.flipped_from(old) or new.status is ConditionStatus.UNKNOWN:
        return False
    return new.status is not favourable or old.reason is not Reason.PENDING
