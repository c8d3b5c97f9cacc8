"""Reads OpenBao's audit log: every request in the order of its arrival, with secret values hashed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class AuditedRequest:
    """One request to OpenBao.

    `operation` is create, read, update, patch, delete or list; `path` is without /v1/ (`secret/data/a/b`);
    `display_name` names the login that issued the token (`token-test`, `kubernetes-default-app`, or empty).
    """

    operation: str
    path: str
    display_name: str


def read_requests(log: Path) -> list[AuditedRequest]:
    """Return every request in the log, without a last line that is still being written."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class KvAnswer:
    """One response about a KV v2 document; OpenBao logs it just before sending it.

    `values` are digests under a key that only the server knows: equal digests mean equal values. Values of reads are
    not kept. A request without a logged response, because the server died or was sealed meanwhile, is left out.
    """

    at: float
    """The time of the response, in seconds since the epoch."""
    operation: str
    path: str
    display_name: str
    ok: bool
    values: dict[str, str]


def read_kv_answers(log: Path) -> Iterator[KvAnswer]:
    """Yield every response about a document below `secret/data/`, in order."""
    if not log.exists():
        return
    with log.open() as lines:
        for line in lines:
            if '"type":"response"' in line and '"path":"secret/data/' in line and line.endswith("\n"):
                yield _kv_answer(json.loads(line))


def _kv_answer(entry: dict[str, Any]) -> KvAnswer:
    request = entry["request"]
    return KvAnswer(
        at=datetime.fromisoformat(entry["time"]).timestamp(),
        operation=request["operation"],
        path=request["path"].removeprefix("secret/data/"),
        display_name=entry.get("auth", {}).get("display_name", "").removeprefix("token-"),
        ok="error" not in entry,
        values={key: str(value) for key, value in (request.get("data", {}).get("data") or {}).items()},
    )
