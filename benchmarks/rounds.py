"""Takes the measurements. Each round has a namespace, an operator and a floor of its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks import floor, traffic
from benchmarks.arrivals import Arrivals
from benchmarks.parts import WORKERS, Account, Parts
from benchmarks.process import cpu_seconds, memory
from benchmarks.report import Requests, Round
from benchmarks.workload import Batch
from testbed.operator_process import OperatorProcess

_TIMEOUT_SECONDS: Final = 300.0
_SINGLE_TIMEOUT_SECONDS: Final = 30.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to measure."""

    credentials: int
    rounds: int
    singles: int


def measure(parts: Parts, plan: Plan, progress: Progress) -> list[Round]:
    """Measure all rounds, and report the progress of each."""
    return [_round(parts, plan, number, progress) for number in range(1, plan.rounds + 1)]


def _round(parts: Parts, plan: Plan, number: int, progress: Progress) -> Round:
    here = f"round {number} of {plan.rounds}"
    progress(f"{here}: the floor, a minimal client that publishes {plan.credentials} credentials")
    lone_apply_seconds, floor_before = _floor(parts, plan, f"floor-{number}-before")
    account = parts.account(f"operator-{number}")
    with OperatorProcess(parts.settings(account), folder=parts.folder, name=account.namespace) as operator:
        empty = memory(operator)
        progress(f"{here}: {plan.singles} credentials, one after another")
        singles = [_single(parts, account, index) for index in range(plan.singles)]
        progress(f"{here}: {plan.credentials} existing credentials, from the moment when the operator starts to work")
        spent = cpu_seconds(operator)
        work_seconds, requests = _work(parts, account, operator, plan)
        spent = cpu_seconds(operator) - spent
        filled = memory(operator)
        progress(f"{here}: {plan.credentials} more, from kubectl apply to the last Secret")
        applied_seconds, whole_seconds = _apply_and_work(parts, account, plan)
    progress(f"{here}: the floor again, because the load of a machine varies")
    _, floor_after = _floor(parts, plan, f"floor-{number}-after")
    return Round(
        floor_seconds=(floor_before, floor_after),
        work_seconds=work_seconds,
        work_cpu_seconds=spent,
        lone_apply_seconds=lone_apply_seconds,
        apply_seconds=applied_seconds,
        apply_to_last_secret_seconds=whole_seconds,
        singles_seconds=tuple(singles),
        requests=requests,
        empty=empty,
        memory=filled,
    )


def _floor(parts: Parts, plan: Plan, namespace: str) -> tuple[float, float]:
    """Return the seconds that kubectl needed while no operator ran, and those of the minimal client after it."""
    account = parts.account(namespace)
    batch = Batch(namespace=account.namespace, name="floor", size=plan.credentials)
    started = time.monotonic()
    _apply(parts, batch)
    applied = time.monotonic() - started
    return applied, floor.publish(parts, account, batch, workers=WORKERS)


def _single(parts: Parts, account: Account, index: int) -> float:
    """Return the seconds from the start of kubectl to the Secret."""
    with Arrivals(account) as arrivals:
        started = time.monotonic()
        _apply(parts, Batch(namespace=account.namespace, name=f"single-{index}", size=1))
        (arrived,) = arrivals.wait(1, timeout=_SINGLE_TIMEOUT_SECONDS)
    return arrived - started


def _work(parts: Parts, account: Account, operator: OperatorProcess, plan: Plan) -> tuple[float, Requests]:
    """Return the operator's seconds for credentials that were applied while it was frozen, and its requests."""
    traffic.settled_writes(parts)
    operator.freeze()
    _apply(parts, Batch(namespace=account.namespace, name="work", size=plan.credentials))
    writes, vault = traffic.settled_writes(parts), traffic.vault_requests(parts, account)
    with Arrivals(account) as arrivals:
        started = time.monotonic()
        operator.thaw()
        arrived = arrivals.wait(plan.credentials, timeout=_TIMEOUT_SECONDS)
    # Late writes count too, and so does the memory for them.
    writes = traffic.settled_writes(parts) - writes
    vault = traffic.vault_requests(parts, account) - vault
    return max(arrived) - started, Requests(credentials=plan.credentials, writes=dict(writes), vault=dict(vault))


def _apply_and_work(parts: Parts, account: Account, plan: Plan) -> tuple[float, float]:
    """Return the seconds of kubectl while the operator works, and those from its start to the last Secret."""
    with Arrivals(account) as arrivals:
        started = time.monotonic()
        _apply(parts, Batch(namespace=account.namespace, name="whole", size=plan.credentials))
        applied = time.monotonic() - started
        arrived = arrivals.wait(plan.credentials, timeout=_TIMEOUT_SECONDS)
    return applied, max(arrived) - started


def _apply(parts: Parts, batch: Batch) -> None:
    parts.control_plane.kubectl("apply", "--filename=-", stdin=batch.manifest())
