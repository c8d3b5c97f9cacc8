"""Publishes API tokens in steps, and measures time and memory at each, with the floor for the same number beside."""

import time
from typing import Final

from benchmarks import floor, traffic
from benchmarks.arrivals import Arrivals
from benchmarks.command import Say
from benchmarks.parts import WORKERS, Account, Parts
from benchmarks.process import cpu_seconds, memory
from benchmarks.scale import bulk, starts
from benchmarks.scale.report import Growth, Step
from benchmarks.workload import Batch
from testbed.operator_process import OperatorProcess

NAME: Final = "scale"
_SECONDS_FOR_EACH: Final = 0.2
_LEAST_SECONDS: Final = 120.0


def measure(parts: Parts, account: Account, steps: list[int], say: Say) -> Growth:
    """Publish up to each number of credentials, and return the figures. Raises MissingError and ProcessError."""
    started = starts.measure(parts, account, say)
    found: list[Step] = []
    with OperatorProcess(parts.settings(account), folder=parts.folder, name="growth") as operator:
        empty = memory(operator)
        for before, step in zip([0, *steps], steps, strict=False):
            say(f"growth: {step:,} API tokens, first with the floor, then with the operator")
            batch = Batch(namespace=account.namespace, name=NAME, size=step - before, first=before)
            found.append(_step(parts, account, operator, batch))
    return Growth(starts=started, empty=empty, steps=tuple(found))


def publish(parts: Parts, account: Account, credentials: int, say: Say) -> None:
    """Publish credentials without measuring. Raises MissingError and ProcessError."""
    say(f"publishing {credentials:,} API tokens")
    batch = Batch(namespace=account.namespace, name=NAME, size=credentials)
    with OperatorProcess(parts.settings(account), folder=parts.folder, name="publish"), Arrivals(account) as arrivals:
        _create(parts, batch)
        arrivals.wait(batch.size, timeout=_patience(batch))


def _step(parts: Parts, account: Account, operator: OperatorProcess, batch: Batch) -> Step:
    beside = _floor(parts, batch)
    operator.freeze()
    _create(parts, batch)
    spent = cpu_seconds(operator)
    with Arrivals(account) as arrivals:
        began = time.monotonic()
        operator.thaw()
        seconds = max(arrivals.wait(batch.size, timeout=_patience(batch))) - began
    traffic.settled_writes(parts)  # the last status, too, and the memory for it
    return Step(
        credentials=batch.first + batch.size,
        added=batch.size,
        floor_seconds=beside,
        work_seconds=seconds,
        cpu_seconds=cpu_seconds(operator) - spent,
        memory=memory(operator),
    )


def _floor(parts: Parts, batch: Batch) -> float:
    account = parts.account(f"floor-{batch.first}")
    same = Batch(namespace=account.namespace, name="floor", size=batch.size, first=batch.first)
    _create(parts, same)
    return floor.publish(parts, account, same, workers=WORKERS)


def _create(parts: Parts, batch: Batch) -> None:
    bulk.create_credentials(parts.control_plane.client(), batch.namespace, batch.objects)


def _patience(batch: Batch) -> float:
    return max(_LEAST_SECONDS, _SECONDS_FOR_EACH * batch.size)
