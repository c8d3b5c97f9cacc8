"""The orderly end of the process: nothing more is sent, and what was sent is stored."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from pipedrive_operator.controller.leadership import SingleReplica
from pipedrive_operator.controller.shutdown import STORE_TIMEOUT, finish_refreshes, run_until


@dataclass
class Refreshes:
    """Refreshes in progress until a test lets them end."""

    events: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def stop_sending(self) -> None:
        """Record the call."""
        self.events.append("stop sending")

    async def drain(self) -> None:
        """Wait for the test."""
        await self.ended.wait()
        self.events.append("stored")


@dataclass
class RecordingElection(SingleReplica):
    """An election that records when it gives the Lease up."""

    events: list[str]

    async def renew_until(self, done: Awaitable[None]) -> None:
        """Record the release."""
        try:
            await done
        finally:
            self.events.append("release")


@asynccontextmanager
async def _slow_to_end(events: list[str]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await asyncio.sleep(0)
        events.append("work ended")


async def test_sending_stops_before_the_work_ends() -> None:
    """Ending the work takes a while, and a refresh that begins in that time might not be stored."""
    refreshes, stop_requested = Refreshes(), asyncio.Event()

    async def work() -> None:
        async with _slow_to_end(refreshes.events):
            stop_requested.set()
            await asyncio.Event().wait()

    await run_until(stop_requested, work(), refreshes)

    assert refreshes.events == ["stop sending", "work ended"]


async def test_an_error_of_the_work_is_raised() -> None:
    """Otherwise the process would end as if it had been asked to."""

    async def work() -> None:
        message = "broken"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="broken"):
        await run_until(asyncio.Event(), work(), Refreshes())


async def test_the_lease_is_given_up_after_the_results_are_stored() -> None:
    """Another replica must not act while this one holds a result in memory."""
    refreshes = Refreshes()
    finishing = asyncio.create_task(finish_refreshes(refreshes, RecordingElection(refreshes.events)))
    for _ in range(5):
        await asyncio.sleep(0)
    assert refreshes.events == ["stop sending"]

    refreshes.ended.set()
    await finishing

    assert refreshes.events == ["stop sending", "stored", "release"]


async def test_a_result_that_cannot_be_stored_does_not_keep_the_process_forever() -> None:
    """The kubelet would kill it anyway, without the release of the Lease."""
    refreshes = Refreshes()

    await finish_refreshes(refreshes, RecordingElection(refreshes.events), store_timeout=timedelta(0))

    assert refreshes.events == ["stop sending", "release"]


def test_the_process_waits_less_than_the_kubelet_does() -> None:
    """The chart's terminationGracePeriodSeconds is 60; releasing the Lease takes up to 6 seconds more."""
    assert timedelta(seconds=45) == STORE_TIMEOUT
