"""Writes the Secret of a credential, and removes those under former names.

A write that fails, or that another program undoes, is recorded with a pause before the next one, and never ends the
pass: what else is due, above all a refresh, does not wait for it.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final

from pipedrive_operator.core.decision.observation import Observation
from pipedrive_operator.core.decision.report import orphan_announcement
from pipedrive_operator.core.decision.writes import (
    WriteKind,
    Writes,
    contended,
    recreated_message,
    undone_message,
)
from pipedrive_operator.core.publication.rollout import first_records
from pipedrive_operator.core.publication.secret import (
    DesiredSecret,
    differences,
    differs,
    manifest,
    patch,
    release,
    undone,
)
from pipedrive_operator.core.publication.target import MOST_NAMED, TargetSecret, writers_between
from pipedrive_operator.core.resource.credential import write_status
from pipedrive_operator.core.resource.names import ANNOTATION_REVISION, Key
from pipedrive_operator.core.resource.spec import DeletionPolicy
from pipedrive_operator.core.resource.status import Status
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    NamespaceBeingDeleted,
    RepairPostponed,
    ReportDenied,
    SecretChanged,
    SecretExists,
    SecretWriteDenied,
)
from pipedrive_operator.fairness.budget import Budget
from pipedrive_operator.reconcile.memories import Memories
from pipedrive_operator.reconcile.observer import Ports

REPAIRS_PER_SECOND: Final = 10
REPAIR_BURST: Final = 200
"""How many Secrets of a namespace are repaired: a tenant that edits its own must not keep the API server busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """What is written, and how its history is kept."""

    kind: WriteKind
    history: Writes
    subject: str
    credential: Key
    secret: Key
    """The Secret that messages name."""
    seen: tuple[TargetSecret, ...]
    """The Secrets as they were read."""


