"""The keeper of refresh tokens: runs one refresh at a time per grant, each in its own task outside the workers.

A credential that orders a refresh joins the one in progress, gets its state at once, and is woken when the state
changes. Credentials share a refresh but not the right to its result: that belongs to the Vault identity that read and
wrote the grant. A credential with another identity is woken too, and then reads the grant with its own identity, in
a refresh of its own. The steps of a refresh are in `protocol.py`.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

from pipedrive_operator.core.decision.retry import RetryBounds, retry_pause
from pipedrive_operator.core.decision.sources import GrantWithClient, Source
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import EFFECTS, ConditionStatus, Reason
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    FenceClosed,
    PipedriveUnavailable,
    RefreshUncertain,
    TokenResponseUnusable,
    Trouble,
    VaultUnavailable,
)
from pipedrive_operator.grants.exchange import Claim, CodeExchange
from pipedrive_operator.grants.protocol import RefreshProtocol
from pipedrive_operator.grants.turns import Turns
from pipedrive_operator.grants.unexpected import FAILED_UNEXPECTEDLY
from pipedrive_operator.grants.values import Exchanged, ExchangeOrder, HeldGrant, RefreshOrder
from pipedrive_operator.ports import Clock

_FIXED_IN_VAULT: Final = {Reason.SOURCE_MISSING, Reason.VAULT_DENIED, Reason.CLIENT_REJECTED, Reason.INVALID_SPEC}
"""What a person fixes in Vault, which is read at every poll. Pipedrive is not called until something has changed."""

_CRASH_PAUSE: Final = timedelta(minutes=5)
"""The pause after an unexpected error, since the request may have been sent before it."""

_ESCROW_PAUSE: Final = timedelta(minutes=1)
"""The first pause before another refresh looks at an escrow that the last one did not delete."""
_MOST_DOUBLINGS: Final = 6
"""How often that pause doubles, to about an hour: each attempt may refresh the grant."""


_FAILED: Final = refresh_state.Refused | refresh_state.Unavailable
"""The states of a refresh that has failed."""

EndT = TypeVar("EndT", bound=Exchanged | None)
"""How an exchange ended."""


class GrantKeeper:
    """Refreshes grants for credentials."""

    def __init__(
        self,
        *,
        protocol: RefreshProtocol,
        exchange: CodeExchange | None = None,
        clock: Clock,
        on_change: Callable[[frozenset[Key], refresh_state.RefreshState], None],
    ) -> None:
        """Take the protocol; `on_change` receives the credentials that wait for a grant, and its new state."""
        self._protocol = protocol
        self._turns = Turns(clock)
        self._exchange = exchange or CodeExchange(protocol.parts)
        self._clock = clock
        self._on_change = on_change
        self._states: dict[_Access, refresh_state.RefreshState] = {}
        self._failures: dict[_Access, int] = {}
        self._leftovers: dict[VaultLocation, int] = {}
        """How many refreshes in a row have succeeded and left an escrow, whichever identity has made them."""
        self._paused_until: dict[_Access, float] = {}
        """The end of the pause after a failure, on our monotonic clock: the wall clock may be turned meanwhile."""
        self._settled_until: dict[VaultLocation, float] = {}
        """The end of the pause after a success, in which what is left in escrow counts as settled."""
        self._waiting: dict[VaultLocation, set[Key]] = {}
        self._tasks: dict[VaultLocation, asyncio.Task[Any]] = {}
        self._waiting_for_vault: dict[_Access, frozenset[Key]] = {}
        """The credentials whose refresh failed because Vault was unavailable."""
        self._in_progress: dict[VaultLocation, VaultIdentity] = {}
        """The identity with which each task reads and writes."""
        self._in_exchange: set[VaultLocation] = set()
        """The grants whose task is an exchange, which leaves the state of their refreshes as it is."""
        self._unused: set[_Access] = set()
        """What is forgotten when its refresh ends, because no credential uses it any more."""

    def state(self, source: GrantWithClient, *, watcher: Key | None = None) -> refresh_state.RefreshState:
        """Return the current state of a grant's refresh; a watcher is woken when a refresh in progress ends.

        Of a refresh with another identity only that it is in progress is returned.
        """
        location = source.location
        if location in self._tasks:
            if watcher is not None:
                self._waiting.setdefault(location, set()).add(watcher)
            if self._in_progress[location] != source.identity:
                return refresh_state.Refreshing()
        state = self._states.get(_access(source), refresh_state.IDLE)
        if location in self._in_exchange:
            return refresh_state.Refreshing(last=state if isinstance(state, _FAILED) else None)
        if isinstance(state, _FAILED):
            return replace(state, retry_at=self._retry_at(_access(source)))
        return state

    def _retry_at(self, access: "_Access") -> datetime:
        """Return when a pause ends, as the wall clock shows it now."""
        return self._clock.now() + timedelta(seconds=self._paused_until[access] - self._clock.monotonic())

    def is_refreshed_by_another(self, source: GrantWithClient) -> bool:
        """Return whether a refresh with another identity is in progress."""
        return self._in_progress.get(source.location, source.identity) != source.identity

    def has_escrow(self, source: GrantWithClient) -> bool:
        """Return whether there is a grant in escrow that is due to be settled.

        A refresh settles it. It is left there if it cannot be deleted, or if the answer came after the intent was over.
        """
        return self._protocol.has_escrow(source.location) and not self._is_settled(source.location)

    def _is_settled(self, location: VaultLocation) -> bool:
        """Return whether what is in escrow is left there until the pause after the last refresh is over."""
        return self._clock.monotonic() < self._settled_until.get(location, 0.0)

    def refresh(self, order: RefreshOrder) -> None:
        """Start a refresh, or join the one in progress."""
        location = order.source.location
        self._waiting.setdefault(location, set()).add(order.requester)
        self._unused.discard(_access(order.source))
        if location in self._tasks:
            return
        order = replace(self._about_unresolved(order), leaves_escrow=self._is_settled(location))
        self._states[_access(order.source)] = refresh_state.Refreshing(
            last=_last_failure(self.state(order.source), order)
        )
        self._in_progress[location] = order.source.identity
        task = asyncio.create_task(self._run(order), name=f"refresh of {location}")
        self._tasks[location] = task
        task.add_done_callback(lambda done: self._clean_up(order, done))

    def _about_unresolved(self, order: RefreshOrder) -> RefreshOrder:
        """Return an order that includes a refresh which was unanswered, or requested and not made.

        It is about the access token that Vault held then, which a credential that orders now may not have read yet.
        """
        match self._states.get(_access(order.source)):
            case refresh_state.Unavailable(is_unresolved=True) as last if not order.is_requested:
                return replace(order, replaces=last.access_digest, access_digest=last.access_digest)
            case _:
                return order

    async def exchange(self, order: ExchangeOrder, claim: Claim) -> Exchanged | None:
        """Exchange a code when no refresh of the grant is in progress. Returns and raises what `CodeExchange.run` does.

        An attempt goes on if the caller is cancelled: its result exists only in this process.
        """
        if (refused := await self._exchange.refused(order)) is not None:
            return refused
        return await self._exchange.run(order, claim, in_turn=partial(self._exclusively, order.source))

    async def conclude(self, order: ExchangeOrder) -> Exchanged:
        """Find the outcome of a code that may have been sent. Raises what `CodeExchange.conclude` raises.

        The grant must be readable, before others have to wait: a credential may have been edited to name another one.
        """
        await self._exchange.require_readable(order)
        return await self._exclusively(order.source, lambda: self._exchange.conclude(order))

    async def read_client(self, source: GrantWithClient) -> ClientCredentials:
        """Return the client of a grant. Raises what `GrantDocuments.read_client` raises."""
        return await self._exchange.read_client(source)

    def note_read(self, source: Source, document: Document | None) -> bool:
        """Note a version that a credential has read: no refresh may use an older one.

        Returns False if a server of Vault lags, and the version is older than one that this process knows.
        """
        return self._protocol.parts.documents.note(source.location, document)

    def forget(self, source: GrantWithClient) -> None:
        """Forget how the last refresh ended, because its preconditions have changed."""
        self._forget(_access(source))

    def release(self, source: GrantWithClient) -> None:
        """Forget a grant that no credential uses any more, at the latest when its refresh has ended."""
        access = _access(source)
        if self._is_refreshing(access):
            self._unused.add(access)
        self._forget(access)
        self._waiting_for_vault.pop(access, None)

    def forget_all(self) -> None:
        """Forget how all refreshes ended: another process may have led since."""
        for access in list(self._states):
            self._forget(access)
        self._leftovers.clear()
        self._settled_until.clear()

    def escrow_appeared(self) -> None:
        """End the pauses of the grants that the last list of the escrow has brought: the copy may solve the failure.

        Those of all other grants go on. How the last refresh failed is not forgotten: the copy may be of what Vault
        holds, and a grant that was refused must not count as accepted because of it.
        """
        for access, state in self._states.items():
            if isinstance(state, _FAILED) and self._protocol.appeared_in_escrow(access[0]):
                self._paused_until[access] = self._clock.monotonic()
        for location in [one for one in self._settled_until if self._protocol.appeared_in_escrow(one)]:
            del self._settled_until[location]
            self._leftovers.pop(location, None)

    def vault_returned(self, connection: str) -> frozenset[Key]:
        """Forget the refreshes that failed because this Vault was unavailable, and return their credentials."""
        failed = [
            access
            for access, state in self._states.items()
            if _needs_vault(state) and access[0].connection == connection
        ]
        for access in failed:
            self._end_pause(access)
        return frozenset(key for access in failed for key in self._waiting_for_vault.pop(access, frozenset()))

    def _end_pause(self, access: "_Access") -> None:
        """End the pause after a failure, which is forgotten unless the refresh was requested, and has to be made."""
        state = self._states[access]
        if isinstance(state, refresh_state.Unavailable) and state.was_requested:
            self._paused_until[access] = self._clock.monotonic()
        else:
            self._forget(access)

    def _forget(self, access: "_Access") -> None:
        if not self._is_refreshing(access):
            self._states.pop(access, None)
            self._failures.pop(access, None)
            self._paused_until.pop(access, None)

    def _is_refreshing(self, access: "_Access") -> bool:
        location, identity = access
        return self._in_progress.get(location) == identity and location not in self._in_exchange

    def stop_sending(self) -> None:
        """Send nothing more, because the process is shutting down: a result might arrive too late to be stored."""
        self._protocol.stop_sending()

    async def drain(self) -> None:
        """Wait until no refresh is in progress, so that every result is stored."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _exclusively(self, source: GrantWithClient, work: Callable[[], Coroutine[Any, Any, EndT]]) -> EndT:
        """Do work on a grant in a task of its own, one at a time; credentials that order a refresh meanwhile wait."""
        location = source.location
        while (running := self._tasks.get(location)) is not None:
            await asyncio.wait({running})
        self._in_progress[location] = source.identity
        self._in_exchange.add(location)
        task = asyncio.create_task(work(), name=f"consent for {location}")
        self._tasks[location] = task
        task.add_done_callback(lambda done: self._end_exchange(source, done))
        return await asyncio.shield(task)

    def _end_exchange(self, source: GrantWithClient, task: asyncio.Task[EndT]) -> None:
        """Let those that waited read Vault again. After a new grant, it may have changed why refreshes failed."""
        location = source.location
        del self._tasks[location], self._in_progress[location]
        self._in_exchange.discard(location)
        # The caller may have been cancelled, and then nobody else retrieves the exception.
        found = task.result() if not task.cancelled() and task.exception() is None else None
        if found is not None and found.reason is ConsentReason.CONNECTED:
            for access in [access for access in self._states if access[0] == location]:
                self._forget(access)
        self._on_change(frozenset(self._waiting.pop(location, ())), refresh_state.IDLE)

    async def _run(self, order: RefreshOrder) -> None:
        try:
            held = await self._protocol.run(order, partial(self._report, order))
        except Trouble as trouble:
            if isinstance(trouble, TokenResponseUnusable):  # the grant is refreshed nevertheless
                self._note_settled(order.source.location)
            self._end(order, self._failed(trouble, order))
        except (FenceClosed, ApiServerUnavailable) as error:
            self._end(order, self._failed(PipedriveUnavailable(f"The refresh was postponed: {error}"), order))
        else:
            self._end(order, self._succeeded(held, order))

    def _succeeded(self, held: HeldGrant, order: RefreshOrder) -> refresh_state.RefreshState:
        self._failures.pop(_access(order.source), None)
        if not order.leaves_escrow:
            self._note_settled(order.source.location)
        return refresh_state.Fresh(grant=held.grant, asked_at=held.asked_at, at=held.at, version=held.version)

    def _note_settled(self, location: VaultLocation) -> None:
        """Note a refresh; if an escrow is still there, count it, so that the pauses between attempts grow."""
        leftovers = self._leftovers.pop(location, 0)
        self._settled_until.pop(location, None)
        if self._protocol.has_escrow(location):
            self._leftovers[location] = leftovers + 1
            pause = _ESCROW_PAUSE * int(2 ** min(leftovers, _MOST_DOUBLINGS))
            self._settled_until[location] = self._clock.monotonic() + pause.total_seconds()

    def _failed(self, trouble: Trouble, order: RefreshOrder) -> refresh_state.RefreshState:
        access, now = _access(order.source), self._clock.now()
        failures = self._failures[access] = self._failures.get(access, 0) + 1
        slow = order.poll if trouble.reason in _FIXED_IN_VAULT else order.slow
        turn = self._turns.after(trouble, order.source.location.connection)
        bounds = RetryBounds(now=now, slow=slow, expires_at=order.expires_at, turn=turn)
        wanted = retry_pause(trouble, failures, subject=str(order.source.location), bounds=bounds)
        retry_at, digest = self._pause(access, wanted), order.access_digest
        if EFFECTS[trouble.reason].authorized is ConditionStatus.FALSE:
            return refresh_state.Refused(
                trouble=trouble.as_value(), lineage=order.lineage, access_digest=digest, retry_at=retry_at
            )
        return refresh_state.Unavailable(
            trouble=trouble.as_value(),
            access_digest=digest,
            retry_at=retry_at,
            was_requested=self._was_requested(order),
        )

    def _was_requested(self, order: RefreshOrder) -> bool:
        """Return whether somebody asked for this refresh, or one before it, of the same access token, is unresolved."""
        match self._states.get(_access(order.source)):
            case refresh_state.Refreshing(
                last=refresh_state.Refused() | refresh_state.Unavailable(is_unresolved=True) as last
            ):
                return order.is_requested or last.access_digest == order.access_digest
            case _:
                return order.is_requested

    def _pause(self, access: "_Access", wanted: timedelta) -> datetime:
        self._paused_until[access] = self._clock.monotonic() + wanted.total_seconds()
        return self._clock.now() + wanted

    def _clean_up(self, order: RefreshOrder, task: asyncio.Task[None]) -> None:
        """Remove a task that has ended; after an unexpected error, report it and pause the grant."""
        location = order.source.location
        if self._tasks.get(location) is task:
            del self._tasks[location]
            del self._in_progress[location]
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": f"the refresh of {location} failed unexpectedly", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
            trouble = RefreshUncertain(FAILED_UNEXPECTEDLY)
            retry_at = self._pause(_access(order.source), _CRASH_PAUSE)
            digest = order.access_digest
            self._end(order, refresh_state.Unavailable(trouble=trouble, access_digest=digest, retry_at=retry_at))

    def _end(self, order: RefreshOrder, state: refresh_state.RefreshState) -> None:
        """End a refresh. A credential that is woken may order the next one at once, before this task has ended."""
        location = order.source.location
        self._tasks.pop(location, None)
        self._in_progress.pop(location, None)
        self._report(order, state)
        requesters = frozenset(self._waiting.pop(location, ()))
        if _access(order.source) in self._unused:
            self._unused.discard(_access(order.source))
            self._forget(_access(order.source))
        elif _needs_vault(state):
            self._waiting_for_vault[_access(order.source)] = requesters

    def _report(self, order: RefreshOrder, state: refresh_state.RefreshState) -> None:
        self._states[_access(order.source)] = state
        self._on_change(frozenset(self._waiting.get(order.source.location, ())), state)


def _last_failure(
    state: refresh_state.RefreshState, order: RefreshOrder
) -> refresh_state.Refused | refresh_state.Unavailable | None:
    """Return the failure that the status shows during the next refresh; the refusal of another grant is outdated."""
    match state:
        case refresh_state.Refused(lineage=order.lineage) | refresh_state.Unavailable():
            return state
        case _:
            return None


def _needs_vault(state: refresh_state.RefreshState) -> bool:
    return isinstance(state, refresh_state.Unavailable) and isinstance(state.trouble, VaultUnavailable)


_Access = tuple[VaultLocation, VaultIdentity]
"""A grant, and the identity that may use it."""


def _access(source: GrantWithClient) -> _Access:
    return source.location, source.identity
