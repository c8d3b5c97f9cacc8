"""What a replica does while it leads: reconcile all credentials, and find grants that other replicas left in escrow."""

import asyncio
from datetime import timedelta
from typing import Final, Protocol

from pipedrive_operator import metrics
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.consents import ConsentController
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock

_RETRY_INTERVAL: Final = 2.0
"""Seconds between two attempts to list the escrow before the first pass."""

_log = get_logger(__name__)


class EscrowStore(Protocol):
    """The Secrets that hold the escrow."""

    async def load(self) -> list[str]:
        """List the escrow, and return the grants that were not known yet. Raises ApiServerUnavailable."""


class EndedRefreshes(Protocol):
    """What this process remembers of its refreshes."""

    def escrow_appeared(self) -> None:
        """End the pauses of the grants that the last list of the escrow has brought."""


class LeaderWork:
    """The work of a replica from the time it becomes the leader until it loses the Lease."""

    def __init__(
        self,
        *,
        controller: Controller,
        escrow: EscrowStore,
        refreshes: EndedRefreshes,
        cache: Cache,
        clock: Clock,
        workers: int,
        escrow_interval: timedelta,
        consents: ConsentController | None = None,
    ) -> None:
        """Use these parts; pauses of `refreshes` end when a grant appears in escrow while this replica leads."""
        self._consents = consents
        self._controller = controller
        self._escrow = escrow
        self._refreshes = refreshes
        self._cache = cache
        self._clock = clock
        self._workers = workers
        self._escrow_interval = escrow_interval

    async def run(self) -> None:
        """Work until cancelled. The escrow is loaded before the first refresh: it may hold a newer refresh token."""
        while await self._load_escrow() is None:
            await self._clock.sleep(_RETRY_INTERVAL)
        self._controller.enqueue_all(self._cache)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._controller.work(self._workers), name="workers")
                group.create_task(self._reload_escrow(), name="escrow")
                if self._consents is not None:
                    group.create_task(self._consents.work(), name="consents")
        finally:
            metrics.clear_leader_series()

    async def _reload_escrow(self) -> None:
        """Find, at each interval, what a former leader has put in escrow since it lost the Lease."""
        while True:
            await self._clock.sleep(self._escrow_interval.total_seconds())
            if await self._load_escrow():
                self._refreshes.escrow_appeared()
                self._controller.enqueue_all(self._cache)

    async def _load_escrow(self) -> list[str] | None:
        """Return the grants in escrow that were not known yet; None if the escrow cannot be listed."""
        try:
            found = await self._escrow.load()
        except ApiServerUnavailable as error:
            _log.warning("the escrow cannot be listed", error=str(error))
            return None
        for grant in found:
            _log.warning("a refreshed grant is in escrow", grant=grant)
        return found