class Publisher:
    """Writes Secrets."""

    def __init__(self, *, ports: Ports, memories: Memories, can_read_foreign: Callable[[str], bool]) -> None:
        """Take the ports, and the memories in which the results are recorded.

        `can_read_foreign` returns whether a Secret without our label may be read in a namespace now.
        """
        self._ports = ports
        self._memories = memories
        self._can_read_foreign = can_read_foreign
        self._repairs = Budget(per_second=REPAIRS_PER_SECOND, burst=REPAIR_BURST)

    async def publish(self, desired: DesiredSecret, seen: Observation) -> None:
        """Write the Secret if it differs; if it is as desired then, remove those under former names."""
        task = _Task(
            kind=WriteKind.PUBLICATION,
            history=seen.memory.publication,
            subject=desired.digest,
            credential=seen.credential.key,
            secret=desired.key,
            seen=() if seen.target is None else (seen.target,),
        )
        is_written = not differs(seen.target, desired) or await self._attempt(self._repair(desired, seen, task), task)
        if is_written and seen.orphans_due:
            await self._remove(seen)

    async def _remove(self, seen: Observation) -> None:
        task = _Task(
            kind=WriteKind.REMOVAL,
            history=seen.memory.removal,
            subject=seen.removal_subject,
            credential=seen.credential.key,
            secret=seen.orphans[-1].key,
            seen=seen.orphans,
        )
        await self._attempt(self._remove_orphans(seen, task), task)

    async def _attempt(self, work: Awaitable[bool], task: _Task) -> bool:
        """Return whether what should be written is written now, and record why if it could not be."""
        note_failure = partial(self._memories.note_failed_write, task.credential, task.kind, subject=task.subject)
        try:
            return await work
        except SecretChanged:
            await self._note_conflict(task)
        except NamespaceBeingDeleted:
            self._memories.note_terminating_namespace(task.credential)
        except SecretWriteDenied as trouble:
            note_failure(trouble=trouble)
        except ApiServerUnavailable as error:
            message = f"Secret {task.secret.name} could not be written: {error}. It is tried again"
            note_failure(trouble=SecretWriteDenied(message))
        return False

    async def _repair(self, desired: DesiredSecret, seen: Observation, task: _Task) -> bool:
        self._pace(task, "was changed or deleted")
        await self._record_revision_before(desired, seen)
        try:
            await self._write(desired, seen.target)
        except SecretExists:
            await self._look_at_foreign(desired, task.credential)
            return False
        describe = partial(undone_message, undone(seen.target, desired))
        self._memories.note_write(task.credential, task.kind, describe, subject=task.subject)
        return True

    async def _look_at_foreign(self, desired: DesiredSecret, key: Key) -> None:
        """Read the Secret whose name is taken.

        Raises:
            SecretChanged: it is gone already.
            SecretWriteDenied: the namespace has used up its budget for that, so that it is tried again later.
        """
        if not self._can_read_foreign(key.namespace):
            message = (
                f"Secret {desired.key.name} already exists, like those of many other credentials of this namespace. "
                "The operator looks at them one after another"
            )
            raise SecretWriteDenied(message) from None
        found = await self._ports.secrets.read(desired.key)
        self._memories.note_foreign_secret(key, found)
        if found is None:
            raise SecretChanged(str(desired.key)) from None

    def _pace(self, task: _Task, happened: str) -> None:
        """Postpone a repair if the namespace has used up its budget; once postponed, a repair has its turn.

        Raises:
            RepairPostponed: the repair waits for its turn.
        """
        if task.history.subject != task.subject or task.history.has_turn(task.subject):
            return
        wait = self._repairs.reserve(task.credential.namespace, self._ports.clock.monotonic())
        if wait > 0:
            message = (
                f"Secret {task.secret.name} {happened}, like many others of this namespace in a short time. The "
                "operator repairs them one after another. Find the program that changes them, and stop it"
            )
            raise RepairPostponed(message, retry_after=timedelta(seconds=wait))

    async def _write(self, desired: DesiredSecret, target: TargetSecret | None) -> None:
        """Create or patch the Secret, and check that the API server stored what was sent.

        Raises:
            SecretWriteDenied: mutating admission changed what was written, and would change it again at once.
        """
        if target is None:
            written = await self._ports.secrets.create(manifest(desired))
        else:
            written = await self._ports.secrets.patch(desired.key, patch(target, desired))
        self._ports.cache.keep_secret(written)
        if differs(written, desired):
            message = (
                f"The API server did not store Secret {desired.key.name} as the operator wrote it, so an admission "
                f"policy or webhook of the cluster changes it: {'; '.join(differences(written, desired))}. Exempt the "
                "Secret from that policy or webhook, or set spec.target to what it enforces"
            )
            raise SecretWriteDenied(message)

    async def _record_revision_before(self, desired: DesiredSecret, seen: Observation) -> None:
        """Record the revision that is about to be overwritten, if an earlier process died before recording it."""
        if seen.timings.restarts is None:
            return
        current = seen.target.annotations.get(ANNOTATION_REVISION) if seen.target is not None else None
        records = first_records(seen.credential, current, desired.revision)
        if records is not None:
            status = write_status(Status(rollout=records))
            with suppress(ReportDenied):  # a policy against statuses must not keep the Secret from being published
                written = await self._ports.credentials.patch_status(
                    seen.credential.key, {"rollout": status["rollout"]}
                )
                if written is not None:
                    self._ports.cache.keep_credential(written)

    async def _note_conflict(self, task: _Task) -> None:
        """Read again what someone else changed in the meantime, and record the conflict."""
        writers: list[str] = []
        with suppress(ApiServerUnavailable):  # the watch will deliver it too, but later
            for stale in task.seen:
                writers += await self._read_again(stale)
        named = sorted(set(writers))[:MOST_NAMED]
        self._memories.note_conflict(task.credential, task.kind, contended(task.secret, named), subject=task.subject)

    async def _read_again(self, stale: TargetSecret) -> list[str]:
        """Return who has changed a Secret since it was read, as far as that is known."""
        found = await self._ports.secrets.read(stale.key)
        if found is None:
            self._forget(stale)
            return []
        self._ports.cache.keep_secret(found)
        return writers_between(stale, found)

    def _forget(self, gone: TargetSecret) -> None:
        self._ports.cache.forget_secret(gone.key, int(gone.resource_version))

    async def _remove_orphans(self, seen: Observation, task: _Task) -> bool:
        """Delete the Secrets under former names once the new one exists; with `Retain`, release them instead."""
        self._pace(task, "was created again")
        target = seen.credential.spec.target
        is_retained = target is not None and target.deletion_policy is DeletionPolicy.RETAIN
        for orphan in seen.orphans:
            if is_retained:
                released = await self._ports.secrets.patch(orphan.key, release(orphan, seen.credential))
                self._ports.cache.keep_secret(released)
            else:
                await self._delete(orphan, seen)
        writers = sorted(set(seen.orphans[-1].managers.values()))[:MOST_NAMED]
        describe = partial(recreated_message, task.secret.name, writers)
        self._memories.note_write(task.credential, task.kind, describe, subject=task.subject)
        return True

    async def _delete(self, orphan: TargetSecret, seen: Observation) -> None:
        await self._ports.secrets.delete(orphan)
        self._forget(orphan)
        with suppress(ApiServerUnavailable):  # the deletion has succeeded, whether or not it can be announced
            await self._ports.credentials.record_event(seen.credential, orphan_announcement(seen.credential, orphan))
