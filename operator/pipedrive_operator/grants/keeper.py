"""The keeper of refresh tokens: one state at a time for each grant, in a task of its own outside the workers.

Whoever asks joins the state, is told its state at once, and is woken when that changes. The state is shared, never
the right: how it ended is for the identity under which it read and wrote; whoever has another one is woken, and reads
the grant under that in a state of its own before it uses it. What a state does is `protocol.py`.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

from pipedrive_operator.core.decision.retry import RetryBounds, retry_pause
from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.document import VaultIdentity, VaultLocation
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import EFFECTS, ConditionStatus, Reason
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    FenceClosed,
    PipedriveUnavailable,
    RefreshUncertain,
    Trouble,
    VaultUnavailable,
)
from pipedrive_operator.grants.protocol import RefreshProtocol
from pipedrive_operator.grants.values import RefreshOrder
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
        on_change: Callable[[frozenset[Key], refresh_state.RefreshState], None],
    ) -> None:
        """Take the protocol; `on_change` is told who waits for a grant, and its new state."""
        self._protocol = protocol
        self._clock = clock
        self._on_change = on_change
        self._states: dict[_Right, refresh_state.RefreshState] = {}
        self._failures: dict[_Right, int] = {}
        self._waiting: dict[VaultLocation, set[Key]] = {}
        self._tasks: dict[VaultLocation, asyncio.Task[None]] = {}
        self._askers: dict[_Right, frozenset[Key]] = {}
        """Who was told of a refresh that failed for want of Vault."""
        self._under_way: dict[VaultLocation, VaultIdentity] = {}
        """Under whose identity each task reads and writes."""

    def state(self, source: GrantWithClient, *, watcher: Key | None = None) -> refresh_state.RefreshState:
        """Return the state of a grant's refresh, at once; a watcher of one under way is told how it ends.

        Of one under way with another identity no more is told than that: the watcher must have read the grant itself.
        """
        location = source.location
        if location in self._tasks:
            if watcher is not None:
                self._waiting.setdefault(location, set()).add(watcher)
            if self._under_way[location] != source.identity:
                return refresh_state.Refreshing()
        return self._states.get(_right(source), refresh_state.IDLE)

    def is_anothers(self, source: GrantWithClient) -> bool:
        """Tell whether a refresh is under way with another identity."""
        return self._under_way.get(source.location, source.identity) != source.identity

    def in_escrow(self, source: GrantWithClient) -> bool:
        """Tell whether an earlier process has left something in escrow that was not looked at yet."""
        return self._protocol.in_escrow(source.location) and not isinstance(self.state(source), refresh_state.Fresh)

    def refresh(self, order: RefreshOrder) -> None:
        """Start a refresh, or join the one that is under way."""
        location = order.source.location
        self._waiting.setdefault(location, set()).add(order.requester)
        if location in self._tasks:
            return
        last = self.state(order.source)
        failed = last if isinstance(last, refresh_state.Refused | refresh_state.Unavailable) else None
        self._states[_right(order.source)] = refresh_state.Refreshing(last=failed)
        self._under_way[location] = order.source.identity
        task = asyncio.create_task(self._fly(order), name=f"refresh of {location}")
        self._tasks[location] = task
        task.add_done_callback(lambda done: self._landed(order, done))

    def forget(self, source: GrantWithClient) -> None:
        """Forget how the last refresh ended, because what it depended on has changed."""
        self._forget(_right(source))

    def forget_all(self) -> None:
        """Forget how all refreshes ended: another process may have led since."""
        for right in list(self._states):
            self._forget(right)

    def vault_returned(self, connection: str) -> frozenset[Key]:
        """Forget what failed for want of a Vault that serves again, and return whoever had asked."""
        lost = [
            right for right, state in self._states.items() if _wants_vault(state) and right[0].connection == connection
        ]
        for right in lost:
            self._forget(right)
        return frozenset(key for right in lost for key in self._askers.pop(right, frozenset()))

    def _forget(self, right: "_Right") -> None:
        if self._under_way.get(right[0]) != right[1]:
            self._states.pop(right, None)
            self._failures.pop(right, None)

    def begin_no_more(self) -> None:
        """Put off what has not been sent yet, as the process ends: an answer might come too late to be stored."""
        self._protocol.begin_no_more()

    async def drain(self) -> None:
        """Wait until nothing is under way any more: what was won is stored."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _fly(self, order: RefreshOrder) -> None:
        try:
            grant = await self._protocol.run(order, partial(self._tell, order))
        except Trouble as trouble:
            self._settle(order, self._failure(trouble, order))
        except (FenceClosed, ApiServerUnavailable) as error:
            self._settle(order, self._failure(PipedriveUnavailable(f"The refresh was put off: {error}"), order))
        else:
            self._failures.pop(_right(order.source), None)
            self._settle(order, refresh_state.Fresh(grant=grant))

    def _failure(self, trouble: Trouble, order: RefreshOrder) -> refresh_state.RefreshState:
        right, now = _right(order.source), self._clock.now()
        failures = self._failures[right] = self._failures.get(right, 0) + 1
        slow = order.poll if trouble.reason in _MENDED_IN_VAULT else order.slow
        bounds = RetryBounds(now=now, slow=slow, expires_at=order.expires_at)
        retry_at = now + retry_pause(trouble, failures, subject=str(order.source.location), bounds=bounds)
        if EFFECTS[trouble.reason].authorized is ConditionStatus.FALSE:
            return refresh_state.Refused(trouble=trouble, lineage=order.lineage, retry_at=retry_at)
        return refresh_state.Unavailable(trouble=trouble, retry_at=retry_at)

    def _landed(self, order: RefreshOrder, task: asyncio.Task[None]) -> None:
        """Clear the flight; one that ended by a defect is reported and left alone for a while."""
        location = order.source.location
        if self._tasks.get(location) is task:
            del self._tasks[location]
            del self._under_way[location]
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": f"the refresh of {location} stopped unexpectedly", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
            trouble = RefreshUncertain("The refresh stopped unexpectedly: the operator's log says where")
            retry_at = self._clock.now() + _CRASH_PAUSE
            self._settle(order, refresh_state.Unavailable(trouble=trouble, retry_at=retry_at))

    def _settle(self, order: RefreshOrder, state: refresh_state.RefreshState) -> None:
        """End a flight; whoever is told may ask for the next one at once, before this task has ended."""
        location = order.source.location
        self._tasks.pop(location, None)
        self._under_way.pop(location, None)
        self._tell(order, state)
        askers = frozenset(self._waiting.pop(location, ()))
        if _wants_vault(state):
            self._askers[_right(order.source)] = askers

    def _tell(self, order: RefreshOrder, state: refresh_state.RefreshState) -> None:
        self._states[_right(order.source)] = state
        self._on_change(frozenset(self._waiting.get(order.source.location, ())), state)


def _wants_vault(state: refresh_state.RefreshState) -> bool:
    return isinstance(state, refresh_state.Unavailable) and isinstance(state.trouble, VaultUnavailable)


_Right = tuple[VaultLocation, VaultIdentity]
"""A grant, and whose right to it."""


def _right(source: GrantWithClient) -> _Right:
    return source.location, source.identity
