"""What a replica does while it leads: look for what others have left in escrow, look at everything, and work."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from pipedrive_operator import metrics
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock

_PAUSE = 2.0
"""In seconds, between two tries to list the escrow."""

_log = get_logger(__name__)


class EscrowStore(Protocol):
    """Where escrow is kept."""

    async def load(self) -> list[str]:
        """List what is there, and return the grants of what others have left since. Raises ApiServerUnavailable."""


class LeaderWork:
    """The time for which a replica leads."""

    def __init__(
        self,
        *,
        controller: Controller,
        escrow: EscrowStore,
        on_escrow: Callable[[], None],
        cache: Cache,
        clock: Clock,
        workers: int,
        look_interval: timedelta,
    ) -> None:
        """Take the parts; `on_escrow` is called when something was found in escrow that was not there before."""
        self._controller = controller
        self._escrow = escrow
        self._on_escrow = on_escrow
        self._cache = cache
        self._clock = clock
        self._workers = workers
        self._look_interval = look_interval

    async def serve(self) -> None:
        """Work until cancelled. What is in escrow must be known before the first refresh."""
        while await self._left_in_escrow() is None:
            await self._clock.sleep(_PAUSE)
        self._controller.look_at(self._cache.keys)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._controller.work(self._workers), name="workers")
                group.create_task(self._look_again(), name="escrow")
        finally:
            metrics.tenure_ended()

    async def _look_again(self) -> None:
        """Find, now and then, what a replica that led before has left since it lost the Lease."""
        while True:
            await self._clock.sleep(self._look_interval.total_seconds())
            if await self._left_in_escrow():
                self._on_escrow()
                self._controller.look_at(self._cache.keys)

    async def _left_in_escrow(self) -> list[str] | None:
        try:
            left = await self._escrow.load()
        except ApiServerUnavailable as error:
            _log.warning("the escrow cannot be listed", error=str(error))
            return None
        for grant in left:
            _log.warning("a refreshed grant is in escrow", grant=grant)
        return left
