"""Restart on change: which workloads are behind what is published, and whether each may be restarted now. Pure.

A workload is behind when the revision that the status records for it is not the published one. A workload without a
recorded revision is not behind: it is recorded as it is found, so neither a first publication nor a new entry in
`spec.rollout.targets` restarts anything. The record moves on only after the restart, and the annotation on the
workload's own pod template proves the restart. A crash in between therefore leads to another read of the workload, and
neither to a lost restart nor to a second one.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.names import GROUP
from pipedrive_operator.core.resource.workload import Rollout, WorkloadReference, WorkloadStatus
from pipedrive_operator.core.values.times import format_duration, format_time, parse_time

ANNOTATION_ALLOW_ROLLOUT: Final = f"{GROUP}/allow-rollout"
"""On a workload: the names of the credentials that may restart it, separated by commas.

The workload's owner must set it. Otherwise, anyone who can create a credential could restart every workload of the
namespace.
"""
ANNOTATION_RESTARTED_AT: Final = f"{GROUP}/restarted-at"
"""On a workload's pod template: when the operator last restarted it, for any credential."""
ANNOTATION_ROLLED_OUT: Final = f"rollout.{GROUP}/"
"""On a workload's pod template, followed by the credential's name: the revision it was last restarted for."""
NOT_ENABLED: Final = (
    "spec.rollout has no effect: the operator's setting rollout.enabled is off. Ask for it to be switched on, or "
    "remove spec.rollout"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A workload as it was read."""

    reference: WorkloadReference
    namespace: str
    resource_version: str
    annotations: Mapping[str, str]
    template_annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPacing:
    """How often a workload is restarted and read."""

    interval: timedelta
    """The shortest time between two restarts."""
    retry: timedelta
    """How long to wait before a workload that could not be restarted is read again."""


class Result(StrEnum):
    """The result of handling a workload."""

    RESTARTED = "restarted"
    CURRENT = "current"
    ABSENT = "absent"
    DEFERRED = "deferred"
    DENIED = "denied"
    FAILED = "failed"


_CONCLUDED: Final = frozenset({Result.RESTARTED, Result.CURRENT, Result.ABSENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartState:
    """What was done about a workload for one revision, and when to read the workload again."""

    reference: WorkloadReference
    revision: str
    result: Result
    message: str = ""
    retry_at: datetime | None = None

    @property
    def is_concluded(self) -> bool:
        """Whether nothing is left to do for this revision."""
        return self.result in _CONCLUDED


def is_behind(noted: str, published: str, rollout: Rollout) -> bool:
    """Return whether a workload has not seen a change that it must be restarted for."""
    if rollout.on_refresh:
        return noted != published
    return _lasting(noted) != _lasting(published)


def due(
    credential: Credential, published: str, restart_states: Iterable[RestartState], now: datetime
) -> tuple[WorkloadReference, ...]:
    """Return the workloads to handle now: those behind, unless they were handled for this revision recently."""
    rollout = credential.spec.rollout
    if rollout is None:
        return ()
    recorded = recorded_revisions(credential)
    settled = {
        state.reference
        for state in restart_states
        if state.revision == published and (state.is_concluded or (state.retry_at is not None and now < state.retry_at))
    }
    return tuple(
        target
        for target in rollout.targets
        if target not in settled and target in recorded and is_behind(recorded[target], published, rollout)
    )


def judge(
    workload: Workload, credential: Credential, published: str, *, now: datetime, pacing: RestartPacing
) -> RestartState:
    """Decide what to do about a workload that is behind; `RESTARTED` asks the caller to restart it."""
    rollout = credential.spec.rollout
    name, reference = credential.key.name, workload.reference
    has = workload.template_annotations.get(f"{ANNOTATION_ROLLED_OUT}{name}")
    if rollout is None or (has is not None and not is_behind(has, published, rollout)):
        return RestartState(reference=reference, revision=published, result=Result.CURRENT)
    if name not in _allowed(workload):
        why = (
            f"its owner has not allowed it. Add the annotation {ANNOTATION_ALLOW_ROLLOUT}: {name} to its metadata, or "
            "remove the workload from spec.rollout.targets"
        )
        return not_restarted(reference, published, Result.DENIED, why, retry_at=now + pacing.retry)
    restarted_at = parse_time(workload.template_annotations.get(ANNOTATION_RESTARTED_AT, ""))
    if restarted_at is not None and abs(now - restarted_at) < pacing.interval:
        why = (
            f"it was last restarted at {format_time(restarted_at)}, and the next restart comes "
            f"{format_duration(pacing.interval)} after that"
        )
        return not_restarted(reference, published, Result.DEFERRED, why, retry_at=restarted_at + pacing.interval)
    return RestartState(reference=reference, revision=published, result=Result.RESTARTED)


def not_restarted(
    reference: WorkloadReference, published: str, result: Result, why: str, *, retry_at: datetime | None = None
) -> RestartState:
    """Return the state of a workload that was not restarted, with a message that says why."""
    message = f"{reference} was not restarted: {why}"
    return RestartState(reference=reference, revision=published, result=result, message=message, retry_at=retry_at)


def absent(reference: WorkloadReference, published: str) -> RestartState:
    """Return the state of a workload that does not exist; once created, it starts with what is published then."""
    why = "it does not exist. Correct its name in spec.rollout.targets, or remove it there"
    return not_restarted(reference, published, Result.ABSENT, why)


def restart_patch(workload: Workload, credential: Credential, published: str, now: datetime) -> dict[str, Any]:
    """Build the merge patch (RFC 7386) that restarts a workload by changing the pod template that was read."""
    annotations = {
        f"{ANNOTATION_ROLLED_OUT}{credential.key.name}": published,
        ANNOTATION_RESTARTED_AT: format_time(now),
    }
    return {
        "metadata": {"resourceVersion": workload.resource_version},
        "spec": {"template": {"metadata": {"annotations": annotations}}},
    }


def recorded_revisions(credential: Credential) -> dict[WorkloadReference, str]:
    """Return the revision that the status records for each workload."""
    return {WorkloadReference(kind=one.kind, name=one.name): one.revision for one in credential.status.rollout or ()}


def records(
    credential: Credential, published: str | None, restart_states: Collection[RestartState]
) -> tuple[WorkloadStatus, ...]:
    """Return what the status must record. `published` is the revision in the Secret, None if it is not as desired."""
    rollout = credential.spec.rollout
    before = recorded_revisions(credential)
    concluded = {one.reference for one in restart_states if one.revision == published and one.is_concluded}
    revisions: dict[WorkloadReference, str] = {}
    for target in rollout.targets if rollout is not None else ():
        has = before.get(target)
        moves_on = (
            rollout is not None
            and published is not None
            and (has is None or target in concluded or not is_behind(has, published, rollout))
        )
        revision = published if moves_on else has
        if revision is not None:
            revisions[target] = revision
    return tuple(WorkloadStatus(kind=one.kind, name=one.name, revision=revision) for one, revision in revisions.items())


def first_records(
    credential: Credential, current: str | None, published: str | None
) -> tuple[WorkloadStatus, ...] | None:
    """Return what the status must record before the revision in the Secret is overwritten by another.

    A process may have died after the first publication and before it wrote the status; what it published is what the
    workloads have read. None if there is nothing to add.
    """
    rollout = credential.spec.rollout
    recorded = recorded_revisions(credential)
    if rollout is None or current is None or current == published or set(rollout.targets) <= set(recorded):
        return None
    return records(credential, current, ())


def _lasting(revision: str) -> str:
    return revision.partition("-")[0]


def _allowed(workload: Workload) -> set[str]:
    return {name.strip() for name in workload.annotations.get(ANNOTATION_ALLOW_ROLLOUT, "").split(",")}
