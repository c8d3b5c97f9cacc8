"""The work queue: which key is reconciled next, by due time and priority. It does not know what a key means."""

import asyncio
import heapq
import itertools
from dataclasses import dataclass
from enum import IntEnum

from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.ports import Clock


class Priority(IntEnum):
    """The order among keys that are due."""

    URGENT = 0
    """New, changed, or about to expire."""
    ROUTINE = 1
    """A scheduled pass."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A key's place in the queue. An entry that a better one has replaced stays in its heap, and is skipped there."""

    due: float
    priority: Priority


class WorkQueue:
    """Hands out each key to one worker at a time, when it is due."""

    def __init__(self, clock: Clock) -> None:
        """Start empty; due times are in the monotonic time of `clock`."""
        self._clock = clock
        self._entries: dict[Key, _Entry] = {}
        self._later: list[tuple[float, int, Key, _Entry]] = []
        self._ready: list[tuple[Priority, float, int, Key, _Entry]] = []
        self._in_progress: set[Key] = set()
        self._order = itertools.count()
        self._changed = asyncio.Event()
        self._first_waiter = asyncio.Lock()

    def add(self, key: Key, *, delay: float = 0.0, priority: Priority = Priority.URGENT) -> None:
        """Hand out a key after `delay` seconds; if it is queued already, the earlier time and higher priority apply."""
        wanted = _Entry(self._clock.monotonic() + delay, priority)
        queued = self._entries.get(key)
        if queued is not None:
            wanted = _Entry(min(queued.due, wanted.due), min(queued.priority, wanted.priority))
            if wanted == queued:
                return
        self._entries[key] = wanted
        if key not in self._in_progress:
            self._push(key, wanted)

    def done(self, key: Key) -> None:
        """Return a key that `get` handed out. If it was added in the meantime, it can now be handed out again."""
        self._in_progress.discard(key)
        entry = self._entries.get(key)
        if entry is not None:
            self._push(key, entry)

    async def get(self) -> Key:
        """Wait for a key that is due, and mark it as in progress. Only one of the waiting workers watches the time."""
        async with self._first_waiter:
            while True:
                self._promote()
                key = self._pop()
                if key is not None:
                    return key
                await self._wait_for_change()

    @property
    def depth(self) -> int:
        """How many keys are due and wait for a worker."""
        self._promote()
        return sum(1 for *_, key, entry in self._ready if self._entries.get(key) is entry)

    @property
    def oldest_age(self) -> float:
        """For how many seconds the longest waiting key has been due."""
        waiting = [entry.due for *_, key, entry in self._ready if self._entries.get(key) is entry]
        return max(0.0, self._clock.monotonic() - min(waiting)) if waiting else 0.0

    def _push(self, key: Key, entry: _Entry) -> None:
        heapq.heappush(self._later, (entry.due, next(self._order), key, entry))
        self._changed.set()

    def _promote(self) -> None:
        """Move the entries that have become due to the heap that is sorted by priority."""
        now = self._clock.monotonic()
        while self._later and self._later[0][0] <= now:
            due, order, key, entry = heapq.heappop(self._later)
            heapq.heappush(self._ready, (entry.priority, due, order, key, entry))

    def _pop(self) -> Key | None:
        while self._ready:
            *_, key, entry = heapq.heappop(self._ready)
            if self._entries.get(key) is entry:
                del self._entries[key]
                self._in_progress.add(key)
                return key
        return None

    async def _wait_for_change(self) -> None:
        """Sleep until a key is added or the next one is due."""
        self._changed.clear()
        if not self._later:
            await self._changed.wait()
            return
        pause = self._later[0][0] - self._clock.monotonic()
        timer = asyncio.ensure_future(self._clock.sleep(max(0.0, pause)))
        change = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((timer, change), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            change.cancel()
