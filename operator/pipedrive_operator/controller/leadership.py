"""Decides which replica acts, through a Lease (coordination.k8s.io/v1) used as Kubernetes' own components use theirs.

Time is measured on this process's own monotonic clock: another holder is gone once its Lease has been seen unchanged
for its whole duration. Our own leadership ends earlier, by a margin, and never lasts longer than what the API server
acknowledged. The client library's election is not used: it keeps leading while an API server hangs (docs/decisions).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Protocol

from pipedrive_operator import metrics
from pipedrive_operator.core.values.errors import ApiServerUnavailable, LeaseChanged
from pipedrive_operator.core.values.lease import Lease, Observed
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock, Leases

NOT_LEADING: Final = float("-inf")
"""A moment of the monotonic clock that is always past."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """The durations of an election, named as in Kubernetes' own components."""

    lease_duration: timedelta = timedelta(seconds=30)
    """How long a standby waits for an unchanged Lease before it takes over."""
    renew_deadline: timedelta = timedelta(seconds=25)
    """How long a leader acts after its last renewal: less than the duration, so that it stops before another starts."""
    retry_period: timedelta = timedelta(seconds=3)
    """How often the leader renews."""
    standby_period: timedelta = timedelta(seconds=1)
    """How often a standby checks whether the Lease was released."""


def lease_times(lease_duration: timedelta) -> LeaseTimes:
    """Derive all durations from that of the Lease, in the proportions of Kubernetes' own components."""
    return LeaseTimes(
        lease_duration=lease_duration, renew_deadline=lease_duration * 5 / 6, retry_period=lease_duration / 10
    )


class Election(Protocol):
    """Decides when this replica acts."""

    def remaining(self) -> float:
        """Return for how many more seconds this replica certainly leads; 0 or less if it does not."""

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` whenever this replica leads, until cancelled."""

    async def renew_until(self, done: Awaitable[None]) -> None:
        """Keep the leadership until `done` has finished, then give it up."""


class SingleReplica:
    """An election with one candidate, which always leads."""

    def remaining(self) -> float:
        """Return infinity."""
        return float("inf")

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work`."""
        metrics.show_leader(leads=True)
        await work()

    async def renew_until(self, done: Awaitable[None]) -> None:
        """Wait for `done`."""
        await done


class LeaderElection:
    """Holds the Lease while it can, and knows for how long it certainly does."""

    def __init__(self, *, leases: Leases, clock: Clock, holder: str, times: LeaseTimes) -> None:
        """Start without the Lease; `holder` identifies this process in it."""
        self._leases = leases
        self._clock = clock
        self._holder = holder
        self._times = times
        self._leads_until = NOT_LEADING
        self._observed: Observed | None = None
        self._working: asyncio.Future[None] | None = None
        """The work of the term; None while this replica does not lead."""

    def remaining(self) -> float:
        """Return for how many more seconds this replica certainly leads; 0 or less if it does not."""
        return self._leads_until - self._clock.monotonic()

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` whenever this replica leads, until cancelled; cancel it when the Lease is lost.

        The Lease is not released here: `renew_until` does so once the work has been cancelled.
        """
        try:
            while True:
                await self._acquire_or_renew()
                leads = self.remaining() > 0
                metrics.show_leader(leads=leads)
                if leads and self._working is None:
                    _log.info("leading")
                    self._working = asyncio.ensure_future(work())
                elif not leads and self._working is not None:
                    _log.warning("leadership lost")
                    await self._end_work()
                await self._pause(self._working)
        finally:
            await self._end_work()

    async def renew_until(self, done: Awaitable[None]) -> None:
        """Renew the Lease, if it is held, until `done` has finished; then release it."""
        finishing = asyncio.ensure_future(done)
        try:
            while not finishing.done():
                if self.remaining() > 0:
                    await self._acquire_or_renew()
                await self._pause(finishing)
        finally:
            await self._release()

    async def _pause(self, task: asyncio.Future[None] | None) -> None:
        """Sleep until the next attempt or until the task ends; if it failed, raise its error."""
        pause = self._times.retry_period if self.remaining() > 0 else self._times.standby_period
        sleeping = asyncio.ensure_future(self._clock.sleep(pause.total_seconds()))
        try:
            await asyncio.wait({sleeping, *({task} if task else ())}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
        if task is not None and task.done():
            task.result()

    async def _acquire_or_renew(self) -> None:
        """Renew the Lease, or acquire it if its holder is gone; a failure changes nothing."""
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(2 * self._times.retry_period.total_seconds()):
                current = await self._leases.read()
                if self._can_acquire(current, began):
                    await self._leases.write(self._renewed(current))
                    self._leads_until = began + self._times.renew_deadline.total_seconds()
        except LeaseChanged:
            self._leads_until = NOT_LEADING
        except (ApiServerUnavailable, TimeoutError) as error:
            _log.warning("the lease cannot be renewed", error=str(error) or "no response in time")

    async def _end_work(self) -> None:
        if self._working is not None:
            self._working.cancel()
            with suppress(asyncio.CancelledError):
                await self._working
            self._working = None

    def _can_acquire(self, current: Lease | None, now: float) -> bool:
        if current is None or current.holder == self._holder:
            return True
        self._leads_until = NOT_LEADING
        if not current.holder:
            # Another replica has led and released the Lease while this process stood still. The work that is running
            # knows nothing of what that replica did: it ends before the next term begins.
            return self._working is None
        if self._observed is None or self._observed.lease != current:
            self._observed = Observed(current, self._clock.monotonic())  # it may have been renewed during the read
        return now - self._observed.since > current.duration.total_seconds()

    def _renewed(self, current: Lease | None) -> Lease:
        now, duration = self._clock.now(), self._times.lease_duration
        if current is None:
            return Lease(holder=self._holder, duration=duration, acquired_at=now, renewed_at=now)
        if current.holder == self._holder:
            return replace(current, renewed_at=now, duration=duration)
        return replace(
            current,
            holder=self._holder,
            duration=duration,
            acquired_at=now,
            renewed_at=now,
            transitions=current.transitions + 1,
        )

    async def _release(self) -> None:
        """Let another replica take over at once. If this fails, it takes over when the Lease expires."""
        self._leads_until = NOT_LEADING
        with suppress(ApiServerUnavailable, LeaseChanged, TimeoutError):
            async with asyncio.timeout(2 * self._times.retry_period.total_seconds()):
                current = await self._leases.read()
                if current is not None and current.holder == self._holder:
                    await self._leases.write(replace(current, holder="", duration=timedelta(seconds=1)))
