"""One refresh of one grant, so that its refresh token is neither lost nor spent twice, whatever crashes.

The steps of `run` are those of docs/refresh-protocol.md, which gives the reason for each. A refresh token may become
invalid when it is used. Therefore an intent is written before the token is sent, which proves that Vault is writable
and reserves the next version, and the result is stored before anyone learns about it. Nothing here knows about
credentials, Secrets or status.
"""

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

from pipedrive_operator.core.grant import refresh_state, succession
from pipedrive_operator.core.grant.consent import how_to_consent
from pipedrive_operator.core.grant.document import Document, VaultLocation
from pipedrive_operator.core.grant.grant import (
    ClientCredentials,
    ClientSource,
    Grant,
    TokenResponse,
    half_refreshed_grant,
    refreshed_grant,
)
from pipedrive_operator.core.grant.intent import Intent, Sighting, Unanswered, one_more
from pipedrive_operator.core.grant.succession import Settlement
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.budget import Budget
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    ClientRejected,
    ConsentRequired,
    FenceClosed,
    GrantUnstored,
    RefreshUncertain,
    TokenResponseUnusable,
    Trouble,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.fair_slots import FairSlots, served_namespace
from pipedrive_operator.grants.clients import Clients
from pipedrive_operator.grants.documents import GrantDocuments
from pipedrive_operator.grants.unexpected import as_trouble, unexpected_errors_reported
from pipedrive_operator.grants.values import ClaimedGrant, ReadGrant, Refreshed, RefreshOrder
from pipedrive_operator.ports import Clock, Escrow, Leadership, Pipedrive, Process, Vault

INTENT_POLL: Final = timedelta(seconds=2)
"""How often another holder's intent is read again while waiting for it to disappear."""

INTENT_POLLS_PER_SECOND: Final = 20
"""How often the intents of all grants of a namespace are read again: a tenant could forge one in each document."""

LONGEST_STORE_PAUSE: Final = timedelta(seconds=8)
"""The longest pause between two attempts to store a result. Vault itself is protected by its adapter."""

LONGEST_CONFLICT_PAUSE: Final = timedelta(seconds=8)
"""The longest pause after a conflict: a standby of Vault may serve an old version for some time."""

MOST_AT_ONCE: Final = 40
"""How many refreshes are sent at once: each has its own connection, and after an outage thousands may be due.

A namespace gets half of them at most, so that nobody waits for a namespace whose refreshes are slow.
"""

Report = Callable[[refresh_state.RefreshState], None]


