"""The work queue: lets workers wait for the next key. `schedule.py` decides which one that is."""

import asyncio
from typing import Final

from pipedrive_operator.controller.schedule import Schedule
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.ports import Clock

DEFAULT_WORKERS: Final = 20


class WorkQueue:
    """Hands out each key to one worker at a time, when it is due."""

    def __init__(self, clock: Clock, *, workers: int = DEFAULT_WORKERS) -> None:
        """Start empty; due times are in the monotonic time of `clock`, and `workers` call `get`."""
        self._clock = clock
        self._schedule = Schedule(workers)
        self._changed = asyncio.Event()
        self._first_waiter = asyncio.Lock()

    def add(self, key: Key, *, delay: float = 0.0, slack: float = 0.0) -> None:
        """Hand out a key after `delay` seconds, and at the latest `slack` seconds after that if workers are scarce."""
        due = self._clock.monotonic() + delay
        if self._schedule.add(key, due, due + slack):
            self._changed.set()

    def done(self, key: Key) -> None:
        """Return a key that `get` handed out. If it was added in the meantime, it can now be handed out again."""
        self._schedule.done(key)
        self._changed.set()

    async def get(self) -> Key:
        """Wait for a key that is due, and mark it as in progress. Only one of the waiting workers watches the time."""
        async with self._first_waiter:
            while True:
                key = self._schedule.take(self._clock.monotonic())
                if key is not None:
                    return key
                await self._wait_for_change()

    @property
    def depth(self) -> int:
        """How many keys are due and wait for a worker."""
        return len(self._schedule.waiting_since(self._clock.monotonic()))

    @property
    def oldest_age(self) -> float:
        """For how many seconds the longest waiting key has been due."""
        now = self._clock.monotonic()
        return now - min(self._schedule.waiting_since(now), default=now)

    async def _wait_for_change(self) -> None:
        """Sleep until a key is added or returned, or the next one is due."""
        self._changed.clear()
        due = self._schedule.next_due()
        if due is None:
            await self._changed.wait()
            return
        timer = asyncio.ensure_future(self._clock.sleep(max(0.0, due - self._clock.monotonic())))
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((timer, change), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            change.cancel()
