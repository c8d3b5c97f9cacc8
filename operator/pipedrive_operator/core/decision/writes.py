"""What became of the writes of one thing, and when the next one is tried. Pure.

Writes are paced if they fail, if they find the Secret changed since it was read, or if they are undone at once. Each
of these can be a fight with another program, and without pauses it would keep two programs and the API server busy
forever.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from pipedrive_operator.core.decision.retry import Failure, RetryBounds, record_failure
from pipedrive_operator.core.publication.target import ANOTHER_RELEASE
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import RepairPostponed, SecretContended, SecretWriteDenied, Trouble

UNDONE_AT_ONCE: Final = timedelta(seconds=20)
"""A repair that is needed again within this time was undone by a program; a person who edits takes longer."""
REPAIRS_AT_ONCE: Final = 3
"""How many such repairs in a row are made without a pause."""
CONFLICTS_AT_ONCE: Final = 3
"""How many writes in a row may find the Secret changed before the operator pauses."""
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_FIELDS: Final = "--show-managed-fields lists who set which field"


class WriteKind(StrEnum):
    """What is written; each has a history of its own, named as a field of the memory."""

    PUBLICATION = "publication"
    """The target Secret."""
    REMOVAL = "removal"
    """The Secrets that the credential controls under other names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """What became of the writes of one thing."""

    subject: str = ""
    """Identifies what was written last."""
    at: datetime | None = None
    repairs: int = 0
    """How many times in a row the same subject was written again because the last write was undone at once."""
    failure: Failure | None = None

    def pending(self, subject: str, now: datetime) -> Failure | None:
        """Return the failure whose pause the next write of this subject waits for; None if it may be written."""
        return self.failure if self.failure is not None and self.failure.stands(subject, now) else None

    def has_turn(self, subject: str) -> bool:
        """Return whether the next write of this subject was postponed before: it is not postponed again."""
        failure = self.failure
        return failure is not None and failure.subject == subject and type(failure.trouble) is RepairPostponed

    def was_undone_since(self, moment: datetime) -> bool:
        """Return whether a write since then had to repeat one that was undone at once."""
        return self.repairs > 0 and self.at is not None and self.at >= moment


def after_failed_write(writes: Writes, trouble: Trouble, *, subject: str, bounds: RetryBounds) -> Writes:
    """Record that this subject could not be written."""
    return replace(writes, failure=record_failure(trouble, writes.failure, subject=subject, bounds=bounds))


def after_conflict(writes: Writes, trouble: SecretContended, *, subject: str, bounds: RetryBounds) -> Writes:
    """Record that a Secret had changed since it was read; only one that changes again and again is paused for."""
    before = writes.failure if _is_repeated(writes.failure, bounds.now) else None
    failure = record_failure(trouble, before, subject=subject, bounds=bounds)
    if failure.failures < CONFLICTS_AT_ONCE:
        failure = replace(failure, retry_at=bounds.now)
    return replace(writes, failure=failure)


def _is_repeated(failure: Failure | None, now: datetime) -> bool:
    if failure is None or not isinstance(failure.trouble, SecretContended):
        return False
    return now < failure.retry_at + UNDONE_AT_ONCE


def after_write(writes: Writes, describe: Callable[[int], str], *, subject: str, bounds: RetryBounds) -> Writes:
    """Record a successful write, and pause before the next one if writes of the same subject keep being undone.

    `describe` returns what is reported about that, for a number of repairs in a row.
    """
    is_same = writes.subject == subject
    failure = writes.failure if is_same else None
    since = failure.retry_at if failure is not None and writes.repairs >= REPAIRS_AT_ONCE else writes.at or _NEVER
    repairs = writes.repairs + 1 if is_same and bounds.now < since + UNDONE_AT_ONCE else 0
    written = Writes(subject=subject, at=bounds.now, repairs=repairs)
    if repairs < REPAIRS_AT_ONCE:
        return written
    trouble = SecretWriteDenied(describe(repairs))
    return replace(written, failure=record_failure(trouble, failure, subject=subject, bounds=bounds))


def undone_message(undone: str, repairs: int) -> str:
    """Say that repairs of the target Secret are undone; `undone` says what was repaired, and who changes it."""
    stop = f"Find that program (kubectl get secret {_FIELDS}) and stop it from changing the Secret"
    return (
        f"Another program undoes each repair of the Secret at once: {undone}. The operator repaired it {repairs} times "
        "in a row, and now waits before the next repair. "
        f"{_one_release() if ANOTHER_RELEASE in undone else f'{stop}, or set spec.target to what it enforces'}"
    )


def recreated_message(name: str, writers: Collection[str], repairs: int) -> str:
    """Say that Secrets with our owner reference are created again after each removal; `name` is the last one's."""
    return (
        f'Another program{_by(writers)} creates Secret "{name}" again at once, with the owner reference of this '
        f"credential. The operator removed such Secrets {repairs} times in a row, and now waits before the next "
        f"removal. Find that program (kubectl get secret {_FIELDS}), and stop it from creating the Secret or from "
        "copying metadata.ownerReferences"
    )


def contended(secret: Key, writers: Collection[str]) -> SecretContended:
    """Return the trouble with a Secret that others changed between its read and its write."""
    find = f"Find the program that changes it (kubectl get secret {secret.name} -n {secret.namespace} {_FIELDS})"
    return SecretContended(
        f"Secret {secret.name} changes faster than the operator can write it: each write found that another program"
        f"{_by(writers)} had changed it since it was read. The operator now waits before the next write. "
        f"{_one_release() if ANOTHER_RELEASE in writers else f'{find}, and stop it'}"
    )


def _by(writers: Collection[str]) -> str:
    return f" ({', '.join(writers)})" if writers else ""


def _one_release() -> str:
    return (
        "Let one release only watch this namespace: helm list --all-namespaces shows the releases, and the value "
        "watchNamespaces of each lists its namespaces"
    )
