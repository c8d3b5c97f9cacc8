"""The loop of the simulation: what it refuses, and what a crash and a stop mean."""

import asyncio

import pytest

from simulation.loop import Process, SeededLoop, run


def _run(work: object, seed: int = 0) -> list[str]:
    defects: list[str] = []
    run(seed, work, on_defect=defects.append)  # type: ignore[arg-type]
    return defects


def _loop() -> SeededLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SeededLoop)
    return loop


def test_an_hour_passes_at_once() -> None:
    """Time is turned to the next timer."""
    times: list[float] = []

    async def wait() -> None:
        await asyncio.sleep(3600)
        times.append(_loop().time())

    _run(wait())

    assert times == [3600]


def test_threads_are_refused() -> None:
    """A thread would be neither virtual nor seeded."""

    async def think() -> None:
        await asyncio.to_thread(lambda: None)

    with pytest.raises(RuntimeError, match="no threads"):
        _run(think())


def test_the_seed_decides_the_order() -> None:
    """The same seed gives the same order, and some other seed gives another."""

    def order(seed: int) -> list[int]:
        seen: list[int] = []

        async def see(number: int) -> None:
            seen.append(number)

        async def start() -> None:
            await asyncio.gather(*(see(number) for number in range(8)))

        _run(start(), seed)
        return seen

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_a_crash_runs_no_clean_up() -> None:
    """A machine that loses its power runs no `finally`."""
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(2)
            seen.append("done")
        finally:
            seen.append("cleaned up")

    async def play() -> None:
        process = Process("doomed")
        _loop().spawn(process, work())
        await asyncio.sleep(1)
        _loop().crash(process)
        await asyncio.sleep(5)
        assert seen == []

    _run(play())


def test_a_stopped_process_can_resume() -> None:
    """Callbacks that were due while it was stopped run when it resumes."""
    seen: list[float] = []

    async def work() -> None:
        await asyncio.sleep(2)
        seen.append(_loop().time())

    async def play() -> None:
        process = Process("slow")
        _loop().spawn(process, work())
        await asyncio.sleep(1)
        process.freeze()
        await asyncio.sleep(10)
        assert seen == []
        _loop().thaw(process)
        await asyncio.sleep(1)

    _run(play())

    assert seen == [11]
