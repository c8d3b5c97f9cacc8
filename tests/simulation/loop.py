"""An event loop with virtual time and a seeded choice among ready callbacks: the only sources of time and chance.

A process is a context. One that is frozen has its callbacks parked; of one that crashed they are dropped: its calls
never return, and no clean-up code runs, as when a machine loses its power. Threads and sockets do not exist.
"""

import asyncio
import contextvars
import gc
import heapq
import itertools
import random
from asyncio import events
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NoReturn


@dataclass(eq=False)
class Process:
    """Something that can crash or be stopped."""

    name: str
    crashed: bool = False
    frozen: bool = False
    frozen_at: float = float("inf")
    stops: list[tuple[float, float]] = field(default_factory=list)
    """From when until when it was frozen before."""
    parked: list[asyncio.Handle] = field(default_factory=list)

    def freeze(self) -> None:
        """Stop it, until the loop thaws it."""
        self.frozen, self.frozen_at = True, asyncio.get_running_loop().time()

    def was_frozen_since(self, moment: float) -> bool:
        """Return whether it was frozen at any time since then."""
        return self.frozen or any(until > moment for _, until in self.stops)

    def ran(self, since: float, until: float) -> float:
        """Return for how many seconds it ran between two moments, the second of which is not in the future."""
        stops = [*self.stops, (self.frozen_at, until)] if self.frozen else self.stops
        return until - since - sum(max(0.0, min(end, until) - max(begin, since)) for begin, end in stops)


CURRENT: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


class NothingLeftError(Exception):
    """Nothing is ready or scheduled: every waiting task would wait forever."""


class NumberedTask(asyncio.Task[Any]):
    """A task that has the same place in a set in every interpreter: a task group cancels its tasks in that order."""

    def __init__(
        self, number: int, work: Any, loop: asyncio.AbstractEventLoop, context: contextvars.Context | None
    ) -> None:
        """Take the number."""
        self.number = number
        super().__init__(work, loop=loop, context=context)

    def __hash__(self) -> int:
        """Hash by number."""
        return self.number


class SeededLoop(asyncio.BaseEventLoop):
    """Runs what is ready in an order that the seed decides, and jumps to the next timer when nothing is."""

    _ready: Any
    _scheduled: Any

    def __init__(self, seed: int) -> None:
        """Begin at time zero."""
        super().__init__()
        self.chance = random.Random(seed)  # noqa: S311  a simulation
        self._now = 0.0
        self._numbers = itertools.count()
        self.set_task_factory(self._numbered)
        self._graves: list[asyncio.Task[Any]] = []

    def _numbered(
        self, _: asyncio.AbstractEventLoop, work: Any, *, context: contextvars.Context | None = None
    ) -> asyncio.Task[Any]:
        return NumberedTask(next(self._numbers), work, self, context)

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._now

    def _run_once(self) -> None:
        self._promote()
        position = self.chance.randrange(len(self._ready))
        handle = self._ready[position]
        del self._ready[position]
        process = handle._context.get(CURRENT) if handle._context is not None else None
        if handle._cancelled or (process is not None and process.crashed):
            return
        if process is not None and process.frozen:
            process.parked.append(handle)
            return
        handle._run()

    def _promote(self) -> None:
        """Make ready what is due; if nothing is ready, turn the clock to the next timer."""
        while self._scheduled and self._scheduled[0]._cancelled:
            heapq.heappop(self._scheduled)._scheduled = False
        if not self._ready:
            if not self._scheduled:
                raise NothingLeftError
            self._now = max(self._now, self._scheduled[0]._when)
        while self._scheduled and self._scheduled[0]._when <= self._now:
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False
            self._ready.append(timer)

    def spawn(self, process: Process, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something as a process."""
        context = contextvars.copy_context()
        context.run(CURRENT.set, process)
        task = self.create_task(work, context=context)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # a crash destroys what is pending
        return task

    def crash(self, process: Process) -> None:
        """End a process between two of its callbacks.

        What it was doing is kept as it stands: collected as garbage, it would run its clean-up code after all.
        """
        process.crashed = True
        self._graves.extend(asyncio.all_tasks(self))

    def thaw(self, process: Process) -> None:
        """Let a frozen process go on, as if no time had passed for it."""
        if not process.frozen:
            return
        process.frozen = False
        process.stops.append((process.frozen_at, self._now))
        self._ready.extend(process.parked)
        process.parked.clear()

    def run_in_executor(self, *_: object) -> NoReturn:
        """Refuse: a thread would be neither virtual nor seeded."""
        message = "no threads in a simulation"
        raise RuntimeError(message)

    def call_soon_threadsafe(self, *_: object, **__: object) -> NoReturn:
        """Refuse: there is one thread."""
        message = "no threads in a simulation"
        raise RuntimeError(message)

    def _check_closed(self) -> None:
        """Let what was pending at the end be collected without a warning."""

    def _process_events(self, _: object) -> None:
        """Have no sockets."""

    def _write_to_self(self) -> None:
        """Have no selector to wake."""


def run(seed: int, work: Coroutine[Any, Any, None], *, on_defect: Callable[[str], None]) -> None:
    """Run a simulation to its end; what no task handles is a defect."""
    loop = SeededLoop(seed)
    loop.set_exception_handler(lambda _loop, context: on_defect(str(context.get("exception", context["message"]))))
    before = events._get_running_loop()
    events._set_running_loop(None)
    # What a crash leaves behind runs its clean-up when it is collected: not in the middle of what others do.
    gc.disable()
    try:
        loop.run_until_complete(work)
    finally:
        gc.enable()
        loop.set_exception_handler(lambda _loop, _context: None)  # what was pending is destroyed now
        loop.close()
        events._set_running_loop(before)
        del work
        gc.collect()
