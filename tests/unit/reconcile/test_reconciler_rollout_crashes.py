"""The reconciler and workloads: a crash at any write loses no restart, and leads to none twice."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from support.builders import API_TOKEN_SPEC, resource
from support.faked_operator import FakedOperator
from support.rolled_out import JOBS, WEB, published, put_token, revive, rollout, world_with_workloads


class Died(Exception):
    """The process ended."""


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a seeded world with two workloads."""
    async for made in world_with_workloads():
        yield made


async def change_and_die(world: FakedOperator, at: int, *, after: bool) -> int:
    """Replace the value, and let the process die before or after that write; return how many writes it made."""
    made = mortal(world, at, after=after)
    put_token(world, "b")
    try:
        await world.settle()
    except Died:
        revive(world)
    return made()


def mortal(world: FakedOperator, at: int, *, after: bool) -> Callable[[], int]:
    """Let the process die with its write of that number, in the cluster or in a workload."""
    count = 0

    def deadly(write: Callable[..., Any]) -> Callable[..., Any]:
        async def write_or_die(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            dies = count == at
            if dies and not after:
                raise Died
            answer = await write(*arguments)
            if dies:
                raise Died
            return answer

        return write_or_die

    for owner, names in (
        (world.cluster, ("create", "patch", "delete", "patch_status", "record_event")),
        (world.workloads, ("patch",)),
    ):
        for name in names:
            setattr(owner, name, deadly(getattr(owner, name)))
    return lambda: count


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
async def test_a_crash_at_any_write_loses_no_restart_and_makes_none_twice(
    world: FakedOperator, at: int, *, after: bool
) -> None:
    """The Secret, two workloads, the status: whichever was the last, each workload is restarted once in the end."""
    await published(world)

    await change_and_die(world, at, after=after)
    await world.settle()

    assert "b" * 40 == world.value("api_token")
    assert sorted([WEB.name, JOBS.name]) == sorted(one.name for one in world.workloads.restarts)


async def test_there_are_four_writes_to_crash_at(world: FakedOperator) -> None:
    """This proves that the test above covers all of them."""
    await published(world)

    assert 4 == await change_and_die(world, 0, after=False)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
async def test_a_crash_before_the_first_status_forgets_no_change(world: FakedOperator, at: int, *, after: bool) -> None:
    """Workloads may have read what was published first; the status notes it before it is overwritten."""
    world.cluster.apply(resource(API_TOKEN_SPEC | rollout()))
    mortal(world, 2, after=False)
    with pytest.raises(Died):
        await world.settle()
    revive(world)

    await change_and_die(world, at, after=after)
    await world.settle()

    assert "b" * 40 == world.value("api_token")
    assert sorted([WEB.name, JOBS.name]) == sorted(one.name for one in world.workloads.restarts)
