"""Reads kube-apiserver's audit log: who requested what. A watch is listed as soon as it is open."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ApiRequest:
    """One request. `verb` is that of Kubernetes (get, list, watch, create, patch, delete); `uri` includes the query."""

    verb: str
    resource: str
    namespace: str
    name: str
    uri: str
    status: int
    at: float = 0.0
    """The time of the response, in seconds since the epoch."""

    @property
    def writes(self) -> bool:
        """Return whether the request is a write."""
        return self.verb not in {"get", "list", "watch"}

    @property
    def kind(self) -> str:
        """Return the verb and the resource, by which requests are counted."""
        return f"{self.verb} {self.resource}"


def read_requests(log: Path, user: str) -> list[ApiRequest]:
    """Return a user's requests, without a last line that is still being written."""
    entries = (json.loads(line) for line in _whole_lines(log) if f'"{user}"' in line)
    return [_read(entry) for entry in entries if entry["user"]["username"] == user and _counts(entry)]


def _whole_lines(log: Path) -> Iterator[str]:
    """Yield the lines of all files of a log, oldest first: kube-apiserver starts a new file at 100 MB."""
    for path in sorted(log.parent.glob(f"{log.stem}-*{log.suffix}")) + [log] * log.exists():
        with path.open() as lines:
            yield from (line for line in lines if line.endswith("\n"))


def _counts(entry: dict[str, Any]) -> bool:
    """Return whether an entry counts as a request: a watch has a second entry when it ends, which does not."""
    stage = "ResponseStarted" if entry["verb"] == "watch" else "ResponseComplete"
    return "objectRef" in entry and entry["stage"] == stage


def _read(entry: dict[str, Any]) -> ApiRequest:
    reference = entry["objectRef"]
    parts = (reference["resource"], reference.get("subresource"))
    return ApiRequest(
        verb=entry["verb"],
        resource="/".join(part for part in parts if part),
        namespace=reference.get("namespace", ""),
        name=reference.get("name", ""),
        uri=entry["requestURI"],
        status=entry["responseStatus"]["code"],
        at=datetime.fromisoformat(entry["stageTimestamp"]).timestamp(),
    )
