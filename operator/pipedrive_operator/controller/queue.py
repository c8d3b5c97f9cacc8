"""The work queue: which key is reconciled next. It knows due times and priorities, and nothing of what a key means."""

import asyncio
import heapq
import itertools
from dataclasses import dataclass
from enum import IntEnum

from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.ports import Clock


class Priority(IntEnum):
    """Who goes first among the keys that are due."""

    URGENT = 0
    """New, changed, or about to expire."""
    ROUTINE = 1
    """A periodic look."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A key's place in the queue; one that was replaced by a better place is dead."""

    due: float
    priority: Priority


class WorkQueue:
    """Hands out each key to one worker at a time, when it is due."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock whose monotonic time the due times are in."""
        self._clock = clock
        self._places: dict[Key, _Place] = {}
        self._later: list[tuple[float, int, Key, _Place]] = []
        self._ready: list[tuple[Priority, float, int, Key, _Place]] = []
        self._in_flight: set[Key] = set()
        self._order = itertools.count()
        self._changed = asyncio.Event()
        self._first_in_line = asyncio.Lock()

    def add(self, key: Key, *, delay: float = 0.0, priority: Priority = Priority.URGENT) -> None:
        """Ask for a key to be handed out after `delay` seconds; the earlier time and the higher priority win."""
        wanted = _Place(self._clock.monotonic() + delay, priority)
        held = self._places.get(key)
        if held is not None:
            wanted = _Place(min(held.due, wanted.due), min(held.priority, wanted.priority))
            if wanted == held:
                return
        self._places[key] = wanted
        if key not in self._in_flight:
            self._enter(key, wanted)

    def done(self, key: Key) -> None:
        """Take back a key that `get` handed out; if it was added meanwhile it may be handed out again."""
        self._in_flight.discard(key)
        place = self._places.get(key)
        if place is not None:
            self._enter(key, place)

    async def get(self) -> Key:
        """Wait for a key that is due, and mark it as in flight. Of many workers one watches the time."""
        async with self._first_in_line:
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
        return sum(1 for *_, key, place in self._ready if self._places.get(key) is place)

    @property
    def oldest_age(self) -> float:
        """How many seconds the key that waits longest is overdue."""
        waiting = [place.due for *_, key, place in self._ready if self._places.get(key) is place]
        return max(0.0, self._clock.monotonic() - min(waiting)) if waiting else 0.0

    def _enter(self, key: Key, place: _Place) -> None:
        heapq.heappush(self._later, (place.due, next(self._order), key, place))
        self._changed.set()

    def _promote(self) -> None:
        now = self._clock.monotonic()
        while self._later and self._later[0][0] <= now:
            due, order, key, place = heapq.heappop(self._later)
            heapq.heappush(self._ready, (place.priority, due, order, key, place))

    def _pop(self) -> Key | None:
        while self._ready:
            *_, key, place = heapq.heappop(self._ready)
            if self._places.get(key) is place:
                del self._places[key]
                self._in_flight.add(key)
                return key
        return None

    async def _wait_for_change(self) -> None:
        """Sleep until something is added or the next key is due."""
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
