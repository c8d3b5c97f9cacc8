"""Waits for what the replicas of a run do."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from benchmarks.arrivals import MissingError
from testbed.operator_process import OperatorProcess

_PAUSE: Final = 0.05


def wait_for(look: Callable[[], bool], failure: str, *, timeout: float) -> None:
    """Wait until something is true. Raises MissingError with `failure` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not look():
        if time.monotonic() > deadline:
            message = f"{failure} within {timeout:.0f} s"
            raise MissingError(message)
        time.sleep(_PAUSE)


def wait_for_leader(replicas: Sequence[OperatorProcess], *, timeout: float) -> OperatorProcess:
    """Return the replica that leads. Raises MissingError if none does after `timeout` seconds."""
    wait_for(lambda: any(one.leads() for one in replicas), "no replica leads", timeout=timeout)
    return next(one for one in replicas if one.leads())
