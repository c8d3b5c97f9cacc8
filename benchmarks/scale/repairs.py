"""Edits Secrets that a pair of replicas publishes, and watches until each is repaired; and ends their leader."""

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.command import Say
from benchmarks.parts import Account, Parts
from benchmarks.scale import bulk
from benchmarks.scale.growth import NAME
from benchmarks.scale.plan import EDITS, LEASE
from benchmarks.scale.report import Edits, Failover, Takeover
from benchmarks.scale.waiting import wait_for, wait_for_leader
from benchmarks.workload import TOKEN_KEY, api_token
from testbed.operator_process import OperatorProcess

_WRONG: Final = base64.b64encode(b"edited by hand").decode()
_REPAIR_SECONDS: Final = 300.0
_READY_SECONDS: Final = 300.0


@dataclass
class _Repairs:
    """When a watch last saw each Secret with a wrong value, and with the right one after it; monotonic times.

    Both times are those of one watch, so that its delay cancels out.
    """

    wrong: dict[str, float] = field(default_factory=dict)
    right: dict[str, float] = field(default_factory=dict)

    def see(self, _: float, __: str, secret: Mapping[str, Any]) -> None:
        name = secret["metadata"]["name"]
        number = name.removeprefix(f"{NAME}-")
        if not number.isdecimal():
            return
        if secret.get("data", {}).get(TOKEN_KEY) == base64.b64encode(api_token(int(number)).encode()).decode():
            self.right[name] = time.monotonic()
        else:
            self.wrong[name] = time.monotonic()
            self.right.pop(name, None)

    def has_repaired(self, name: str) -> bool:
        return name in self.wrong and name in self.right


@dataclass(kw_only=True)
class Pair:
    """Two replicas with leader election that publish API tokens."""

    parts: Parts
    account: Account
    credentials: int
    replicas: list[OperatorProcess]
    repairs: _Repairs
    start_seconds: float
    edited: int = 0

    def edit(self, count: int) -> dict[str, float]:
        """Edit Secrets that were not edited before, and return when each was repaired. Raises MissingError."""
        numbers = [number % self.credentials for number in range(self.edited, self.edited + count)]
        names = [f"{NAME}-{number}" for number in numbers]
        self.edited += count
        for name in names:
            self.repairs.wrong.pop(name, None)
        patches = [(name, {"data": {TOKEN_KEY: _WRONG}}) for name in names]
        bulk.patch_secrets(self.parts.control_plane.client(), self.account.namespace, patches)
        wait_for(
            lambda: all(map(self.repairs.has_repaired, names)), "a Secret was not repaired", timeout=_REPAIR_SECONDS
        )
        return {name: self.repairs.right[name] for name in names}

    def leader(self) -> OperatorProcess:
        """Return the replica that leads. Raises MissingError if none does."""
        return wait_for_leader(self.replicas, timeout=_REPAIR_SECONDS)


@contextmanager
def pair(parts: Parts, account: Account, credentials: int) -> Iterator[Pair]:
    """Run two replicas, and a watch of their Secrets. Raises ProcessError and MissingError."""
    election = {"leaderElection": {"enabled": True, "leaseDuration": f"{LEASE:.0f}s"}}
    settings = {**parts.settings(account), **election}
    repairs = _Repairs()
    path = f"/api/v1/namespaces/{account.namespace}/secrets"
    with ExitStack() as stack:
        stack.enter_context(parts.control_plane.client().watch(path, repairs.see))
        replicas = [OperatorProcess(settings, folder=parts.folder, name=f"replica-{one}") for one in ("a", "b")]
        began = time.monotonic()
        for replica in replicas:
            stack.callback(replica.kill)
            replica.start()
            replica.wait_ready(timeout=_READY_SECONDS)
        start_seconds = (time.monotonic() - began) / len(replicas)
        found = Pair(
            parts=parts,
            account=account,
            credentials=credentials,
            replicas=replicas,
            repairs=repairs,
            start_seconds=start_seconds,
        )
        wait_for(lambda: len(repairs.right) >= credentials, "not every Secret was right", timeout=_REPAIR_SECONDS)
        yield found


def edits(found: Pair, say: Say) -> Edits:
    """Edit many Secrets at once."""
    count = min(EDITS, found.credentials)
    say(f"edits: {count} Secrets at once, with {found.credentials:,}")
    found.leader()
    found.edit(1)  # a first one shows that the leader works
    repaired = found.edit(count)
    seconds = tuple(at - found.repairs.wrong[name] for name, at in repaired.items())
    return Edits(credentials=found.credentials, seconds=seconds)


def failover(found: Pair, say: Say) -> Failover:
    """Stop the leader, start it again, and kill the next one."""
    say(f"failover: the leader of {found.credentials:,} credentials is stopped")
    clean = _without_leader(found, lambda leader: leader.stop())
    say("failover: the next leader is killed")
    killed = _without_leader(found, lambda leader: leader.kill())
    return Failover(credentials=found.credentials, stopped=clean, killed=killed, start_seconds=found.start_seconds)


def _without_leader(found: Pair, end: Callable[[OperatorProcess], None]) -> Takeover:
    """End the leader, and return when another replica leads, and repairs a Secret that was edited then."""
    leader = found.leader()
    others = [one for one in found.replicas if one is not leader]
    began = time.monotonic()
    end(leader)
    ended = time.monotonic()
    with ThreadPoolExecutor(max_workers=1) as pool:
        led = pool.submit(_when_one_leads, others)
        (repaired,) = found.edit(1).values()
        takeover = Takeover(
            ended_seconds=ended - began, leads_seconds=led.result() - began, repaired_seconds=repaired - began
        )
    leader.start()
    leader.wait_ready(timeout=_READY_SECONDS)
    return takeover


def _when_one_leads(replicas: list[OperatorProcess]) -> float:
    wait_for_leader(replicas, timeout=_REPAIR_SECONDS)
    return time.monotonic()
