"""A clock for tests, which stands still until a test advances it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from support.builders import NOW


class TurnedClock:
    """A clock that a test advances; a sleep ends when the clock has reached its end."""

    def __init__(self, now: datetime = NOW) -> None:
        """Start at a time."""
        self._now = now
        self._passed = timedelta(0)
        self._sleepers: list[tuple[float, asyncio.Event]] = []
        self.somebody_sleeps = asyncio.Event()
        self._slept = asyncio.Event()

    def now(self) -> datetime:
        """Return the time."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds that have passed since the start."""
        return self._passed.total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock is advanced far enough."""
        woken = asyncio.Event()
        self._sleepers.append((self.monotonic() + seconds, woken))
        self.somebody_sleeps.set()
        self._slept.set()
        await woken.wait()

    async def next_sleep(self) -> None:
        """Wait until a sleep begins that has not been awaited here before."""
        await self._slept.wait()
        self._slept.clear()

    def turn(self, by: timedelta) -> None:
        """Let time pass."""
        self._now += by
        self._passed += by
        for until, woken in self._sleepers:
            if until <= self.monotonic():
                woken.set()

    def step(self, by: timedelta) -> None:
        """Set the wall clock alone, as a person or NTP does: no time passes, and no sleep ends."""
        self._now += by

    def turn_to(self, moment: datetime) -> None:
        """Let time pass until a moment."""
        self.turn(moment - self._now)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let everyone who sleeps now sleep on until the end, as if their process were stopped."""
        parked, self._sleepers = self._sleepers, []
        yield
        self._sleepers += parked

    @property
    def sleepers(self) -> int:
        """The number of sleeps in progress."""
        return sum(not woken.is_set() for _, woken in self._sleepers)
