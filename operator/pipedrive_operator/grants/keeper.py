"""The keeper of refresh tokens: one flight at a time for each grant, in a task of its own outside the workers.

Whoever asks joins the flight, is told its state at once, and is woken when that changes. What a flight does is
`protocol.py`.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

from pipedrive_operator.core import flight as flights
from pipedrive_operator.core.conditions import EFFECTS, ConditionStatus, Reason
from pipedrive_operator.core.credential import Key
from pipedrive_operator.core.errors import (
    ApiServerUnavailable,
    FenceClosed,
    PipedriveUnavailable,
    RefreshUncertain,
    Trouble,
)
from pipedrive_operator.core.retry import Patience, retry_pause
from pipedrive_operator.core.vault import VaultLocation
from pipedrive_operator.grants.order import RefreshOrder
from pipedrive_operator.grants.protocol import RefreshProtocol
from pipedrive_operator.ports import Clock

_MENDED_IN_VAULT: Final = {Reason.SOURCE_MISSING, Reason.VAULT_DENIED, Reason.CLIENT_REJECTED}
"""What a person mends in Vault, where we look at every poll; Pipedrive is not asked until something has changed."""

_CRASH_PAUSE: Final = timedelta(minutes=5)
"""How long a grant is left alone after a defect of ours: it may strike after the request was sent."""


class GrantKeeper:
    """Refreshes grants for whoever asks."""

    def __init__(
        self,
        *,
        protocol: RefreshProtocol,
        clock: Clock,
        on_change: Callable[[frozenset[Key], flights.Flight], None],
    ) -> None:
        """Take the protocol; `on_change` is told who waits for a grant, and its new state."""
        self._protocol = protocol
        self._clock = clock
        self._on_change = on_change
        self._flights: dict[VaultLocation, flights.Flight] = {}
        self._failures: dict[VaultLocation, int] = {}
        self._waiting: dict[VaultLocation, set[Key]] = {}
        self._tasks: dict[VaultLocation, asyncio.Task[None]] = {}

    def flight(self, location: VaultLocation, *, watcher: Key | None = None) -> flights.Flight:
        """Return the state of a grant's refresh, at once; a watcher of one under way is told how it ends."""
        if watcher is not None and location in self._tasks:
            self._waiting.setdefault(location, set()).add(watcher)
        return self._flights.get(location, flights.IDLE)

    def in_escrow(self, location: VaultLocation) -> bool:
        """Tell whether an earlier process has left something in escrow that was not looked at yet."""
        return self._protocol.in_escrow(location) and not isinstance(self.flight(location), flights.Fresh)

    def refresh(self, order: RefreshOrder) -> None:
        """Start a refresh, or join the one that is under way."""
        location = order.source.location
        self._waiting.setdefault(location, set()).add(order.requester)
        if location in self._tasks:
            return
        last = self.flight(location)
        failed = last if isinstance(last, flights.Refused | flights.Unavailable) else None
        self._flights[location] = flights.Refreshing(last=failed)
        task = asyncio.create_task(self._fly(order), name=f"refresh of {location}")
        self._tasks[location] = task
        task.add_done_callback(lambda done: self._landed(location, done))

    def forget(self, location: VaultLocation) -> None:
        """Forget how the last refresh ended, because what it depended on has changed."""
        if location not in self._tasks:
            self._flights.pop(location, None)
            self._failures.pop(location, None)

    def forget_all(self) -> None:
        """Forget how all refreshes ended: another process may have led since."""
        for location in list(self._flights):
            self.forget(location)

    async def drain(self) -> None:
        """Wait until nothing is under way any more: what was won is stored."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _fly(self, order: RefreshOrder) -> None:
        location = order.source.location
        try:
            grant = await self._protocol.run(order, partial(self._tell, location))
        except Trouble as trouble:
            self._settle(location, self._failure(trouble, order))
        except (FenceClosed, ApiServerUnavailable) as error:
            self._settle(location, self._failure(PipedriveUnavailable(f"The refresh was put off: {error}"), order))
        else:
            self._failures.pop(location, None)
            self._settle(location, flights.Fresh(grant=grant))

    def _failure(self, trouble: Trouble, order: RefreshOrder) -> flights.Flight:
        location, now = order.source.location, self._clock.now()
        failures = self._failures[location] = self._failures.get(location, 0) + 1
        slow = order.poll if trouble.reason in _MENDED_IN_VAULT else order.slow
        patience = Patience(now=now, slow=slow, expires_at=order.expires_at)
        retry_at = now + retry_pause(trouble, failures, subject=str(location), patience=patience)
        if EFFECTS[trouble.reason].authorized is ConditionStatus.FALSE:
            return flights.Refused(trouble=trouble, lineage=order.lineage, retry_at=retry_at)
        return flights.Unavailable(trouble=trouble, retry_at=retry_at)

    def _landed(self, location: VaultLocation, task: asyncio.Task[None]) -> None:
        """Clear the flight; one that ended by a defect is reported and left alone for a while."""
        if self._tasks.get(location) is task:
            del self._tasks[location]
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": f"the refresh of {location} stopped unexpectedly", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
            trouble = RefreshUncertain("The refresh stopped unexpectedly: the operator's log says where")
            retry_at = self._clock.now() + _CRASH_PAUSE
            self._settle(location, flights.Unavailable(trouble=trouble, retry_at=retry_at))

    def _settle(self, location: VaultLocation, flight: flights.Flight) -> None:
        """End a flight; whoever is told may ask for the next one at once, before this task has ended."""
        self._tasks.pop(location, None)
        self._tell(location, flight)
        self._waiting.pop(location, None)

    def _tell(self, location: VaultLocation, flight: flights.Flight) -> None:
        self._flights[location] = flight
        self._on_change(frozenset(self._waiting.get(location, ())), flight)
