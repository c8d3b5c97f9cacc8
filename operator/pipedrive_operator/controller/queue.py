"""The work queue: lets workers wait for the next key. `schedule.py` decides which one that is.

A key goes to a waiting worker in the moment in which it is due and may start, so that the pass begins in the next turn
of the event loop: under load a turn takes long, and a Secret must be repaired at once.
"""

import asyncio
from collections import deque
from contextlib import suppress
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
        self._idle: deque[asyncio.Future[Key]] = deque()
        """The workers that wait, the one that has waited longest first."""
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0.0

    def add(self, key: Key, *, delay: float = 0.0, slack: float = 0.0) -> None:
        """Hand out a key after `delay` seconds, and at the latest `slack` seconds after that if workers are scarce."""
        due = self._clock.monotonic() + delay
        if self._schedule.add(key, due, due + slack):
            self._hand_out()

    def add_by_urgency(self, key: Key, *, slack: float, oldest: float) -> None:
        """Hand out a key now, or at the latest after `slack` seconds if workers are scarce.

        A request for the key that is not due yet is replaced, since it says nothing about urgency, and so is one that
        has been due for more than `oldest` seconds.
        """
        now = self._clock.monotonic()
        if self._schedule.add(key, now, now + slack, since=now - oldest, until=now):
            self._hand_out()

    def done(self, key: Key) -> None:
        """Return a key that `get` handed out. If it was added in the meantime, it can now be handed out again."""
        self._schedule.done(key)
        self._hand_out()

    async def get(self) -> Key:
        """Wait for a key that is due, and mark it as in progress."""
        turn: asyncio.Future[Key] = asyncio.get_running_loop().create_future()
        self._idle.append(turn)
        self._hand_out()
        try:
            return await turn
        except asyncio.CancelledError:
            self._give_back(turn)
            raise

    @property
    def depth(self) -> int:
        """How many keys are due and wait for a worker."""
        return len(self._schedule.waiting_since(self._clock.monotonic()))

    @property
    def oldest_age(self) -> float:
        """For how many seconds the longest waiting key has been due."""
        now = self._clock.monotonic()
        return now - min(self._schedule.waiting_since(now), default=now)

    def _hand_out(self) -> None:
        """Give keys that are due to the workers that wait."""
        while self._idle:
            if self._idle[0].done():  # its worker was cancelled
                self._idle.popleft()
                continue
            key = self._schedule.take(self._clock.monotonic())
            if key is None:
                self._set_alarm()
                return
            self._idle.popleft().set_result(key)

    def _give_back(self, turn: asyncio.Future[Key]) -> None:
        """Let another worker have the key of one that was cancelled."""
        if turn.cancelled():
            with suppress(ValueError):
                self._idle.remove(turn)
            return
        self._schedule.done(turn.result())
        self.add(turn.result())

    def _set_alarm(self) -> None:
        """Look again when the next key is due. An alarm that rings too early does no harm."""
        due = self._schedule.next_due()
        if due is None or (self._alarm is not None and not self._alarm.done() and self._alarm_at <= due):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = due
        self._alarm = asyncio.create_task(self._ring(due), name="work queue")

    async def _ring(self, due: float) -> None:
        await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
        self._alarm = None
        self._hand_out()
