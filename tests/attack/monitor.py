"""Measures from outside the operator what the honest namespaces notice of an attack.

It watches their Secrets, damages one after the other to see how soon it is repaired, and samples the operator's
memory. `verdict` draws the conclusions.
"""

import base64
import itertools
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

from attack import verdict
from attack.attack_environment import GRANT, OPERATORS, AttackEnvironment
from attack.kept_connection import KeptConnection
from attack.verdict import Outcome, Value

Json = dict[str, Any]
DAMAGED: Final = "damaged"
GIVE_UP: Final = 30.0
"""Seconds after which a Secret counts as not repaired."""
_SAMPLE_SECONDS: Final = 0.25
_LEASE: Final = f"/apis/coordination.k8s.io/v1/namespaces/{OPERATORS}/leases/pipedrive-operator"


@dataclass
class _Seen:
    """The Secrets of the honest namespaces."""

    values: dict[str, list[Value]] = field(default_factory=lambda: defaultdict(list))
    tokens: dict[str, str] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def see(self, at: float, event: str, secret: Json) -> None:
        """Record an event of the watch."""
        if secret["metadata"]["name"] != GRANT:
            return
        namespace = secret["metadata"]["namespace"]
        data = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        token = None if event == "DELETED" else data.get("access_token")
        with self.changed:
            if token is not None and token != DAMAGED:
                self._note(namespace, at, data)
            self.tokens[namespace] = token or DAMAGED
            self.changed.notify_all()

    def _note(self, namespace: str, at: float, data: dict[str, str]) -> None:
        expires_at = datetime.fromisoformat(data["expires_at"]).timestamp()
        known = self.values[namespace]
        if not known or known[-1].expires_at != expires_at:
            known.append(Value(seen_at=at, expires_at=expires_at))


class Monitor:
    """Watches during a `with` block."""

    def __init__(self, environment: AttackEnvironment, *, probe_seconds: float) -> None:
        """Watch the honest namespaces, and damage a Secret every so many seconds."""
        self._environment = environment
        self._probe_seconds = probe_seconds
        self._seen = _Seen()
        self._ended = threading.Event()
        self._repairs: list[float] = []
        self._damaged_at: float | None = None
        """Since when a Secret is damaged."""
        self._peak_mib = 0.0
        self._stack = ExitStack()
        self._client = environment.parts.cluster.client()

    def __enter__(self) -> Self:
        """Begin."""
        for namespace in self._environment.honest:
            path = f"/api/v1/namespaces/{namespace}/secrets"
            self._stack.enter_context(self._client.watch(path, self._seen.see))
        for work in (self._measure, self._damage):
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            self._stack.callback(thread.join)
        self._stack.callback(self._ended.set)
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._stack.close()

    def wait_until_published(self, *, timeout: float) -> None:
        """Wait until every honest namespace has its token. Raises TimeoutError."""
        with self._seen.changed:
            if not self._seen.changed.wait_for(self._is_published, timeout=timeout):
                message = f"{len(self._seen.values)} of {len(self._environment.honest)} namespaces have a token"
                raise TimeoutError(message)

    def tokens(self) -> dict[str, str]:
        """Return the tokens that are published now, by what they are."""
        with self._seen.changed:
            return {f"access token of {name}": token for name, token in self._seen.tokens.items() if token != DAMAGED}

    def lease(self) -> tuple[str, int]:
        """Return who holds the Lease, and how many times it changed hands."""
        spec = self._client.get(_LEASE)["spec"]
        return spec.get("holderIdentity", ""), spec.get("leaseTransitions", 0)

    def begin(self) -> "Window":
        """Start a period that is judged on its own."""
        self._peak_mib = 0.0
        return Window(began=time.time(), lease=self.lease(), first_repair=len(self._repairs))

    def end(self, window: "Window", attack: str) -> Outcome:
        """Return what was noticed since the start of a period."""
        ended = time.time()
        with self._seen.changed:
            values = [list(one) for one in self._seen.values.values()]
        times = {"began": window.began, "ended": ended}
        return Outcome(
            attack=attack,
            seconds=ended - window.began,
            renewals=sum(verdict.renewals(one, **times) for one in values),
            expired_seconds=sum(verdict.expired_seconds(one, **times) for one in values),
            repairs=[*self._repairs[window.first_repair :], *self._overdue(ended)],
            peak_mib=self._peak_mib,
            kept_lease=self.lease() == window.lease and not self._environment.operator.has_ended(),
        )

    def _overdue(self, now: float) -> list[float]:
        """Return for how long a repair takes that is not complete, if that is too long already."""
        damaged_at = self._damaged_at
        is_overdue = damaged_at is not None and now - damaged_at > verdict.LONGEST_REPAIR
        return [now - damaged_at] if damaged_at is not None and is_overdue else []

    def _is_published(self) -> bool:
        return len(self._seen.values) == len(self._environment.honest)

    def _measure(self) -> None:
        status = Path(f"/proc/{self._environment.operator.pid}/status")
        while not self._ended.wait(_SAMPLE_SECONDS):
            resident = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
            self._peak_mib = max(self._peak_mib, int(resident.split()[1]) / 1024)

    def _damage(self) -> None:
        """Edit or delete one Secret after the other, and measure how soon it is repaired."""
        with self._environment.connect() as connection:
            for number, namespace in enumerate(itertools.cycle(self._environment.honest)):
                if self._ended.wait(self._probe_seconds):
                    return
                self._damage_one(connection, namespace, delete=bool(number % 2))

    def _damage_one(self, connection: KeptConnection, namespace: str, *, delete: bool) -> None:
        damage = {"data": {"access_token": base64.b64encode(DAMAGED.encode()).decode()}}
        path = f"/api/v1/namespaces/{namespace}/secrets/{GRANT}"
        with self._seen.changed:
            if self._seen.tokens.get(namespace, DAMAGED) == DAMAGED:
                return
            self._seen.tokens[namespace] = DAMAGED
        began = self._damaged_at = time.time()
        status = connection.send("DELETE", path) if delete else connection.send("PATCH", path, damage)
        if status == HTTPStatus.OK:
            self._await_repair(namespace, began)
        self._damaged_at = None

    def _await_repair(self, namespace: str, began: float) -> None:
        with self._seen.changed:
            is_right = self._seen.changed.wait_for(
                lambda: self._seen.tokens[namespace] != DAMAGED or self._ended.is_set(), timeout=GIVE_UP
            )
        if is_right and self._seen.tokens[namespace] != DAMAGED:
            self._repairs.append(time.time() - began)
        elif not is_right:
            self._repairs.append(GIVE_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The start of a period that is judged on its own."""

    began: float
    lease: tuple[str, int]
    first_repair: int
