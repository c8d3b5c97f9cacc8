"""One refresh of one grant, so that its refresh token is neither lost nor spent twice, whatever crashes.

The steps of `run` are those of docs/refresh-protocol.md, which says why each is there. A refresh token may die
with its use, so Vault is shown to be writable, and the next version is made ours, before it is sent; and what
was won is stored before anybody is told. Nothing is known here of credentials, Secrets or status.
"""

import asyncio
import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.document import Document, VaultLocation
from pipedrive_operator.core.grant.grant import (
    ClientCredentials,
    ClientSource,
    Grant,
    TokenResponse,
    half_refreshed_grant,
    read_grant,
    refreshed_grant,
    write_grant,
)
from pipedrive_operator.core.grant.intent import Intent, Sighting, Unanswered, one_more
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    ClientRejected,
    ConsentRequired,
    FenceClosed,
    GrantUnstored,
    RefreshUncertain,
    SourceMissing,
    TokenResponseUnusable,
    Trouble,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.grants.clients import Clients
from pipedrive_operator.grants.defects import as_trouble, reported
from pipedrive_operator.grants.values import Held, ReadGrant, RefreshOrder, Settlement, Won
from pipedrive_operator.ports import Clock, Escrow, Leadership, Pipedrive, Process, Vault

LOOK_AGAIN: Final = timedelta(seconds=2)
"""How often another holder's intent is looked at while waiting for it to go."""

LONGEST_STORE_PAUSE: Final = timedelta(seconds=8)
"""How long what was won waits at most between two tries: Vault itself is guarded by its adapter."""

MOST_AT_ONCE: Final = 20
"""How many refreshes are sent at once: each has a connection of its own, and after an outage thousands may be due."""

Tell = Callable[[refresh_state.RefreshState], None]


