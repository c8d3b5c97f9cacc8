"""Who of several replicas acts: a Lease (coordination.k8s.io/v1), held as Kubernetes' own components hold theirs.

Time is judged by our own monotonic clock: another holder is gone when we have watched its Lease unchanged for
as long as it says. Our own leadership ends earlier, by a margin, and never later than what was acknowledged.
The client library's election is not used: it goes on leading through an API server that hangs (docs/decisions).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol

from pipedrive_operator import metrics
from pipedrive_operator.controller.coroutine import as_coroutine
from pipedrive_operator.core.values.errors import ApiServerUnavailable, LeaseChanged
from pipedrive_operator.core.values.lease import Lease, Observed
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock, Leases

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """How long a Lease lasts, until when it must have been renewed, and how often that is tried."""

    duration: timedelta = timedelta(seconds=30)
    renew_within: timedelta = timedelta(seconds=25)
    """Less than the duration: we stop before another may start."""
    retry: timedelta = timedelta(seconds=3)
    """How often the leader renews."""
    look: timedelta = timedelta(seconds=1)
    """How often a standby looks whether the Lease was released."""


def lease_times(duration: timedelta) -> LeaseTimes:
    """Divide a Lease's duration as Kubernetes' own components do."""
    return LeaseTimes(duration=duration, renew_within=duration * 5 / 6, retry=duration / 10)


class Election(Protocol):
    """Decides when this replica works."""

    def remaining(self) -> float:
        """Return for how many seconds from now it surely may; 0 or less where it may not."""

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Work whenever it may, until cancelled."""

    async def renew_until(self, done: Awaitable[None]) -> None:
        """Keep the right to act while something is being finished, and let go of it then."""


class OnlyReplica:
    """An election with one candidate."""

    def remaining(self) -> float:
        """Return that it leads for ever."""
        return float("inf")

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Work."""
        metrics.leads(does=True)
        await work()

    async def renew_until(self, done: Awaitable[None]) -> None:
        """Wait."""
        await done


class LeaderElection:
    """Holds the Lease while it can, and says for how long it surely does."""

    def __init__(self, *, leases: Leases, clock: Clock, holder: str, times: LeaseTimes) -> None:
        """Take the port; `holder` names this process."""
        self._leases = leases
        self._clock = clock
        self._holder = holder
        self._times = times
        self._until = float("-inf")
        self._observed: Observed | None = None

    def remaining(self) -> float:
        """Return for how many seconds from now we surely lead; 0 or less where we do not."""
        return self._until - self._clock.monotonic()

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Work whenever we lead, until cancelled; without the Lease the work is cancelled.

        The Lease is renewed while `work` is being cancelled, and only then released.
        """
        working: asyncio.Task[None] | None = None
        try:
            while True:
                await self._try_once()
                leads = self.remaining() > 0
                metrics.leads(does=leads)
                if leads and working is None:
                    _log.info("leading")
                    working = asyncio.ensure_future(as_coroutine(work))
                elif not leads and working is not None:
                    _log.warning("leadership lost")
                    await _stop(working)
                    working = None
                await self._pause(working)
        finally:
            if working is not None:
                await _stop(working)

    async def renew_until(self, done: Awaitable[None]) -> None:
        """Keep what is held while something is being finished, then release it."""
        finishing = asyncio.ensure_future(as_coroutine(lambda: done))
        try:
            while not finishing.done():
                if self.remaining() > 0:
                    await self._try_once()
                await self._pause(finishing)
        finally:
            await self._release()

    async def _pause(self, task: asyncio.Task[None] | None) -> None:
        """Sleep until the next try, or until a task ends; if that failed, its error is raised."""
        pause = self._times.retry if self.remaining() > 0 else self._times.look
        sleeping = asyncio.ensure_future(self._clock.sleep(pause.total_seconds()))
        try:
            await asyncio.wait({sleeping, *({task} if task else ())}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
        if task is not None and task.done():
            task.result()

    async def _try_once(self) -> None:
        """Renew the Lease, or take one that nobody holds any more; a failure leaves things as they were."""
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(2 * self._times.retry.total_seconds()):
                held = await self._leases.read()
                if self._may_take(held, began):
                    await self._leases.write(self._ours(held))
                    self._until = began + self._times.renew_within.total_seconds()
        except LeaseChanged:
            self._until = float("-inf")
        except (ApiServerUnavailable, TimeoutError) as error:
            _log.warning("the lease cannot be renewed", error=str(error) or "no answer in time")

    def _may_take(self, held: Lease | None, now: float) -> bool:
        if held is None or held.holder in {"", self._holder}:
            return True
        self._until = float("-inf")
        if self._observed is None or self._observed.lease != held:
            self._observed = Observed(held, now)
        return now - self._observed.since > held.duration.total_seconds()

    def _ours(self, held: Lease | None) -> Lease:
        now = self._clock.now()
        if held is None:
            return Lease(holder=self._holder, duration=self._times.duration, acquired_at=now, renewed_at=now)
        if held.holder == self._holder:
            return replace(held, renewed_at=now, duration=self._times.duration)
        return replace(
            held,
            holder=self._holder,
            duration=self._times.duration,
            acquired_at=now,
            renewed_at=now,
            transitions=held.transitions + 1,
        )

    async def _release(self) -> None:
        """Let another replica begin at once; one that cannot be told waits for the Lease to run out."""
        self._until = float("-inf")
        with suppress(ApiServerUnavailable, LeaseChanged, TimeoutError):
            async with asyncio.timeout(2 * self._times.retry.total_seconds()):
                held = await self._leases.read()
                if held is not None and held.holder == self._holder:
                    await self._leases.write(replace(held, holder="", duration=timedelta(seconds=1)))


async def _stop(working: asyncio.Task[None]) -> None:
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working
