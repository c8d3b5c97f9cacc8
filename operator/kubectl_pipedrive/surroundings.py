"""What belongs to a credential in its namespace: its Secret, the pods that use it, and its Events.

Values of the Secret never reach this process: kubectl prints the keys alone. What the person may not read is left out,
and said so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from kubectl_pipedrive.consumers import Use, uses
from kubectl_pipedrive.credential import Credential, Json, map_at, text_at, time_at
from kubectl_pipedrive.errors import KubectlFailed
from kubectl_pipedrive.kubectl import Kubectl
from pipedrive_operator.core.resource.names import KIND

T = TypeVar("T")
_KEYS: Final = r'--output=go-template={{range $key, $_ := .data}}{{$key}}{{"\n"}}{{end}}'


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that the person's permissions do not show."""

    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One Event of a credential."""

    at: datetime | None
    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What was found around a credential."""

    keys: Sequence[str] | Unreadable | None
    """The keys of the Secret; None if there is no Secret."""
    uses: Sequence[Use] | Unreadable
    events: Sequence[Event] | Unreadable
    """The oldest first."""


def look_around(kubectl: Kubectl, credential: Credential) -> Surroundings:
    """Read what belongs to a credential. Raises KubectlFailed, except for a lack of permissions."""
    here = kubectl.within(credential.namespace)
    return Surroundings(
        keys=_readable(lambda: _keys(here, credential.secret_name), "Secrets"),
        uses=_readable(lambda: uses(here.items("pods"), credential.secret_name), "pods"),
        events=_readable(lambda: _events(here, credential), "Events"),
    )


def _readable(read: Callable[[], T], what: str) -> T | Unreadable:
    try:
        return read()
    except KubectlFailed as failure:
        if failure.is_forbidden:
            return Unreadable(what)
        raise


def _keys(kubectl: Kubectl, secret: str) -> Sequence[str] | None:
    try:
        return kubectl.run("get", "secret", secret, _KEYS).split()
    except KubectlFailed as failure:
        if failure.is_not_found:
            return None
        raise


def _events(kubectl: Kubectl, credential: Credential) -> list[Event]:
    about = f"involvedObject.kind={KIND},involvedObject.name={credential.name}"
    bodies = kubectl.items("events", f"--field-selector={about}")
    found = [_event(one) for one in bodies if text_at(one, "involvedObject", "uid") == credential.uid]
    return sorted(found, key=lambda one: one.at.timestamp() if one.at is not None else 0.0)


def _event(body: Json) -> Event:
    paths = (("series", "lastObservedTime"), ("lastTimestamp",), ("eventTime",), ("metadata", "creationTimestamp"))
    moments = (time_at(map_at(body, *path[:-1]), path[-1]) for path in paths)
    return Event(
        at=next((moment for moment in moments if moment is not None), None),
        type=text_at(body, "type"),
        reason=text_at(body, "reason"),
        message=text_at(body, "message"),
    )
