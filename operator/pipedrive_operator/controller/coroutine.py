"""Makes a coroutine of anything that can be awaited, because an asyncio task takes nothing else."""

from collections.abc import Awaitable, Callable


async def as_coroutine(work: Callable[[], Awaitable[None]]) -> None:
    """Await what `work` returns."""
    await work()
