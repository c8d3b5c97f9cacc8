"""Slots that namespaces share: who holds them, what a cancelled task leaves, and for whom a task works."""

import asyncio

from pipedrive_operator.fairness.slots import EVERYBODY, FairSlots, served_namespace, serving


class Holders:
    """Tasks that hold slots until a test ends them."""

    def __init__(self, slots: int) -> None:
        """Start without tasks."""
        self._slots = FairSlots(slots)
        self._opened = asyncio.Event()
        self.holding: list[str] = []

    async def _hold(self) -> None:
        async with self._slots.slot():
            self.holding.append(served_namespace())
            await self._opened.wait()

    async def start(self, namespace: str, count: int = 1) -> list[asyncio.Task[None]]:
        """Let that many tasks of a namespace ask for a slot."""
        with serving(namespace):
            tasks = [asyncio.create_task(self._hold()) for _ in range(count)]
        for _ in range(5):
            await asyncio.sleep(0)
        return tasks

    def release(self) -> None:
        """End all tasks."""
        self._opened.set()


async def test_a_namespace_alone_holds_half_of_the_slots() -> None:
    """The next namespace finds a free one, and in the end everybody was served."""
    holders = Holders(8)
    hostile = await holders.start("hostile", 100)
    honest = await holders.start("honest")

    assert ["hostile"] * 4 + ["honest"] == holders.holding
    holders.release()
    await asyncio.gather(*hostile, *honest)
    assert 101 == len(holders.holding)


async def test_a_cancelled_task_leaves_no_slot_taken() -> None:
    """It may have held the slot, waited for it, or been about to get it."""
    holders = Holders(1)
    held, waiting, next_one = [*await holders.start("a"), *await holders.start("b"), *await holders.start("c")]

    waiting.cancel()
    held.cancel()
    await asyncio.gather(held, waiting, return_exceptions=True)
    holders.release()
    await asyncio.wait_for(next_one, 5)

    assert ["a", "c"] == holders.holding


async def test_a_task_that_is_cancelled_while_it_gets_a_slot_passes_it_on() -> None:
    """The slot was handed out, and the task has not run since."""
    holders = Holders(1)
    [held] = await holders.start("a")
    [lucky] = await holders.start("b")
    [next_one] = await holders.start("c")
    holders.release()
    await held

    lucky.cancel()
    await asyncio.wait_for(next_one, 5)

    assert "c" == holders.holding[-1]


async def test_tasks_work_for_the_namespace_that_started_them() -> None:
    """A refresh that a pass starts counts for the namespace of the pass."""

    async def namespace() -> str:
        return served_namespace()

    with serving("crm"):
        task = asyncio.create_task(namespace())

    assert ("crm", EVERYBODY) == (await task, served_namespace())
