"""What a replica does while it leads: look for what former processes left in escrow, look at everything, and work."""

from typing import Protocol

from pipedrive_operator import metrics
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.core.errors import ApiServerUnavailable
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock

_PAUSE = 2.0
"""In seconds, between two tries to list the escrow."""

_log = get_logger(__name__)


class EscrowStore(Protocol):
    """Where escrow is kept."""

    async def load(self) -> list[str]:
        """List what former processes have left, and return the grants it is for. Raises ApiServerUnavailable."""


class Tenure:
    """The time for which a replica leads."""

    def __init__(
        self, *, controller: Controller, escrow: EscrowStore, cache: Cache, clock: Clock, workers: int
    ) -> None:
        """Take the parts."""
        self._controller = controller
        self._escrow = escrow
        self._cache = cache
        self._clock = clock
        self._workers = workers

    async def serve(self) -> None:
        """Work until cancelled. What is in escrow must be known before the first refresh."""
        while not await self._escrow_is_known():
            await self._clock.sleep(_PAUSE)
        self._controller.look_at(self._cache.keys)
        try:
            await self._controller.work(self._workers)
        finally:
            metrics.tenure_ended()

    async def _escrow_is_known(self) -> bool:
        try:
            left = await self._escrow.load()
        except ApiServerUnavailable as error:
            _log.warning("the escrow cannot be listed", error=str(error))
            return False
        for grant in left:
            _log.warning("a refreshed grant is in escrow", grant=grant)
        return True