class RefreshProtocol:
    """Refreshes grants, one call per refresh. Calls for the same grant must not overlap."""

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
        """Take the ports, and the time-out of a call to Pipedrive's token endpoint."""
        self._documents = GrantDocuments(vault)
        self._pipedrive = pipedrive
        self._escrow = escrow
        self._leadership = leadership
        self._clock = clock
        self._process = process
        self._call_timeout = call_timeout
        self._slots = FairSlots(MOST_AT_ONCE)
        self._polls = Budget(per_second=INTENT_POLLS_PER_SECOND, burst=INTENT_POLLS_PER_SECOND)
        self._sightings: dict[VaultLocation, Sighting] = {}
        self._clients = Clients()
        self._last_intents: dict[VaultLocation, str] = {}
        """The id of our last intent at each location."""
        self._resolved_intents: set[str] = set()
        """The ids of our intents that Vault may still hold although their outcome is known."""
        self._is_stopping = False

    async def run(self, order: RefreshOrder, report: Report) -> Grant:
        """Return a grant that fulfils the order: refreshed by us, or by another holder in the meantime.

        Raises:
            Trouble: the reason why the grant cannot be refreshed; nothing was lost.
            FenceClosed: this process must not act at the moment; nothing was sent.
        """
        conflicts = 0
        while True:
            if conflicts:
                await self._pause_after_conflict(conflicts, order.source.location)
            read = await self._documents.read(order.source.location, order.source.identity)
            settlement = await self.settle_escrow(read, order.source.client)
            if settlement is Settlement.STORE:
                continue
            if settlement is Settlement.DROP and self.is_fresh(read.grant, order):
                return read.grant
            if not await self.wait_for_holder(read):
                continue
            client = await self._documents.read_client(order.source.client)
            self._clients.require_usable(client, read, order, self._clock.monotonic())
            async with self._slots.slot():
                claimed = await self.write_intent(read)
                refreshed = await self.spend(claimed, client, order) if claimed is not None else None
            conflicts = conflicts + 1 if claimed is None else 0
            if claimed is None or refreshed is None:
                continue
            stored = await self.store(refreshed.grant, claimed, client, report)
            if refreshed.trouble is not None:
                raise refreshed.trouble
            if stored is not None:
                return stored

    def stop_sending(self) -> None:
        """Send nothing more, because the process is shutting down."""
        self._is_stopping = True

    def has_escrow(self, location: VaultLocation) -> bool:
        """Return whether an earlier process left a refreshed grant in escrow."""
        return self._escrow.holds(location)

    def is_fresh(self, grant: Grant, order: RefreshOrder) -> bool:
        """Step 2: return whether another holder has refreshed the grant, so that it can be used as it is."""
        return succession.is_fresh(grant, replaces=order.replaces, now=self._clock.now())

    async def settle_escrow(self, read: ReadGrant, source: ClientSource) -> Settlement:
        """Step 2: store what an earlier process left in escrow if it succeeds what Vault holds.

        The escrow is dropped once Vault holds it or its successor. If the descent is unclear, it is kept until
        Pipedrive decides: a successful refresh of what Vault holds drops it, and a refusal lets it take that place.
        """
        if not self.has_escrow(read.location):
            return Settlement.DROP
        client = await self._documents.read_client(source)
        escrowed = await self._escrow.open(read.location, client.client_secret)
        if escrowed is None:
            return Settlement.DROP
        found = succession.settlement(read.grant, escrowed)
        if found is Settlement.DROP:
            await self._escrow.drop(read.location)
        if found is Settlement.STORE:
            try:
                await self._documents.write(escrowed, read)
            except CheckAndSetConflict:
                await self._pause_after_conflict(1, read.location)
        return found

    async def wait_for_holder(self, read: ReadGrant) -> bool:
        """Step 3: wait until another holder's intent is gone; True if the grant may be used as it was read."""
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
        turn = self._polls.reserve(served_namespace(), now)
        await self._clock.sleep(INTENT_POLL.total_seconds() + turn)
        return False

    async def write_intent(self, read: ReadGrant) -> ClaimedGrant | None:
        """Step 4: write our intent by check-and-set; None if another holder was faster.

        Raises:
            FenceClosed: the fence would refuse to send anyway; nothing was written.
        """
        self._require_leadership()
        began = self._clock.monotonic()
        intent = Intent(
            refresh_id=self._process.new(),
            holder=self._process.holder,
            started_at=self._clock.now().replace(microsecond=0),
            timeout=2 * self._call_timeout + INTENT_POLL,
        )
        grant = replace(read.grant, intent=intent, unanswered=self._unanswered_before(read.grant))
        self._last_intents[read.location] = intent.refresh_id
        try:
            document = await self._documents.write(grant, read)
        except CheckAndSetConflict:
            return None
        except VaultUnavailable:
            document = await self._confirm(intent, read)
        return ClaimedGrant(
            read=replace(read, document=document, grant=grant),
            intent=intent,
            until=began + intent.timeout.total_seconds(),
        )

    async def spend(self, claimed: ClaimedGrant, client: ClientCredentials, order: RefreshOrder) -> Refreshed | None:
        """Send the refresh token once, and return the result (steps 5 and 6); None to start over."""
        asked_at = self._clock.now()
        grant = claimed.read.grant
        try:
            response = await self.call(claimed, client)
        except TokenResponseUnusable as trouble:
            return Refreshed(grant=half_refreshed_grant(grant, trouble.refresh_token), trouble=trouble)
        except RefreshUncertain as trouble:
            await self._remove_intent(claimed, unanswered=one_more(grant.unanswered, claimed.intent))
            raise self._with_unanswered(trouble, grant.unanswered) from trouble
        except ConsentRequired as trouble:
            await self._withdraw_intent(claimed)
            if await self._was_replaced(claimed) or await self.replace_by_escrow(claimed, client):
                return None
            refused = ConsentRequired(f"{trouble.message}. {how_to_consent(str(claimed.location))}")
            raise self._with_unanswered(refused, grant.unanswered) from trouble
        except ClientRejected as trouble:
            until = self._clock.monotonic() + order.slow.total_seconds()
            self._clients.reject(claimed.location, client, trouble, until)
            await self._withdraw_intent(claimed)
            raise
        except (Trouble, FenceClosed):
            await self._withdraw_intent(claimed)
            raise
        return Refreshed(grant=refreshed_grant(grant, response, client_id=client.client_id, asked_at=asked_at))

    async def call(self, claimed: ClaimedGrant, client: ClientCredentials) -> TokenResponse:
        """Step 5: call Pipedrive once, behind the fence. The response was checked completely (step 6)."""
        token = claimed.read.grant.refresh_token
        return await self._pipedrive.refresh(client, token, fence=lambda: self.fence(claimed))

    def fence(self, claimed: ClaimedGrant) -> None:
        """Step 5: refuse to send unless both the lease and the intent outlast the whole call.

        Raises:
            FenceClosed: one of them might expire during the call.
        """
        if self._clock.monotonic() + self._call_timeout.total_seconds() >= claimed.until:
            raise FenceClosed("too much time has passed since the intent was written")
        self._require_leadership()

    async def store(
        self, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials, report: Report
    ) -> Grant | None:
        """Step 7: store the refreshed grant, however long it takes and whatever fails, with a copy in escrow meanwhile.

        Return what Vault holds in the end; None to start over, because only Pipedrive knows which grant is alive.
        """
        document: Document | None = claimed.read.document
        conflicts = 0
        for attempt in itertools.count(1):
            try:
                if attempt > 1:
                    document, stored = await self._documents.find(claimed.location, claimed.identity)
                    if stored is not None and self.supersedes(stored, grant, spent=claimed.read.grant):
                        return await self._yield_to(stored, grant, claimed, client)
                await self._documents.write_over(document, grant, claimed.read)
                break
            except CheckAndSetConflict:
                conflicts += 1
                if conflicts > 1:  # the first one is an edit by a person; more of them are reads that lag behind
                    with unexpected_errors_reported():
                        await self._keep(grant, claimed, client)
                    await self._pause_after_conflict(conflicts - 1, claimed.location)
            except Exception as error:  # noqa: BLE001  no error may lose the refreshed grant
                with unexpected_errors_reported():
                    await self._keep_in_escrow(grant, claimed, client, as_trouble(error), report)
                wanted = pause(attempt, spread_by=str(claimed.location))
                await self._clock.sleep(min(wanted, LONGEST_STORE_PAUSE).total_seconds())
        await self._escrow.drop(claimed.location)
        return grant

    def supersedes(self, stored: Grant, ours: Grant, *, spent: Grant) -> bool:
        """Step 7: return whether what Vault holds stays, decided by descent."""
        return succession.supersedes(stored, ours, spent=spent)

    async def replace_by_escrow(self, claimed: ClaimedGrant, client: ClientCredentials) -> bool:
        """Let a grant in escrow replace a refresh token that Pipedrive refused, no matter which process kept it.

        A grant is dead only if Pipedrive refused the newest refresh token that we hold, in Vault or in escrow.

        Raises:
            GrantUnstored: the escrow cannot be opened.
            ApiServerUnavailable: the escrow cannot be read.
        """
        if not await self._escrow.find(claimed.location):
            return False
        escrowed = await self._escrow.open(claimed.location, client.client_secret)
        if escrowed is None or escrowed.lineage == claimed.read.grant.lineage:
            return False
        document, refused = await self._documents.find(claimed.location, claimed.identity)
        if refused is not None and refused.lineage == claimed.read.grant.lineage:
            successor = replace(escrowed, unanswered=refused.unanswered)
            with suppress(CheckAndSetConflict):
                await self._documents.write_over(document, successor, claimed.read)
        return True

    async def _yield_to(
        self, stored: Grant, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials
    ) -> Grant | None:
        """Step 7: keep what Vault holds. Our result is dropped only if nothing is lost without it."""
        if stored.covers(grant):
            await self._escrow.drop(claimed.location)
            return stored
        if not await self._keep(grant, claimed, client):
            raise GrantUnstored("Vault holds another grant, and the refreshed grant cannot be kept in escrow")
        return None

    async def _pause_after_conflict(self, conflicts: int, location: VaultLocation) -> None:
        """Pause before the next read, longer after each conflict in a row.

        A read that lags behind the writes causes a conflict each time, and thousands of them without a pause.
        """
        wanted = pause(conflicts, spread_by=str(location))
        await self._clock.sleep(min(wanted, LONGEST_CONFLICT_PAUSE).total_seconds())

    def _require_leadership(self) -> None:
        if self._is_stopping:
            raise FenceClosed("this process is shutting down")
        if self._leadership.remaining() <= self._call_timeout.total_seconds():
            raise FenceClosed("this process does not lead for long enough")

    def _is_left_over(self, intent: Intent, location: VaultLocation) -> bool:
        """Return whether an intent is left over from an earlier refresh by this process.

        A document may have two locations, each with a refresh in progress.
        """
        active = (refresh_id for place, refresh_id in self._last_intents.items() if place != location)
        return intent.holder == self._process.holder and intent.refresh_id not in active

    def _unanswered_before(self, grant: Grant) -> Unanswered | None:
        """Count the intent that we take over as an unanswered refresh, unless we know its outcome."""
        if grant.intent is None or grant.intent.refresh_id in self._resolved_intents:
            return grant.unanswered
        return one_more(grant.unanswered, grant.intent)

    async def _confirm(self, intent: Intent, read: ReadGrant) -> Document:
        """Return the document if the intent was written although its acknowledgement was lost.

        Raises:
            VaultUnavailable: it was not written, or Vault cannot be read.
        """
        document, grant = await self._documents.find(read.location, read.identity)
        if document is None or grant is None or grant.intent != intent:
            message = "Vault did not store the intent to refresh; it is tried again"
            raise VaultUnavailable(message)
        return document

    async def _was_replaced(self, claimed: ClaimedGrant) -> bool:
        """Return whether Vault no longer holds the grant that Pipedrive refused."""
        _, now = await self._documents.find(claimed.location, claimed.identity)
        return now is None or now.lineage != claimed.read.grant.lineage

    async def _withdraw_intent(self, claimed: ClaimedGrant) -> None:
        """Remove our intent, because the refresh token was not spent."""
        self._resolved_intents.add(claimed.intent.refresh_id)
        await self._remove_intent(claimed, unanswered=claimed.read.grant.unanswered)

    async def _remove_intent(self, claimed: ClaimedGrant, *, unanswered: Unanswered | None) -> None:
        """Remove our intent, and record unanswered refreshes; if Vault fails, the intent remains as the record."""
        grant = replace(claimed.read.grant, intent=None, unanswered=unanswered)
        try:
            await self._documents.write(grant, claimed.read)
        except (CheckAndSetConflict, VaultUnavailable, VaultDenied):
            return
        self._resolved_intents.discard(claimed.intent.refresh_id)

    async def _keep_in_escrow(
        self, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials, trouble: Trouble, report: Report
    ) -> None:
        message = f"Refreshed, but Vault has not stored the new grant yet: {trouble.message}"
        report(refresh_state.Unstored(trouble=GrantUnstored(message)))
        await self._keep(grant, claimed, client)

    async def _keep(self, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials) -> bool:
        """Keep a copy in escrow, and return whether it is certainly there."""
        return await self._escrow.keep(claimed.location, grant, claimed.intent.refresh_id, client.client_secret)

    def _with_unanswered(self, trouble: Trouble, unanswered: Unanswered | None) -> Trouble:
        """Add the unanswered refreshes to a message, since they may be its cause."""
        if unanswered is None:
            return trouble
        return type(trouble)(f"{trouble.message}. {unanswered}", retry_after=trouble.retry_after)
