"""Leadership, on a turned clock: who acts, for how long surely, and who follows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from pipedrive_operator.controller.leadership import LeaderElection, LeaseTimes
from pipedrive_operator.core.values.errors import ApiServerUnavailable, LeaseChanged, OperatorError
from pipedrive_operator.core.values.lease import Lease
from support.turned_clock import TurnedClock

TIMES = LeaseTimes()


@dataclass
class SharedLease:
    """The Lease, as the API server keeps it."""

    lease: Lease | None = None
    version: int = 0
    breaks: OperatorError | None = None
    writes: int = 0

    async def read(self) -> Lease | None:
        """Return it."""
        if self.breaks is not None:
            raise self.breaks
        return self.lease

    async def write(self, lease: Lease) -> None:
        """Replace the one that was read."""
        if self.breaks is not None:
            raise self.breaks
        if lease.resource_version != (self.lease.resource_version if self.lease else None):
            raise LeaseChanged("somebody was faster")
        self.version += 1
        self.writes += 1
        self.lease = replace(lease, resource_version=str(self.version))


class Replica:
    """One process that wants to lead."""

    def __init__(self, name: str, shared: SharedLease, clock: TurnedClock) -> None:
        """Start to stand by."""
        self.election = LeaderElection(leases=shared, clock=clock, holder=name, times=TIMES)
        self.starts = 0
        self.works = False
        self.task = asyncio.create_task(self.election.run(self._work))

    async def _work(self) -> None:
        self.starts += 1
        self.works = True
        try:
            await asyncio.Event().wait()
        finally:
            self.works = False

    async def stop(self) -> None:
        """Kill it: nothing is released."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture
async def replicas() -> AsyncIterator[list[Replica]]:
    """Collect the replicas that a test starts, and end them."""
    made: list[Replica] = []
    yield made
    for replica in made:
        await replica.stop()


async def settle(clock: TurnedClock, seconds: float = 0) -> None:
    """Let time pass in steps, and everything that it brings about."""
    for step in range(int(seconds) + 1):
        clock.turn(timedelta(seconds=min(1, step)))
        for _ in range(20):
            await asyncio.sleep(0)


async def test_one_of_two_acts(replicas: list[Replica]) -> None:
    """The other is a standby."""
    clock, shared = TurnedClock(), SharedLease()
    replicas += [Replica("one", shared, clock), Replica("two", shared, clock)]

    await settle(clock, 100)

    assert [True, False] == [replica.works for replica in replicas]
    assert replicas[0].election.remaining() > 0 >= replicas[1].election.remaining()


async def test_a_killed_leader_is_followed_within_the_lease(replicas: list[Replica]) -> None:
    """And not before its Lease has been watched for as long as it says."""
    clock, shared = TurnedClock(), SharedLease()
    replicas += [Replica("one", shared, clock), Replica("two", shared, clock)]
    await settle(clock, 10)
    await replicas[0].stop()

    await settle(clock, 25)
    assert not replicas[1].works
    await settle(clock, 12)

    assert replicas[1].works
    assert shared.lease is not None
    assert ("two", 1) == (shared.lease.holder, shared.lease.transitions)


async def test_a_leader_without_its_api_server_stops_before_another_starts(replicas: list[Replica]) -> None:
    """Its leadership ends by itself, ahead of the Lease."""
    clock, shared = TurnedClock(), SharedLease()
    replicas.append(Replica("one", shared, clock))
    await settle(clock, 10)
    shared.breaks = ApiServerUnavailable("connection refused")

    await settle(clock, 20)
    assert replicas[0].works
    await settle(clock, 8)

    assert not replicas[0].works
    assert replicas[0].election.remaining() <= 0


async def test_a_leader_works_again_when_the_api_server_is_back(replicas: list[Replica]) -> None:
    """From the beginning, with nothing remembered."""
    clock, shared = TurnedClock(), SharedLease()
    replicas.append(Replica("one", shared, clock))
    await settle(clock, 5)
    shared.breaks = ApiServerUnavailable("connection refused")
    await settle(clock, 40)
    shared.breaks = None

    await settle(clock, 5)

    assert replicas[0].works
    assert 2 == replicas[0].starts


async def test_a_released_lease_is_taken_at_once(replicas: list[Replica]) -> None:
    """Within one try, rather than a whole Lease."""
    clock, shared = TurnedClock(), SharedLease()
    replicas += [Replica("one", shared, clock), Replica("two", shared, clock)]
    await settle(clock, 10)
    await replicas[0].stop()

    await replicas[0].election.renew_until(asyncio.sleep(0))
    await settle(clock, 4)

    assert replicas[1].works


async def test_the_lease_is_renewed_while_something_is_being_finished(replicas: list[Replica]) -> None:
    """Nobody else begins before what was won is stored."""
    clock, shared = TurnedClock(), SharedLease()
    replicas += [Replica("one", shared, clock), Replica("two", shared, clock)]
    await settle(clock, 10)
    await replicas[0].stop()
    stored = asyncio.Event()

    async def finish() -> None:
        await stored.wait()

    finishing = asyncio.create_task(replicas[0].election.renew_until(finish()))
    await settle(clock, 100)
    assert not replicas[1].works
    stored.set()
    await settle(clock, 5)
    await finishing

    assert replicas[1].works


async def test_a_failed_work_ends_the_replica() -> None:
    """What ends by itself has failed, and its error is raised."""

    async def fail() -> None:
        raise ZeroDivisionError

    election = LeaderElection(leases=SharedLease(), clock=TurnedClock(), holder="one", times=TIMES)

    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5):
            await election.run(fail)
