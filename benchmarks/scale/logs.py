"""Reads what the simulator, OpenBao and the operator's metrics recorded about a fleet."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.scale.evidence import Records, Refresh, Span
from testbed.operator_process import OperatorProcess
from testbed.pipedrive.faults import Endpoint
from testbed.pipedrive.ledger import Ledger, Outcome

_COUNTER: Final = re.compile(r'^pipedrive_operator_requests_total\{.*service="vault".*\} (\S+)$', re.MULTILINE)


def read(ledger: Ledger, names: Mapping[str, str], vault_log: Path, user: str) -> Records:
    """Return the records of the grants in `names` (by grant) and of a user of Vault."""
    return Records(
        refreshes=tuple(_accepted(ledger, names)),
        attempts=tuple((one.started_at, one.ended_at or one.started_at) for one in ledger.refreshes()),
        verifications=tuple(one.started_at for one in ledger.calls if one.subject.endpoint is Endpoint.USERS_ME),
        failed=tuple(one.started_at for one in ledger.calls if one.fault is not None),
        vault=tuple(vault_spans(vault_log, user)),
    )


def vault_spans(log: Path, user: str) -> Iterator[Span]:
    """Yield when OpenBao received and answered each request of a user, by its audit log."""
    open_requests: dict[str, float] = {}
    mark = f'"token-{user}"'
    with log.open() as lines:
        for line in lines:
            if mark in line and line.endswith("\n"):
                entry: dict[str, Any] = json.loads(line)
                at = datetime.fromisoformat(entry["time"]).timestamp()
                if entry["type"] == "request":
                    open_requests[entry["request"]["id"]] = at
                else:
                    yield open_requests.pop(entry["request"]["id"], at), at


def vault_requests(operator: OperatorProcess) -> int:
    """Return how many requests to Vault the operator has counted; a sealed Vault does not record them."""
    answer = operator.get("/metrics")
    return 0 if answer is None else sum(int(float(count)) for count in _COUNTER.findall(answer.text))


def _accepted(ledger: Ledger, names: Mapping[str, str]) -> Iterator[Refresh]:
    for call in ledger.refreshes():
        name = names.get(call.subject.grant_id or "")
        if call.outcome is Outcome.ACCEPTED and name is not None:
            ended = call.started_at if call.ended_at is None else call.ended_at
            yield Refresh(name=name, began=call.started_at, ended=ended)
