"""The keeper of refresh tokens: every refresh goes through here, one at a time for each grant, and none is forgotten.

A refresh token may die with its use. So the answer of a refresh is stored in Vault before anybody is told, against the
version that was read, and storing it is retried for as long as the process lives. No credential, Secret or
status is known here; whoever asked is woken and looks.
"""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pipedrive_operator.core import flight as flights
from pipedrive_operator.core.conditions import EFFECTS, ConditionStatus
from pipedrive_operator.core.credential import Key
from pipedrive_operator.core.errors import (
    CheckAndSetConflict,
    ClientRejected,
    ConsentRequired,
    GrantUnstored,
    InvalidSpec,
    RefreshUncertain,
    SourceMissing,
    Trouble,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.core.grant import (
    ClientCredentials,
    ClientSource,
    Grant,
    read_grant,
    refreshed_grant,
    write_grant,
)
from pipedrive_operator.core.renewal import pause
from pipedrive_operator.core.retry import Patience, retry_pause
from pipedrive_operator.core.sources import GrantWithClient
from pipedrive_operator.core.vault import Document, VaultLocation
from pipedrive_operator.ports import Clock, Pipedrive, Vault

_CRASH_PAUSE: Final = timedelta(minutes=5)
"""How long a grant is left alone after a defect of ours: it may strike after the request was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshOrder:
    """Who asks for which grant to be refreshed."""

    source: GrantWithClient
    requester: Key
    replaces: str | None
    """The digest of the access token that no longer serves; any other that is alive in Vault will do."""
    slow: timedelta
    """The pause after an answer that only a person can change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A grant as it was read, with what is needed to write over it."""

    document: Document
    grant: Grant


class GrantKeeper:
    """Refreshes grants."""

    def __init__(
        self,
        *,
        vault: Vault,
        pipedrive: Pipedrive,
        clock: Clock,
        on_change: Callable[[frozenset[Key], flights.Flight], None],
    ) -> None:
        """Take the ports; `on_change` is told who waits for a grant, and its new state."""
        self._vault = vault
        self._pipedrive = pipedrive
        self._clock = clock
        self._on_change = on_change
        self._flights: dict[VaultLocation, flights.Flight] = {}
        self._failures: dict[VaultLocation, int] = {}
        self._waiting: dict[VaultLocation, set[Key]] = {}
        self._tasks: dict[VaultLocation, asyncio.Task[None]] = {}

    def flight(self, location: VaultLocation) -> flights.Flight:
        """Return the state of a grant's refresh, at once."""
        return self._flights.get(location, flights.IDLE)

    def refresh(self, order: RefreshOrder) -> None:
        """Start a refresh, or join the one that is under way."""
        location = order.source.location
        self._waiting.setdefault(location, set()).add(order.requester)
        if location in self._tasks:
            return
        self._flights[location] = flights.Refreshing()
        task = asyncio.create_task(self._fly(order), name=f"refresh of {location}")
        self._tasks[location] = task
        task.add_done_callback(lambda done: self._landed(location, done))

    def forget(self, location: VaultLocation) -> None:
        """Forget how the last refresh ended, because what it depended on has changed."""
        if location not in self._tasks:
            self._flights.pop(location, None)
            self._failures.pop(location, None)

    async def drain(self) -> None:
        """Wait until nothing is under way any more: what was won is stored."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _fly(self, order: RefreshOrder) -> None:
        location = order.source.location
        lineage = ""
        try:
            read = await self._read(location)
            lineage = read.grant.lineage
            grant = read.grant if self._is_fresh(read.grant, order) else await self._spend(read, order)
        except Trouble as trouble:
            self._settle(location, self._failure(trouble, lineage, order))
        else:
            self._failures.pop(location, None)
            self._settle(location, flights.Fresh(grant=grant))

    async def _read(self, location: VaultLocation) -> _Read:
        document = await self._vault.read(location)
        grant = read_grant(document)
        if document is None or grant is None:
            message = f"Vault holds no refresh_token at {location}: consent, or write one there"
            raise SourceMissing(message)
        return _Read(document=document, grant=grant)

    def _is_fresh(self, grant: Grant, order: RefreshOrder) -> bool:
        """Tell whether somebody else has refreshed it meanwhile."""
        token = grant.token
        return token is not None and token.value.digest() != order.replaces and not token.expired(self._clock.now())

    async def _spend(self, read: _Read, order: RefreshOrder) -> Grant:
        client = await self._client(order.source.client)
        if read.grant.client_id not in {None, client.client_id}:
            message = (
                f"spec.oauth2.client: the grant was given to client {read.grant.client_id}, and the client named here "
                f"is {client.client_id}; name that client, or consent with this one"
            )
            raise InvalidSpec(message)
        asked_at = self._clock.now()
        try:
            answer = await self._pipedrive.refresh(client, read.grant.refresh_token)
        except ConsentRequired as refusal:
            return await self._replaced_meanwhile(read, refusal, order)
        new = refreshed_grant(read.grant, answer, client_id=client.client_id, asked_at=asked_at)
        return await self._store(new, read)

    async def _client(self, source: ClientSource) -> ClientCredentials:
        document = await self._vault.read(source.location)
        if document is None:
            message = (
                f"Vault has no client at {source.location}: write its {source.id_key} and {source.secret_key} there"
            )
            raise SourceMissing(message)
        return ClientCredentials(
            client_id=document.secret(source.id_key).reveal(), client_secret=document.secret(source.secret_key)
        )

    async def _replaced_meanwhile(self, read: _Read, refusal: ConsentRequired, order: RefreshOrder) -> Grant:
        """Use the grant that was put in Vault while the old one was being refused, or let the refusal stand."""
        again = await self._read(order.source.location)
        if again.grant.lineage == read.grant.lineage:
            raise refusal
        return again.grant if self._is_fresh(again.grant, order) else await self._spend(again, order)

    async def _store(self, new: Grant, read: _Read) -> Grant:
        """Store what was won, however long Vault takes; return what Vault holds in the end."""
        location = read.document.location
        document: Document | None = read.document
        for attempts in itertools.count(1):
            try:
                if attempts > 1:
                    document = await self._vault.read(location)
                    held = read_grant(document)
                    if held is not None and _supersedes(held, new, spent=read.grant.lineage):
                        return held
                await self._write_over(document, new, location)
            except CheckAndSetConflict:
                continue
            except (VaultUnavailable, VaultDenied) as trouble:
                await self._wait_for_vault(location, trouble, attempts)
            else:
                break
        return new

    async def _write_over(self, document: Document | None, new: Grant, location: VaultLocation) -> None:
        """Write against the version that was read; a path that was emptied meanwhile is filled again."""
        foreign, version = (document.values, document.version) if document is not None else ({}, 0)
        await self._vault.write(location, write_grant(new, foreign), cas=version)

    async def _wait_for_vault(self, location: VaultLocation, trouble: Trouble, attempts: int) -> None:
        message = f"Refreshed, and Vault has not taken the new grant yet: {trouble.message}"
        self._tell(location, flights.Unstored(trouble=GrantUnstored(message)))
        await self._clock.sleep(pause(attempts, spread_by=str(location)).total_seconds())

    def _failure(self, trouble: Trouble, lineage: str, order: RefreshOrder) -> flights.Flight:
        location, now = order.source.location, self._clock.now()
        failures = self._failures[location] = self._failures.get(location, 0) + 1
        patience = Patience(now=now, slow=order.slow)
        retry_at = now + retry_pause(trouble, failures, subject=str(location), patience=patience)
        if EFFECTS[trouble.reason].authorized is ConditionStatus.FALSE or isinstance(trouble, ClientRejected):
            return flights.Refused(trouble=trouble, lineage=lineage, retry_at=retry_at)
        return flights.Unavailable(trouble=trouble, retry_at=retry_at)

    def _landed(self, location: VaultLocation, task: asyncio.Task[None]) -> None:
        """Clear the flight; one that ended by a defect is reported and left alone for a while."""
        del self._tasks[location]
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": f"the refresh of {location} stopped unexpectedly", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)
            trouble = RefreshUncertain("The refresh stopped unexpectedly: the operator's log says where")
            retry_at = self._clock.now() + _CRASH_PAUSE
            self._settle(location, flights.Unavailable(trouble=trouble, retry_at=retry_at))

    def _settle(self, location: VaultLocation, flight: flights.Flight) -> None:
        self._tell(location, flight)
        self._waiting.pop(location, None)

    def _tell(self, location: VaultLocation, flight: flights.Flight) -> None:
        self._flights[location] = flight
        self._on_change(frozenset(self._waiting.get(location, ())), flight)


def _supersedes(stored: Grant, ours: Grant, *, spent: str) -> bool:
    """Decide by cause, not by clock, whether what Vault holds stays: unless it still holds the token that we spent.

    Our own result in place means that an acknowledgement was lost.
    """
    if stored.token is not None and ours.token is not None and stored.token.value == ours.token.value:
        return True
    return stored.lineage != spent
