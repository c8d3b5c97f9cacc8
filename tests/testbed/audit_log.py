"""Reads OpenBao's audit log: every request in the order of its arrival, with secret values hashed."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class AuditedRequest:
    """One request to OpenBao.

    `operation` is create, read, update, patch, delete or list; `path` is without /v1/ (`secret/data/a/b`);
    `display_name` says by which login the token came (`token-test`, `kubernetes-default-app`, or empty).
    """

    operation: str
    path: str
    display_name: str


def read_requests(log: Path) -> list[AuditedRequest]:
    """Return every request in the log; a line that is still being written is left for the next time."""
    whole_lines = log.read_text().rpartition("\n")[0].splitlines() if log.exists() else []
    entries = (json.loads(line) for line in whole_lines)
    return [
        AuditedRequest(
            operation=entry["request"]["operation"],
            path=entry["request"]["path"],
            display_name=entry.get("auth", {}).get("display_name", ""),
        )
        for entry in entries
        if entry["type"] == "request"
    ]
