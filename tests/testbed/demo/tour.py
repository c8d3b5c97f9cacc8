"""Runs a tour: one step after another, each with an action, an expected result and a deadline.

Looking, pausing and the clock are passed in. A failure names its step. `steps` has the steps, and `screen` shows them.
"""

import http.client
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from testbed.go_build import BuildError
from testbed.kubectl import KubectlError
from testbed.openbao_api import OpenBaoError
from testbed.pipedrive.client import ControlError
from testbed.processes import ProcessError

PartsT = TypeVar("PartsT")
SnapshotT = TypeVar("SnapshotT")


class NotSeenError(Exception):
    """The expected result of a step did not come, or a different one did; the message says what."""


class StepError(Exception):
    """A step failed; the message begins with its name."""

    def __init__(self, name: str, why: str) -> None:
        """Keep the name as an attribute too."""
        super().__init__(f"{name}: {why}")
        self.name = name


TROUBLES = (
    NotSeenError,
    BuildError,
    ControlError,
    KubectlError,
    OpenBaoError,
    ProcessError,
    OSError,
    http.client.HTTPException,
    subprocess.SubprocessError,
)
"""The errors of real parts; any other error is a defect of the demo."""


@dataclass(frozen=True, kw_only=True)
class Step(Generic[PartsT, SnapshotT]):
    """One step. `check` compares the snapshots before and after, and returns what happened; None for not yet."""

    name: str
    sees: str
    do: Callable[[PartsT], object]
    check: Callable[[SnapshotT, SnapshotT], str | None]
    within: float
    """Seconds."""


class Progress(Protocol):
    """Shows the progress of the tour."""

    def begun(self, name: str, sees: str) -> None:
        """Show what is about to happen."""

    def done(self, name: str, seen: str, seconds: float) -> None:
        """Show what happened."""


@dataclass(frozen=True)
class Guide:
    """Reports and times steps, in seconds of `clock`."""

    progress: Progress
    clock: Callable[[], float]

    @contextmanager
    def step(self, name: str, sees: str) -> Iterator[Callable[[str], None]]:
        """Report the block as a step; the block passes what happened to the function that it gets. Raises StepError."""
        started = self.clock()
        seen: list[str] = []
        self.progress.begun(name, sees)
        try:
            yield seen.append
        except TROUBLES as trouble:
            raise StepError(name, str(trouble)) from trouble
        self.progress.done(name, "; ".join(seen), self.clock() - started)


@dataclass(frozen=True, kw_only=True)
class Observer(Generic[SnapshotT]):
    """How to observe: `look` returns the current snapshot, and `pause` waits between two looks."""

    look: Callable[[], SnapshotT]
    pause: Callable[[], object]


def run(
    steps: Sequence[Step[PartsT, SnapshotT]],
    environment: PartsT,
    *,
    guide: Guide,
    observer: Observer[SnapshotT],
) -> None:
    """Run every step and wait for its result. Raises StepError at the first step that fails."""
    for step in steps:
        with guide.step(step.name, step.sees) as report:
            report(_seen(step, environment, clock=guide.clock, observer=observer))


def _seen(
    step: Step[PartsT, SnapshotT],
    environment: PartsT,
    *,
    clock: Callable[[], float],
    observer: Observer[SnapshotT],
) -> str:
    before = observer.look()
    step.do(environment)
    deadline = clock() + step.within
    while (seen := step.check(before, observer.look())) is None:
        if clock() >= deadline:
            message = f"not seen within {step.within:.0f} s: {step.sees}"
            raise NotSeenError(message)
        observer.pause()
    return seen
