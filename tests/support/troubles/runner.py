"""Runs all troubles at once: waits until all is well, causes them, watches the status, fixes them, and watches again.

It records what it observes, and tests check it. A wait that takes too long records the state at its end.
"""

import base64
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.troubles.real_parts import RealParts
from support.troubles.trouble import Trouble, TroubledCredential, write_documents

_WAIT_SECONDS = 120.0
"""A back-off that has grown while all was affected is waited for."""
_POLL_SECONDS = 0.5

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CredentialSnapshot:
    """One credential and its Secret, at one moment."""

    conditions: Mapping[str, Json]
    status: Json
    secret: Json | None

    def says(self, kind: str) -> str:
        """Return a condition's message, or "" if there is no such condition."""
        return str(self.conditions.get(kind, {}).get("message", ""))

    def is_true(self, kind: str) -> bool:
        """Return whether a condition is True."""
        return bool(self.conditions.get(kind, {}).get("status") == "True")

    def condition_with(self, reason: str) -> Json | None:
        """Return the condition with the reason."""
        return next((each for each in self.conditions.values() if each["reason"] == reason), None)

    @property
    def is_healthy(self) -> bool:
        """Whether the credential is ready, authorized and not stalled."""
        return self.is_true("Ready") and self.is_true("Authorized") and "Stalled" not in self.conditions

    @property
    def data(self) -> dict[str, str] | None:
        """The data of the Secret."""
        if self.secret is None:
            return None
        return {key: base64.b64decode(value).decode() for key, value in self.secret.get("data", {}).items()}

    @property
    def token(self) -> str | None:
        """The token in the Secret."""
        return next((value for key, value in (self.data or {}).items() if key in {"api_token", "access_token"}), None)


NOTHING = CredentialSnapshot(conditions={}, status={}, secret=None)


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One trouble, from before it is caused until it is fixed."""

    trouble: Trouble
    subject: TroubledCredential
    before: CredentialSnapshot
    affected: CredentialSnapshot
    fixed: CredentialSnapshot


@dataclass(kw_only=True)
class Record:
    """The outcomes by the troubles' names, and every state of them that was observed."""

    parts: RealParts
    outcomes: dict[str, Episode] = field(default_factory=dict)
    reasons: set[str] = field(default_factory=set)


def run_all(parts: RealParts, troubles: Iterable[Trouble]) -> Record:
    """Cause and fix all troubles."""
    subjects = {trouble.name: (trouble, write_documents(parts, trouble)) for trouble in troubles}
    for trouble, subject in subjects.values():
        if trouble.starts_ready:
            subject.apply()
    record = Record(parts=parts)
    healthy = {name for name, (trouble, _) in subjects.items() if trouble.starts_ready}
    before = _watch(record, healthy, lambda _, snapshot: snapshot.is_healthy)
    for trouble, subject in subjects.values():
        trouble.cause(subject)
        if not trouble.starts_ready:
            subject.apply()
    affected = _watch(record, set(subjects), lambda name, snapshot: _is_reported(subjects[name][0], snapshot))
    for trouble, subject in subjects.values():
        trouble.fix(subject)
    fixed = _watch(record, set(subjects), lambda _, snapshot: snapshot.is_healthy)
    for name, (trouble, subject) in subjects.items():
        record.outcomes[name] = Episode(
            trouble=trouble,
            subject=subject,
            before=before.get(name, NOTHING),
            affected=affected.get(name, NOTHING),
            fixed=fixed.get(name, NOTHING),
        )
    return record


def _is_reported(trouble: Trouble, snapshot: CredentialSnapshot) -> bool:
    return snapshot.condition_with(trouble.reason) is not None


def _watch(
    record: Record, names: set[str], is_enough: Callable[[str, CredentialSnapshot], bool]
) -> dict[str, CredentialSnapshot]:
    """Return each credential as it was when it first met the condition, or at the end of a long wait."""
    found: dict[str, CredentialSnapshot] = {}
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        snapshots = _look(record.parts)
        for name in names - found.keys():
            snapshot = snapshots.get(name, NOTHING)
            record.reasons |= {str(each["reason"]) for each in snapshot.conditions.values()}
            if is_enough(name, snapshot):
                found[name] = snapshot
        if found.keys() == names:
            return found
        if time.monotonic() > deadline:
            return {name: snapshots.get(name, NOTHING) for name in names} | found
        time.sleep(_POLL_SECONDS)


def _look(parts: RealParts) -> dict[str, CredentialSnapshot]:
    objects = parts.objects("pipedrivecredentials,secrets")
    secrets = {_key(item): item for item in objects if item["kind"] == "Secret"}
    snapshots = {}
    for item in objects:
        if item["kind"] == "PipedriveCredential":
            status = item.get("status", {})
            conditions = {each["type"]: each for each in status.get("conditions", ())}
            target = item["spec"].get("target", {}).get("name", item["metadata"]["name"])
            secret = secrets.get((item["metadata"]["namespace"], target))
            snapshots[item["metadata"]["name"]] = CredentialSnapshot(
                conditions=conditions, status=status, secret=secret
            )
    return snapshots


def _key(item: Json) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]
