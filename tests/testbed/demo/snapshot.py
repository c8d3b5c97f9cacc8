"""The state of the demo's namespace at one moment, parsed from the output of kubectl.

Token values do not leave this module: a digest stands for each.
"""

import hashlib
import json
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

_KEYS = ("access_token", "api_token")
_DIGEST_LENGTH = 8


@dataclass(frozen=True, kw_only=True)
class Credential:
    """A PipedriveCredential with its status and its last Event."""

    name: str
    ready: str
    reason: str
    message: str
    company: str
    expires_at: datetime | None
    last_event: tuple[str, datetime] | None
    """The most recent of its Events and refreshes."""


@dataclass(frozen=True, kw_only=True)
class Secret:
    """A published Secret; every write changes `version`."""

    version: str
    digest: str
    """The beginning of the SHA-256 of its token."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All credentials and Secrets of the namespace, by name."""

    at: datetime
    credentials: Mapping[str, Credential]
    secrets: Mapping[str, Secret]


def read_snapshot(document: str, *, at: datetime) -> Snapshot:
    """Read a List of credentials, Secrets and Events, as `kubectl get --output=json` prints it."""
    items: list[dict[str, Any]] = json.loads(document)["items"]
    events = [_event(item) for item in items if item["kind"] == "Event"]
    return Snapshot(
        at=at,
        credentials={
            item["metadata"]["name"]: _credential(item, events)
            for item in items
            if item["kind"] == "PipedriveCredential"
        },
        secrets={
            item["metadata"]["name"]: _secret(item)
            for item in items
            if item["kind"] == "Secret" and any(key in item.get("data", {}) for key in _KEYS)
        },
    )


def _credential(item: dict[str, Any], events: Iterable[tuple[str, str, datetime]]) -> Credential:
    name, status = item["metadata"]["name"], item.get("status", {})
    ready: dict[str, str] = next((one for one in status.get("conditions", ()) if one["type"] == "Ready"), {})
    happened = [(reason, at) for about, reason, at in events if about == name]
    if "lastRefreshTime" in status:
        happened.append(("refreshed", _time(status["lastRefreshTime"])))
    return Credential(
        name=name,
        ready=ready.get("status", ""),
        reason=ready.get("reason", ""),
        message=ready.get("message", ""),
        company=status.get("account", {}).get("companyDomain", ""),
        expires_at=_time(status["expiresAt"]) if "expiresAt" in status else None,
        last_event=max(happened, key=lambda one: one[1], default=None),
    )


def _event(item: dict[str, Any]) -> tuple[str, str, datetime]:
    at = item.get("lastTimestamp") or item.get("eventTime") or item["metadata"]["creationTimestamp"]
    return item["involvedObject"]["name"], item["reason"], _time(at)


def _secret(item: dict[str, Any]) -> Secret:
    value = next(item["data"][key] for key in _KEYS if key in item["data"])
    digest = hashlib.sha256(b64decode(value)).hexdigest()[:_DIGEST_LENGTH]
    return Secret(version=item["metadata"]["resourceVersion"], digest=digest)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