class RefreshProtocol:
    """Refreshes grants, one call a refresh; calls for the same grant must not overlap."""

    def __init__(
        self,
        *,
        vault: Vault,
        pipedrive: Pipedrive,
        escrow: Escrow,
        leadership: Leadership,
        clock: Clock,
        process: Process,
        call_timeout: timedelta,
    ) -> None:
        """Take the ports, and how long a call of Pipedrive's token endpoint may take."""
        self._vault = vault
        self._pipedrive = pipedrive
        self._escrow = escrow
        self._leadership = leadership
        self._clock = clock
        self._process = process
        self._call_timeout = call_timeout
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._sightings: dict[VaultLocation, Sighting] = {}
        self._clients = Clients()
        self._last_intents: dict[VaultLocation, str] = {}
        """The id of the last intent of each flight of ours."""
        self._accounted_for: set[str] = set()
        """The ids of our intents that Vault may still hold though their outcome is known."""
        self._is_ending = False

    async def run(self, order: RefreshOrder, tell: Tell) -> Grant:
        """Return a grant that serves the order: refreshed by us, or by somebody else meanwhile.

        Raises:
            Trouble: what keeps it from being refreshed; nothing was lost.
            FenceClosed: this process may not act for the moment; nothing was sent.
        """
        while True:
            read = await self.read(order)
            escrow = await self.settle_escrow(read, order.source.client)
            if escrow is Settlement.STORED:
                continue
            if escrow is Settlement.SETTLED and self.is_fresh(read.grant, order):
                return read.grant
            if not await self.wait_for_holder(read):
                continue
            client = await self.read_client(order.source.client)
            self._clients.require_usable(client, read, order, self._clock.monotonic())
            async with self._turns:
                held = await self.hold(read)
                won = await self.spend(held, client, order) if held is not None else None
            if held is None or won is None:
                continue
            stored = await self.store(won.grant, held, client, tell)
            if won.trouble is not None:
                raise won.trouble
            if stored is not None:
                return stored

    def begin_no_more(self) -> None:
        """Let nothing more be sent: the process ends."""
        self._is_ending = True

    def in_escrow(self, location: VaultLocation) -> bool:
        """Tell whether an earlier process has left something in escrow for a grant."""
        return self._escrow.holds(location)

    async def read(self, order: RefreshOrder) -> ReadGrant:
        """Step 2: read the grant and its version."""
        location = order.source.location
        document = await self._vault.read(location, order.source.identity)
        grant = read_grant(document)
        if document is not None:
            document.require_values()
        if document is None or grant is None:
            message = f"Vault holds no refresh_token at {location}: consent, or write one there"
            raise SourceMissing(message)
        return ReadGrant(location=location, identity=order.source.identity, document=document, grant=grant)

    def is_fresh(self, grant: Grant, order: RefreshOrder) -> bool:
        """Step 2: tell whether somebody else has refreshed it, so that it can be used as it is."""
        token = grant.token
        return token is not None and token.value.digest() != order.replaces and not token.expired(self._clock.now())

    async def read_client(self, source: ClientSource) -> ClientCredentials:
        """Read the client's id and secret."""
        document = await self._vault.read(source.location, source.identity)
        if document is None:
            message = (
                f"Vault has no client at {source.location}: write its {source.id_key} and {source.secret_key} there"
            )
            raise SourceMissing(message)
        return ClientCredentials(
            client_id=document.secret(source.id_key).reveal(), client_secret=document.secret(source.secret_key)
        )

    async def settle_escrow(self, read: ReadGrant, source: ClientSource) -> Settlement:
        """Step 2: write what an earlier process won, if it is the successor of what Vault holds.

        It is dropped once Vault has it or what came of it. Where its descent is unclear it is kept until Pipedrive has
        told: a refresh of what Vault holds lets go of it, a refusal lets it take that place.
        """
        if not self.in_escrow(read.location):
            return Settlement.SETTLED
        client = await self.read_client(source)
        won = await self._escrow.open(read.location, client.client_secret)
        if won is None:
            return Settlement.SETTLED
        if read.grant.covers(won):
            await self._escrow.drop(read.location)
            return Settlement.SETTLED
        if won.refreshed_from != read.grant.lineage:
            return Settlement.UNCLEAR
        with suppress(CheckAndSetConflict):
            await self._write(won, read)
        return Settlement.STORED

    async def wait_for_holder(self, read: ReadGrant) -> bool:
        """Step 3: wait for another holder's intent to go; True when the grant may be taken as it was read."""
        intent = read.grant.intent
        if intent is None or self._is_left_over(intent, read.location):
            self._sightings.pop(read.location, None)
            return True
        now = self._clock.monotonic()
        sighting = self._sightings.get(read.location)
        if sighting is None or sighting.refresh_id != intent.refresh_id:
            sighting = self._sightings[read.location] = Sighting(intent.refresh_id, now)
        if sighting.outlived(intent, now):
            return True
        self._require_leadership()
        await self._clock.sleep(LOOK_AGAIN.total_seconds())
        return False

    async def hold(self, read: ReadGrant) -> Held | None:
        """Step 4: write our intent by check-and-set; None where somebody else was faster.

        Raises:
            FenceClosed: the fence would be closed anyhow; nothing was written.
        """
        self._require_leadership()
        began = self._clock.monotonic()
        intent = Intent(
            refresh_id=self._process.new(),
            holder=self._process.holder,
            started_at=self._clock.now().replace(microsecond=0),
            timeout=2 * self._call_timeout + LOOK_AGAIN,
        )
        grant = replace(read.grant, intent=intent, unanswered=self._left_behind(read.grant))
        self._last_intents[read.location] = intent.refresh_id
        try:
            version = await self._write(grant, read)
            document = replace(read.document, version=version, values=write_grant(grant, read.document.values))
        except CheckAndSetConflict:
            return None
        except VaultUnavailable:
            document = await self._landed(intent, read)
        return Held(
            read=replace(read, document=document, grant=grant),
            intent=intent,
            until=began + intent.timeout.total_seconds(),
        )

    async def spend(self, held: Held, client: ClientCredentials, order: RefreshOrder) -> Won | None:
        """Send the refresh token once, and return what it won (steps 5 and 6); None to begin again."""
        asked_at = self._clock.now()
        try:
            answer = await self.call(held, client)
        except TokenResponseUnusable as trouble:
            return Won(grant=half_refreshed_grant(held.read.grant, trouble.refresh_token), trouble=trouble)
        except RefreshUncertain as trouble:
            await self._mark(held, unanswered=one_more(held.read.grant.unanswered, held.intent))
            raise self._with_story(trouble, held.read.grant.unanswered) from trouble
        except ConsentRequired as trouble:
            await self._give_back(held)
            if await self._was_replaced(held) or await self.yields_to_escrow(held, client):
                return None
            raise self._with_story(trouble, held.read.grant.unanswered) from trouble
        except ClientRejected as trouble:
            until = self._clock.monotonic() + order.slow.total_seconds()
            self._clients.reject(held.location, client, trouble, until)
            await self._give_back(held)
            raise
        except (Trouble, FenceClosed):
            await self._give_back(held)
            raise
        return Won(grant=refreshed_grant(held.read.grant, answer, client_id=client.client_id, asked_at=asked_at))

    async def call(self, held: Held, client: ClientCredentials) -> TokenResponse:
        """Step 5: call Pipedrive, once, behind the fence. What comes back was checked completely (step 6)."""
        return await self._pipedrive.refresh(client, held.read.grant.refresh_token, fence=lambda: self.fence(held))

    def fence(self, held: Held) -> None:
        """Step 5: refuse to send unless the lease and the intent outlast the whole call.

        Raises:
            FenceClosed: one of them might not.
        """
        if self._clock.monotonic() + self._call_timeout.total_seconds() >= held.until:
            raise FenceClosed("too much time has passed since the intent was written")
        self._require_leadership()

    async def store(self, won: Grant, held: Held, client: ClientCredentials, tell: Tell) -> Grant | None:
        """Step 7: store what was won, however long Vault takes, whatever goes wrong, with a copy in escrow meanwhile.

        Return what Vault holds in the end; None to begin again, because Pipedrive must tell which is alive.
        """
        document: Document | None = held.read.document
        for attempt in itertools.count(1):
            try:
                if attempt > 1:
                    document = await self._vault.read(held.location, held.identity)
                    stored = read_grant(document)
                    if stored is not None and self.supersedes(stored, won, spent=held.read.grant):
                        return await self._give_way(stored, won, held, client)
                await self._write_over(document, won, held.read)
                break
            except CheckAndSetConflict:
                continue
            except Exception as error:  # noqa: BLE001  whatever it is, what was won must not be lost for it
                with reported():
                    await self._keep_meanwhile(won, held, client, as_trouble(error), tell)
                wanted = pause(attempt, spread_by=str(held.location))
                await self._clock.sleep(min(wanted, LONGEST_STORE_PAUSE).total_seconds())
        await self._escrow.drop(held.location)
        return won

    def supersedes(self, stored: Grant, ours: Grant, *, spent: Grant) -> bool:
        """Step 7: decide by cause, not by clock, whether what Vault holds stays.

        The token that we spent means that ours is its successor, whoever's intent stands there; or, where that token
        did not rotate, if the access token too is the one that we replaced. Anything else is our own result whose
        acknowledgement was lost, a consent, or another holder's refresh: what is there stays.
        """
        if stored.lineage != spent.lineage:
            return True
        return ours.lineage == spent.lineage and stored.access_digest != spent.access_digest

    async def yields_to_escrow(self, held: Held, client: ClientCredentials) -> bool:
        """Answers: let what is in escrow, whoever kept it, take the place of a refresh token that Pipedrive refused.

        Until that was refused too, the newest token that we hold has not been.

        Raises:
            GrantUnstored: it cannot be opened.
            ApiServerUnavailable: it cannot be looked at.
        """
        if not await self._escrow.find(held.location):
            return False
        won = await self._escrow.open(held.location, client.client_secret)
        if won is None or won.lineage == held.read.grant.lineage:
            return False
        document = await self._vault.read(held.location, held.identity)
        refused = read_grant(document)
        if refused is not None and refused.lineage == held.read.grant.lineage:
            with suppress(CheckAndSetConflict):
                await self._write_over(document, replace(won, unanswered=refused.unanswered), held.read)
        return True

    async def _give_way(self, stored: Grant, won: Grant, held: Held, client: ClientCredentials) -> Grant | None:
        """Step 7: leave what Vault holds. Ours is let go of only where nothing is lost by it."""
        if stored.covers(won):
            await self._escrow.drop(held.location)
            return stored
        if not await self._escrow.keep(held.location, won, held.intent.refresh_id, client.client_secret):
            raise GrantUnstored("Vault holds another grant, and what was won cannot be kept in escrow")
        return None

    def _require_leadership(self) -> None:
        if self._is_ending:
            raise FenceClosed("this process ends")
        if self._leadership.remaining() <= self._call_timeout.total_seconds():
            raise FenceClosed("this process does not lead for long enough")

    def _is_left_over(self, intent: Intent, location: VaultLocation) -> bool:
        """Tell whether an intent is of a former flight of ours; a document may have two names, each with a flight."""
        ours = (held for place, held in self._last_intents.items() if place != location)
        return intent.holder == self._process.holder and intent.refresh_id not in ours

    def _left_behind(self, grant: Grant) -> Unanswered | None:
        """Count the intent that we take over as unanswered, unless we know how it ended."""
        if grant.intent is None or grant.intent.refresh_id in self._accounted_for:
            return grant.unanswered
        return one_more(grant.unanswered, grant.intent)

    async def _landed(self, intent: Intent, read: ReadGrant) -> Document:
        """Find out whether an intent was written though its acknowledgement was lost; raise if Vault is away."""
        document = await self._vault.read(read.location, read.identity)
        grant = read_grant(document)
        if document is None or grant is None or grant.intent != intent:
            message = "Vault did not take the intent to refresh: trying again"
            raise VaultUnavailable(message)
        return document

    async def _was_replaced(self, held: Held) -> bool:
        """Tell whether the grant that Pipedrive refused is no longer the one in Vault."""
        now = read_grant(await self._vault.read(held.location, held.identity))
        return now is None or now.lineage != held.read.grant.lineage

    async def _give_back(self, held: Held) -> None:
        """Take our intent away, since nothing was changed under it."""
        self._accounted_for.add(held.intent.refresh_id)
        await self._mark(held, unanswered=held.read.grant.unanswered)

    async def _mark(self, held: Held, *, unanswered: Unanswered | None) -> None:
        """Take our intent away, and leave word of what went unanswered; without Vault the intent speaks."""
        grant = replace(held.read.grant, intent=None, unanswered=unanswered)
        try:
            await self._write(grant, held.read)
        except (CheckAndSetConflict, VaultUnavailable, VaultDenied):
            return
        self._accounted_for.discard(held.intent.refresh_id)

    async def _keep_meanwhile(
        self, won: Grant, held: Held, client: ClientCredentials, trouble: Trouble, tell: Tell
    ) -> None:
        message = f"Refreshed, and Vault has not taken the new grant yet: {trouble.message}"
        tell(refresh_state.Unstored(trouble=GrantUnstored(message)))
        await self._escrow.keep(held.location, won, held.intent.refresh_id, client.client_secret)

    async def _write(self, grant: Grant, over: ReadGrant) -> int:
        return await self._write_over(over.document, grant, over)

    async def _write_over(self, document: Document | None, grant: Grant, read: ReadGrant) -> int:
        """Write against the version that was read, with foreign keys kept; a path that was emptied is filled again."""
        foreign, version = (document.values, document.version) if document is not None else ({}, 0)
        return await self._vault.write(read.location, write_grant(grant, foreign), read.identity, cas=version)

    def _with_story(self, trouble: Trouble, unanswered: Unanswered | None) -> Trouble:
        """Add to a trouble what went unanswered before it, which may be its cause."""
        if unanswered is None:
            return trouble
        return type(trouble)(f"{trouble.message}. {unanswered}", retry_after=trouble.retry_after)
