"""Limits how much is done at the same time, fairly between namespaces; `queue.py` decides whose turn it is.

A task says once for which namespace it works. Everything that it starts counts for that namespace too, so that no
signature between the worker and the connection has to name it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Final

from pipedrive_operator.fairness.queue import FairQueue

EVERYBODY: Final = ""
"""Stands for work that concerns everybody, such as the operator's own login. No namespace has this name."""
_served: Final[ContextVar[str]] = ContextVar("served", default=EVERYBODY)


def served_namespace() -> str:
    """Return the namespace for which the current task works, or `EVERYBODY`."""
    return _served.get()


@contextmanager
def serving(namespace: str) -> Iterator[None]:
    """Count the work in a `with` block, and in the tasks that it starts, for a namespace."""
    token = _served.set(namespace)
    try:
        yield
    finally:
        _served.reset(token)


class FairSlots:
    """A semaphore for which namespaces queue separately."""

    def __init__(self, slots: int) -> None:
        """Allow that many tasks at the same time. A namespace alone gets half of them."""
        self._queue = FairQueue[asyncio.Future[None]](slots)

    @asynccontextmanager
    async def slot(self, *parties: str) -> AsyncIterator[None]:
        """Hold a slot for the length of a `with` block, counted for the served namespace and for `parties`."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.put(turn, (served_namespace(), *parties))
        try:
            self._hand_out()
            await turn
            yield
        finally:
            self._queue.withdraw(turn)
            self._hand_out()

    def _hand_out(self) -> None:
        while (turn := self._queue.take()) is not None:
            if not turn.done():  # one whose task was cancelled is withdrawn as soon as the task runs
                turn.set_result(None)
