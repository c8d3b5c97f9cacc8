"""Leader election on a turned clock: which replica leads, for how long, and which one takes over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.config.settings import LEASE_PER_TIMEOUT
from pipedrive_operator.controller.leadership import LeaderElection, LeaseTimes, lease_times
from pipedrive_operator.core.values.errors import ApiServerUnavailable, LeaseChanged, OperatorError
from pipedrive_operator.core.values.lease import Lease

TIMES = LeaseTimes()


@dataclass
class SharedLease:
    """The Lease as the API server stores it."""

    lease: Lease | None = None
    version: int = 0
    error: OperatorError | None = None
    """Raised by every call, if set."""
    writes: int = 0

    async def read(self) -> Lease | None:
        """Return the Lease."""
        if self.error is not None:
            raise self.error
        return self.lease

    async def write(self, lease: Lease) -> None:
        """Replace the Lease that was read."""
        if self.error is not None:
            raise self.error
        if lease.resource_version != (self.lease.resource_version if self.lease else None):
            raise LeaseChanged("another replica was faster")
        self.version += 1
        self.writes += 1
        self.lease = replace(lease, resource_version=str(self.version))


class Replica:
    """A process that takes part in the election."""

    def __init__(self, name: str, shared: SharedLease, clock: TurnedClock) -> None:
        """Start the election."""
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
        """Kill the process: the Lease is not released."""
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture
async def replicas() -> AsyncIterator[list[Replica]]:
    """Collect the replicas that a test starts, and stop them at the end."""
    made: list[Replica] = []
    yield made
    for replica in made:
        await replica.stop()


async def settle(clock: TurnedClock, seconds: float = 0) -> None:
    """Advance the clock in steps of a second, and let the tasks run after each."""
    for step in range(int(seconds) + 1):
        clock.turn(timedelta(seconds=min(1, step)))
        for _ in range(20):
            await asyncio.sleep(0)


async def test_one_of_two_replicas_leads(replicas: list[Replica]) -> None:
    """The other one is a standby."""
    clock, shared = TurnedClock(), SharedLease()
    replicas += [Replica("one", shared, clock), Replica("two", shared, clock)]

    await settle(clock, 100)

    assert [True, False] == [replica.works for replica in replicas]
    assert replicas[0].election.remaining() > 0 >= replicas[1].election.remaining()


async def test_a_standby_takes_over_when_the_lease_of_a_killed_leader_expires(replicas: list[Replica]) -> None:
    """It waits until it has seen the Lease unchanged for its whole duration."""
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


async def test_a_leader_that_cannot_renew_stops_before_another_can_start(replicas: list[Replica]) -> None:
    """Its own leadership ends before the Lease expires."""
    clock, shared = TurnedClock(), SharedLease()
    replicas.append(Replica("one", shared, clock))
    await settle(clock, 10)
    shared.error = ApiServerUnavailable("connection refused")

    await settle(clock, 20)
    assert replicas[0].works
    await settle(clock, 8)

    assert not replicas[0].works
    assert replicas[0].election.remaining() <= 0


async def test_two_missed_renewals_leave_time_for_a_refresh(replicas: list[Replica]) -> None:
    """Until the third attempt, the leader leads for longer than the longest time-out that the settings accept."""
    clock, shared = TurnedClock(), SharedLease()
    replicas.append(Replica("one", shared, clock))
    await settle(clock, TIMES.lease_duration.total_seconds())
    longest_timeout = TIMES.lease_duration / LEASE_PER_TIMEOUT
    shared.error = ApiServerUnavailable("connection refused")

    await settle(clock, 3 * TIMES.retry_period.total_seconds())

    assert replicas[0].election.remaining() > longest_timeout.total_seconds()


def test_the_times_of_an_election_follow_from_the_duration_of_the_lease() -> None:
    """The default times are those of the default duration."""
    assert TIMES == lease_times(TIMES.lease_duration)


async def test_a_leader_resumes_when_the_api_server_is_back(replicas: list[Replica]) -> None:
    """Its work is started again."""
    clock, shared = TurnedClock(), SharedLease()
    replicas.append(Replica("one", shared, clock))
    await settle(clock, 5)
    shared.error = ApiServerUnavailable("connection refused")
    await settle(clock, 40)
    shared.error = None

    await settle(clock, 5)

    assert replicas[0].works
    assert 2 == replicas[0].starts


async def test_a_released_lease_is_acquired_at_once(replicas: list[Replica]) -> None:
    """This happens at the next attempt, rather than after the whole duration."""
    clock, shared = TurnedClock(), SharedLease()
    replicas += [Replica("one", shared, clock), Replica("two", shared, clock)]
    await settle(clock, 10)
    await replicas[0].stop()

    await replicas[0].election.renew_until(asyncio.sleep(0))
    await settle(clock, 4)

    assert replicas[1].works


async def test_the_lease_of_another_replica_is_not_released(replicas: list[Replica]) -> None:
    """A former leader ends after another one has taken over."""
    clock, shared = TurnedClock(), SharedLease()
    replicas += [Replica("one", shared, clock)]
    await settle(clock, 10)
    assert shared.lease is not None
    shared.version += 1
    shared.lease = replace(shared.lease, holder="two", transitions=7, resource_version=str(shared.version))
    await replicas[0].stop()

    await replicas[0].election.renew_until(asyncio.sleep(0))

    assert shared.lease.holder == "two"


async def test_a_leader_that_stood_still_while_another_led_begins_anew(replicas: list[Replica]) -> None:
    """Its work knows nothing of what the other one did, and ends before the Lease is acquired again."""
    clock, shared = TurnedClock(), SharedLease()
    replicas += [Replica("one", shared, clock)]
    await settle(clock, 10)
    assert replicas[0].works
    assert shared.lease is not None
    shared.version += 1
    shared.lease = replace(shared.lease, holder="", transitions=7, resource_version=str(shared.version))
    clock.turn(timedelta(minutes=2))

    worked: list[bool] = []
    write = shared.write

    async def note_and_write(lease: Lease) -> None:
        worked.append(replicas[0].works)
        await write(lease)

    shared.write = note_and_write  # type: ignore[method-assign]

    await settle(clock, 5)

    assert [False] == worked[:1]
    assert replicas[0].works
    assert 2 == replicas[0].starts


async def test_the_lease_is_renewed_until_the_last_task_has_finished(replicas: list[Replica]) -> None:
    """No other replica starts before a refreshed grant is stored."""
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


async def test_an_error_of_the_work_ends_the_election() -> None:
    """It is raised to the caller."""

    async def fail() -> None:
        raise ZeroDivisionError

    election = LeaderElection(leases=SharedLease(), clock=TurnedClock(), holder="one", times=TIMES)

    with pytest.raises(ZeroDivisionError):
        async with asyncio.timeout(5):
            await election.run(fail)


@dataclass
class SlowLink(SharedLease):
    """The link of a replica to a shared Lease."""

    shared: SharedLease = field(default_factory=SharedLease)
    clock: TurnedClock = field(default_factory=TurnedClock)
    delay: float = 0.0
    """In seconds: how long a request is on its way."""

    async def read(self) -> Lease | None:
        """Return the Lease as it is when the request arrives."""
        if self.error is not None:
            raise self.error
        if self.delay:
            await self.clock.sleep(self.delay)
        return await self.shared.read()

    async def write(self, lease: Lease) -> None:
        """Replace the Lease."""
        await self.shared.write(lease)


async def test_a_standby_counts_from_when_it_got_the_lease_and_not_from_when_it_asked(replicas: list[Replica]) -> None:
    """The leader has renewed it in between, and still leads when a count from before is over."""
    clock, shared = TurnedClock(), SharedLease()
    leader, standby = (SlowLink(shared=shared, clock=clock) for _ in range(2))
    replicas.append(Replica("one", leader, clock))
    await pass_time(clock, 0.3)
    standby.delay = 5.8
    replicas.append(Replica("two", standby, clock))
    await pass_time(clock, 6)
    assert 3 == shared.writes
    leader.error, standby.delay = ApiServerUnavailable("cut off"), 0.1

    await pass_time(clock, 29)
    assert not replicas[1].works
    await pass_time(clock, 4)

    assert replicas[1].works


async def pass_time(clock: TurnedClock, seconds: float) -> None:
    """Advance the clock in steps of a tenth of a second, and let the tasks run after each."""
    for _ in range(round(seconds * 10)):
        clock.turn(timedelta(seconds=0.1))
        for _ in range(20):
            await asyncio.sleep(0)
