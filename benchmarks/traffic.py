"""Counts the requests that reached the API server and Vault, by their own records and not by the operator's."""

import re
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from benchmarks.parts import Account, Parts
from benchmarks.workload import VAULT_PREFIX

WRITES: Final = ("POST", "PUT", "PATCH", "DELETE")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')
_REQUESTS: Final = "apiserver_request_total{"
_QUIET_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.5

Writes = Counter[str]
"""Requests by kind, such as `POST secrets`."""


def read_writes(metrics: str) -> Writes:
    """Return the writes in the API server's metrics, except renewals of its own leases."""
    found: Writes = Counter()
    for line in metrics.splitlines():
        if not line.startswith(_REQUESTS):
            continue
        labels = dict(_LABEL.findall(line))
        if labels["verb"] in WRITES and labels["resource"] != "leases":
            resource = "/".join(filter(None, (labels["resource"], labels["subresource"])))
            found[f"{labels['verb']} {resource}"] += int(float(line.rpartition(" ")[2]))
    return found


def writes(parts: Parts) -> Writes:
    """Return the writes to the API server so far."""
    return read_writes(parts.control_plane.kubectl("get", "--raw=/metrics"))


def settled_writes(parts: Parts) -> Writes:
    """Wait until no more writes arrive, and return all writes, including late ones."""
    return _settled(lambda: writes(parts))


def vault_requests(parts: Parts, account: Account) -> Counter[str]:
    """Return an account's requests to Vault so far: `read` for a credential's document, otherwise the path."""
    mine = (entry for entry in parts.openbao.requests() if entry.display_name == f"token-{account.namespace}")
    return Counter(
        "read" if entry.operation == "read" and entry.path.startswith(f"secret/data/{VAULT_PREFIX}") else entry.path
        for entry in mine
    )


def _settled(look: Callable[[], Writes]) -> Writes:
    seen, since = look(), time.monotonic()
    while time.monotonic() - since < _QUIET_SECONDS:
        time.sleep(_PAUSE_SECONDS)
        now = look()
        if now != seen:
            seen, since = now, time.monotonic()
    return seen
