"""Runs a tour: one step after another, each with what is done, what is then to be seen, and by when.

It is told how to look, how to pause and what time it is, and names the step that fails. What the steps are, and how
they are shown, is decided elsewhere.
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

StageT = TypeVar("StageT")
SightT = TypeVar("SightT")


class NotSeenError(Exception):
    """What a step was to show did not come, or something else did; the text says what."""


class StepError(Exception):
    """A step failed; the text begins with its name."""

    def __init__(self, name: str, why: str) -> None:
        """Keep the name apart."""
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
"""What real parts fail with; anything else is a mistake in the demo."""


@dataclass(frozen=True, kw_only=True)
class Step(Generic[StageT, SightT]):
    """One step; `check` compares the sights before and after, and returns what was seen, or None while it is not."""

    name: str
    sees: str
    do: Callable[[StageT], object]
    check: Callable[[SightT, SightT], str | None]
    within: float
    """Seconds."""


class Telling(Protocol):
    """Whoever tells a person how far the tour is."""

    def begun(self, name: str, sees: str) -> None:
        """Tell what is about to be seen."""

    def done(self, name: str, seen: str, seconds: float) -> None:
        """Tell what was seen."""


@dataclass(frozen=True)
class Guide:
    """Tells of steps and takes their time, in seconds of `clock`."""

    telling: Telling
    clock: Callable[[], float]

    @contextmanager
    def step(self, name: str, sees: str) -> Iterator[Callable[[str], None]]:
        """Tell of the step that the block is; the block says what was seen. Raises StepError."""
        started = self.clock()
        seen: list[str] = []
        self.telling.begun(name, sees)
        try:
            yield seen.append
        except TROUBLES as trouble:
            raise StepError(name, str(trouble)) from trouble
        self.telling.done(name, "; ".join(seen), self.clock() - started)


@dataclass(frozen=True, kw_only=True)
class Eyes(Generic[SightT]):
    """How to see: `look` says what is to be seen now, `pause` passes a moment between two looks."""

    look: Callable[[], SightT]
    pause: Callable[[], object]


def run(steps: Sequence[Step[StageT, SightT]], stage: StageT, *, guide: Guide, eyes: Eyes[SightT]) -> None:
    """Do every step and wait for what it shows. Raises StepError at the first that does not show it."""
    for step in steps:
        with guide.step(step.name, step.sees) as tell:
            tell(_seen(step, stage, clock=guide.clock, eyes=eyes))


def _seen(step: Step[StageT, SightT], stage: StageT, *, clock: Callable[[], float], eyes: Eyes[SightT]) -> str:
    before = eyes.look()
    step.do(stage)
    deadline = clock() + step.within
    while (seen := step.check(before, eyes.look())) is None:
        if clock() >= deadline:
            message = f"not seen within {step.within:.0f} s: {step.sees}"
            raise NotSeenError(message)
        eyes.pause()
    return seen
