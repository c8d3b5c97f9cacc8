"""Runs all troubles at once: waits until all is well, causes them, watches the status, fixes them, and watches again.

It records what it observes, and tests check it. A wait that takes too long records the state at its end.
"""

import base64
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.troubles.real_parts import Stage
from support.troubles.trouble import Actor, Trouble, enter

_WAIT_SECONDS = 120.0
"""A back-off that has grown while all was struck is waited for."""
_POLL_SECONDS = 0.5

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Sight:
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
    def is_fine(self) -> bool:
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


NOTHING = Sight(conditions={}, status={}, secret=None)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One trouble, from before it is caused until it is fixed."""

    trouble: Trouble
    actor: Actor
    before: Sight
    struck: Sight
    mended: Sight


@dataclass(kw_only=True)
class Play:
    """The scenes by the troubles' names, and every state of them that was observed."""

    stage: Stage
    scenes: dict[str, Scene] = field(default_factory=dict)
    reasons: set[str] = field(default_factory=set)


def play(stage: Stage, troubles: Iterable[Trouble]) -> Play:
    """Cause and fix all troubles."""
    actors = {trouble.name: (trouble, enter(stage, trouble)) for trouble in troubles}
    for trouble, actor in actors.values():
        if trouble.was_fine:
            actor.apply()
    played = Play(stage=stage)
    fine = {name for name, (trouble, _) in actors.items() if trouble.was_fine}
    before = _watch(played, fine, lambda _, sight: sight.is_fine)
    for trouble, actor in actors.values():
        trouble.strike(actor)
        if not trouble.was_fine:
            actor.apply()
    struck = _watch(played, set(actors), lambda name, sight: _is_told(actors[name][0], sight))
    for trouble, actor in actors.values():
        trouble.mend(actor)
    mended = _watch(played, set(actors), lambda _, sight: sight.is_fine)
    for name, (trouble, actor) in actors.items():
        played.scenes[name] = Scene(
            trouble=trouble,
            actor=actor,
            before=before.get(name, NOTHING),
            struck=struck.get(name, NOTHING),
            mended=mended.get(name, NOTHING),
        )
    return played


def _is_told(trouble: Trouble, sight: Sight) -> bool:
    return sight.condition_with(trouble.reason) is not None


def _watch(played: Play, names: set[str], is_enough: Callable[[str, Sight], bool]) -> dict[str, Sight]:
    """Return each credential as it was when it first met the condition, or at the end of a long wait."""
    found: dict[str, Sight] = {}
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        sights = _look(played.stage)
        for name in names - found.keys():
            sight = sights.get(name, NOTHING)
            played.reasons |= {str(each["reason"]) for each in sight.conditions.values()}
            if is_enough(name, sight):
                found[name] = sight
        if found.keys() == names:
            return found
        if time.monotonic() > deadline:
            return {name: sights.get(name, NOTHING) for name in names} | found
        time.sleep(_POLL_SECONDS)


def _look(stage: Stage) -> dict[str, Sight]:
    objects = stage.objects("pipedrivecredentials,secrets")
    secrets = {_key(item): item for item in objects if item["kind"] == "Secret"}
    sights = {}
    for item in objects:
        if item["kind"] == "PipedriveCredential":
            status = item.get("status", {})
            conditions = {each["type"]: each for each in status.get("conditions", ())}
            target = item["spec"].get("target", {}).get("name", item["metadata"]["name"])
            secret = secrets.get((item["metadata"]["namespace"], target))
            sights[item["metadata"]["name"]] = Sight(conditions=conditions, status=status, secret=secret)
    return sights


def _key(item: Json) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]
