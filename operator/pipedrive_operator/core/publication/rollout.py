"""Restart on change: which workloads are behind what is published, and whether each may be restarted now. Pure.

A workload is behind when the revision that the status notes for it is not the published one. Without a note it is not:
it is noted as it is found, so neither a first publication nor a new target restarts anything. The note moves on only
once the workload was restarted for the revision, and the workload's own pod template says that it was; so a crash
before the note leads to another look, and neither to a lost restart nor to a second one.
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
"""On a workload: the names of the credentials that may restart it, with commas between them.

Its owner has to give it: else whoever may create a credential could restart every workload of the namespace.
"""
ANNOTATION_RESTARTED_AT: Final = f"{GROUP}/restarted-at"
"""On a workload's pod template: when we last restarted it, for whichever credential."""
ANNOTATION_ROLLED_OUT: Final = f"rollout.{GROUP}/"
"""On a workload's pod template, with the credential's name: the revision that it was last restarted for."""
NOT_ENABLED: Final = (
    "spec.rollout is not carried out: the operator's setting rollout.enabled is off. Have it switched on, or remove "
    "spec.rollout"
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
    """How often things happen to a workload."""

    interval: timedelta
    """The least time between two restarts."""
    retry: timedelta
    """When to look again at what could not be restarted."""


class Result(StrEnum):
    """What came of a look at a workload."""

    RESTARTED = "restarted"
    CURRENT = "current"
    ABSENT = "absent"
    DEFERRED = "deferred"
    DENIED = "denied"
    FAILED = "failed"


_CONCLUDED: Final = frozenset({Result.RESTARTED, Result.CURRENT, Result.ABSENT})


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartState:
    """How a workload stands to a revision, and when it is worth another look."""

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
    """Tell whether a workload lacks a change that it is to be restarted for."""
    if rollout.on_refresh:
        return noted != published
    return _lasting(noted) != _lasting(published)


def due(
    credential: Credential, published: str, restart_states: Iterable[RestartState], now: datetime
) -> tuple[WorkloadReference, ...]:
    """Return the workloads to look at now: those behind, unless they were looked at for this revision just now."""
    rollout = credential.spec.rollout if credential.spec is not None else None
    if rollout is None:
        return ()
    notes = noted(credential)
    settled = {
        standing.reference
        for standing in restart_states
        if standing.revision == published
        and (standing.is_concluded or (standing.retry_at is not None and now < standing.retry_at))
    }
    return tuple(
        target
        for target in rollout.targets
        if target not in settled and target in notes and is_behind(notes[target], published, rollout)
    )


def judge(
    workload: Workload, credential: Credential, published: str, *, now: datetime, pace: RestartPacing
) -> RestartState:
    """Say what is to be done about a workload that is behind; `RESTARTED` is what it shall be."""
    rollout = credential.spec.rollout if credential.spec is not None else None
    name, reference = credential.key.name, workload.reference
    has = workload.template_annotations.get(f"{ANNOTATION_ROLLED_OUT}{name}")
    if rollout is None or (has is not None and not is_behind(has, published, rollout)):
        return RestartState(reference=reference, revision=published, result=Result.CURRENT)
    if name not in _allowed(workload):
        why = (
            f"its owner has not allowed it. Add the annotation {ANNOTATION_ALLOW_ROLLOUT}: {name} to its metadata, or "
            "take it from spec.rollout.targets"
        )
        return not_restarted(reference, published, Result.DENIED, why, retry_at=now + pace.retry)
    restarted_at = parse_time(workload.template_annotations.get(ANNOTATION_RESTARTED_AT, ""))
    if restarted_at is not None and abs(now - restarted_at) < pace.interval:
        why = f"it was at {format_time(restarted_at)}, and is again {format_duration(pace.interval)} after that"
        return not_restarted(reference, published, Result.DEFERRED, why, retry_at=restarted_at + pace.interval)
    return RestartState(reference=reference, revision=published, result=Result.RESTARTED)


def not_restarted(
    reference: WorkloadReference, published: str, result: Result, why: str, *, retry_at: datetime | None = None
) -> RestartState:
    """Say why a workload was not restarted."""
    message = f"{reference} was not restarted: {why}"
    return RestartState(reference=reference, revision=published, result=result, message=message, retry_at=retry_at)


def absent(reference: WorkloadReference, published: str) -> RestartState:
    """Note that there is no such workload; when it is made, it begins with what is published then."""
    why = "there is none. Correct its name in spec.rollout.targets, or leave it out"
    return not_restarted(reference, published, Result.ABSENT, why)


def restart_patch(workload: Workload, credential: Credential, published: str, now: datetime) -> dict[str, Any]:
    """Build the merge patch (RFC 7386) that restarts a workload as it was read, by changing its pod template."""
    annotations = {
        f"{ANNOTATION_ROLLED_OUT}{credential.key.name}": published,
        ANNOTATION_RESTARTED_AT: format_time(now),
    }
    return {
        "metadata": {"resourceVersion": workload.resource_version},
        "spec": {"template": {"metadata": {"annotations": annotations}}},
    }


def noted(credential: Credential) -> dict[WorkloadReference, str]:
    """Return the revision that the status notes for each workload."""
    return {WorkloadReference(kind=one.kind, name=one.name): one.revision for one in credential.status.rollout or ()}


def notes(
    credential: Credential, published: str | None, restart_states: Collection[RestartState]
) -> tuple[WorkloadStatus, ...]:
    """Return what the status is to note, where the Secret holds that revision, or (None) something else."""
    rollout = credential.spec.rollout if credential.spec is not None else None
    before = noted(credential)
    concluded = {one.reference for one in restart_states if one.revision == published and one.is_concluded}
    noting: dict[WorkloadReference, str] = {}
    for target in rollout.targets if rollout is not None else ():
        has = before.get(target)
        moves_on = (
            rollout is not None
            and published is not None
            and (has is None or target in concluded or not is_behind(has, published, rollout))
        )
        revision = published if moves_on else has
        if revision is not None:
            noting[target] = revision
    return tuple(WorkloadStatus(kind=one.kind, name=one.name, revision=revision) for one, revision in noting.items())


def first_notes(credential: Credential, held: str | None, published: str | None) -> tuple[WorkloadStatus, ...] | None:
    """Return what the status has to note before a Secret that holds one revision is overwritten by another.

    A process may have died after the first publication, before its status: what it published then is what
    workloads have read. None where there is nothing to add.
    """
    rollout = credential.spec.rollout if credential.spec is not None else None
    if rollout is None or held is None or held == published or set(rollout.targets) <= set(noted(credential)):
        return None
    return notes(credential, held, ())


def _lasting(revision: str) -> str:
    return revision.partition("-")[0]


def _allowed(workload: Workload) -> set[str]:
    return {name.strip() for name in workload.annotations.get(ANNOTATION_ALLOW_ROLLOUT, "").split(",")}
