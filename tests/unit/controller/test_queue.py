"""The work queue: who is handed out, when, and never twice at once."""

import asyncio
from datetime import timedelta

import pytest

from pipedrive_operator.controller.queue import Priority, WorkQueue
from pipedrive_operator.core.resource.names import Key
from support.turned_clock import TurnedClock

ONE, TWO, THREE = (Key(namespace="crm", name=name) for name in ("one", "two", "three"))


@pytest.fixture
def clock() -> TurnedClock:
    """Give a clock that a test turns."""
    return TurnedClock()


@pytest.fixture
def queue(clock: TurnedClock) -> WorkQueue:
    """Give an empty queue."""
    return WorkQueue(clock)


async def waiting(queue: WorkQueue) -> asyncio.Task[Key]:
    """Start to wait for a key, and see that there is none."""
    task = asyncio.create_task(queue.get())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_a_key_added_twice_is_handed_out_once(queue: WorkQueue) -> None:
    """The second wish is the same as the first."""
    queue.add(ONE)
    queue.add(ONE)

    assert ONE == await queue.get()
    (await waiting(queue)).cancel()


async def test_a_key_in_flight_is_not_handed_out_again(queue: WorkQueue) -> None:
    """Two workers never have the same key; a wish that came meanwhile is kept."""
    queue.add(ONE)
    await queue.get()
    queue.add(ONE)
    task = await waiting(queue)

    queue.done(ONE)

    assert ONE == await asyncio.wait_for(task, 5)


async def test_a_key_waits_for_its_time(queue: WorkQueue, clock: TurnedClock) -> None:
    """Not a moment earlier."""
    queue.add(ONE, delay=10)
    task = await waiting(queue)
    clock.turn(timedelta(seconds=9))
    await asyncio.sleep(0)
    assert not task.done()

    clock.turn(timedelta(seconds=1))

    assert ONE == await asyncio.wait_for(task, 5)


async def test_the_earlier_of_two_times_counts(queue: WorkQueue) -> None:
    """What is wanted now is not put off by what was planned."""
    queue.add(ONE, delay=10)
    queue.add(ONE)
    queue.add(ONE, delay=20)

    assert ONE == await queue.get()


async def test_the_urgent_go_before_the_routine(queue: WorkQueue) -> None:
    """Periodic looks wait for what is new or changed."""
    queue.add(ONE, priority=Priority.ROUTINE)
    queue.add(TWO, priority=Priority.URGENT)
    queue.add(THREE, priority=Priority.ROUTINE)
    queue.add(THREE, priority=Priority.URGENT)

    assert [TWO, THREE, ONE] == [await queue.get() for _ in range(3)]


async def test_a_waiting_worker_is_woken_by_something_new(queue: WorkQueue) -> None:
    """It need not wait for the time that it was waiting for."""
    queue.add(ONE, delay=100)
    task = await waiting(queue)

    queue.add(TWO)

    assert TWO == await asyncio.wait_for(task, 5)


async def test_depth_and_age_tell_of_what_is_due(queue: WorkQueue, clock: TurnedClock) -> None:
    """What is planned for later is not a backlog."""
    queue.add(ONE)
    queue.add(TWO, delay=100)
    clock.turn(timedelta(seconds=7))

    assert (1, 7.0) == (queue.depth, queue.oldest_age)
