"""The work queue: which key is handed out when, and never to two workers at once."""

import asyncio
from datetime import timedelta

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.controller.queue import WorkQueue
from pipedrive_operator.core.resource.names import Key

ONE, TWO = (Key(namespace="crm", name=name) for name in ("one", "two"))


@pytest.fixture
def clock() -> TurnedClock:
    """Return a clock that the test turns."""
    return TurnedClock()


@pytest.fixture
def queue(clock: TurnedClock) -> WorkQueue:
    """Return an empty queue."""
    return WorkQueue(clock)


async def waiting(queue: WorkQueue) -> asyncio.Task[Key]:
    """Wait for a key in a task, and check that none is handed out yet."""
    task = asyncio.create_task(queue.get())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def test_a_key_added_twice_is_handed_out_once(queue: WorkQueue) -> None:
    """Two requests for the same key are one."""
    queue.add(ONE)
    queue.add(ONE)

    assert ONE == await queue.get()
    (await waiting(queue)).cancel()


async def test_a_key_in_progress_is_not_handed_out_again(queue: WorkQueue) -> None:
    """A request in the meantime is kept until the pass is done."""
    queue.add(ONE)
    await queue.get()
    queue.add(ONE)
    task = await waiting(queue)

    queue.done(ONE)

    assert ONE == await asyncio.wait_for(task, 5)


async def test_a_key_is_handed_out_when_it_is_due(queue: WorkQueue, clock: TurnedClock) -> None:
    """It is not handed out earlier."""
    queue.add(ONE, delay=10)
    task = await waiting(queue)
    clock.turn(timedelta(seconds=9))
    await asyncio.sleep(0)
    assert not task.done()

    clock.turn(timedelta(seconds=1))

    assert ONE == await asyncio.wait_for(task, 5)


async def test_the_earlier_of_two_times_applies(queue: WorkQueue) -> None:
    """A scheduled pass does not delay an immediate one."""
    queue.add(ONE, delay=10)
    queue.add(ONE)
    queue.add(ONE, delay=20)

    assert ONE == await queue.get()


async def test_a_returned_key_lets_a_waiting_worker_go_on(clock: TurnedClock) -> None:
    """With two workers, a namespace occupies one of them at most."""
    queue = WorkQueue(clock, workers=2)
    queue.add(ONE)
    queue.add(TWO)
    await queue.get()
    task = await waiting(queue)

    queue.done(ONE)

    assert TWO == await asyncio.wait_for(task, 5)


async def test_a_new_key_wakes_a_waiting_worker(queue: WorkQueue) -> None:
    """The worker may be waiting for a key that is due later."""
    queue.add(ONE, delay=100)
    task = await waiting(queue)

    queue.add(TWO)

    assert TWO == await asyncio.wait_for(task, 5)


async def test_depth_and_age_count_only_keys_that_are_due(queue: WorkQueue, clock: TurnedClock) -> None:
    """A key that is due later is not a backlog."""
    queue.add(ONE)
    queue.add(TWO, delay=100)
    clock.turn(timedelta(seconds=7))

    assert (1, 7.0) == (queue.depth, queue.oldest_age)


async def test_a_new_key_is_handed_out_in_the_next_turn_of_the_loop(queue: WorkQueue) -> None:
    """Under the load of another namespace each turn takes long, and a Secret waits for its repair."""
    queue.add(ONE, delay=100)
    task = await waiting(queue)

    queue.add(TWO)
    await asyncio.sleep(0)

    assert task.done()


async def test_a_worker_that_is_cancelled_with_a_key_gives_it_back(queue: WorkQueue) -> None:
    """The Lease may be lost in this moment; the key would otherwise never be handed out again."""
    task = await waiting(queue)
    queue.add(ONE)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert ONE == await asyncio.wait_for(queue.get(), 5)


async def test_a_cancelled_worker_gets_no_key(queue: WorkQueue) -> None:
    """It is cancelled, and has not run since."""
    task = await waiting(queue)
    task.cancel()
    queue.add(ONE)
    await asyncio.gather(task, return_exceptions=True)

    assert ONE == await asyncio.wait_for(queue.get(), 5)


async def test_an_earlier_key_moves_the_alarm(queue: WorkQueue, clock: TurnedClock) -> None:
    """The queue sleeps until the key that is due next."""
    queue.add(ONE, delay=100)
    task = await waiting(queue)
    queue.add(TWO, delay=10)
    await asyncio.sleep(0)

    clock.turn(timedelta(seconds=10))

    assert TWO == await asyncio.wait_for(task, 5)
