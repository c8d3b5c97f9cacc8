"""One refresh of one grant, so that its refresh token is neither lost nor spent twice, whatever crashes.

The steps of `run` are those of docs/refresh-protocol.md, which gives the reason for each; `intents.py` and `storing.py`
have the steps before and after a token is sent. A refresh token may become invalid when it is used. Therefore an intent
is written before the token is sent, which proves that Vault is writable and reserves the next version, and the result
is stored before anyone learns about it. Nothing here knows about credentials, Secrets or status.
"""

from dataclasses import replace
from typing import Final

from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant import succession
from pipedrive_operator.core.grant.candidate import read_candidate, was_spent_for
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.consent import how_to_consent
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.grant import Grant, TokenResponse, half_refreshed_grant, refreshed_grant
from pipedrive_operator.core.grant.intent import ANSWER_TIMEOUTS, Unanswered
from pipedrive_operator.core.grant.terms import Exchange
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    ClientRejected,
    ConsentRequired,
    InvalidSpec,
    OperatorError,
    PipedriveUnavailable,
    RefreshUncertain,
    SourceMissing,
    TokenResponseUnusable,
    Trouble,
)
from pipedrive_operator.fairness.budget import Budget
from pipedrive_operator.fairness.slots import FairSlots
from pipedrive_operator.grants.candidates import UNDECIDED
from pipedrive_operator.grants.documents import GrantDocuments
from pipedrive_operator.grants.intents import INTENT_POLLS_PER_SECOND, SHORTEST_UNKNOWN_PAUSE
from pipedrive_operator.grants.parts import Parts
from pipedrive_operator.grants.recent import Recent
from pipedrive_operator.grants.rejected_clients import RejectedClients
from pipedrive_operator.grants.storing import Report, StoringSteps
from pipedrive_operator.grants.unexpected import FAILED_UNEXPECTEDLY
from pipedrive_operator.grants.values import ClaimedGrant, HeldGrant, ReadGrant, Refreshed, RefreshOrder
from pipedrive_operator.ports import Clock, Escrow, Leadership, Pipedrive, Process, Vault

MOST_AT_ONCE: Final = 40
"""How many refreshes are sent at once: each has its own connection, and after an outage thousands may be due.

A namespace gets half of them at most, so that nobody waits for a namespace whose refreshes are slow.
"""


class RefreshProtocol(StoringSteps):
    """Refreshes grants, one call per refresh. Calls for the same grant must not overlap."""

    _postponed: Recent[VaultLocation, Exchange]
    """The exchange whose candidate waits until the grant beside it was refreshed: Pipedrive did not decide about it."""

    def __init__(
        self,
        *,
        vault: Vault,
        pipedrive: Pipedrive,
        escrow: Escrow,
        leadership: Leadership,
        clock: Clock,
        process: Process,
    ) -> None:
        """Take the ports."""
        self._documents = GrantDocuments(vault, clock)
        self._pipedrive = pipedrive
        self._escrow = escrow
        self._leadership = leadership
        self._clock = clock
        self._process = process
        self._call_timeout = pipedrive.call_timeout
        self._answer_timeout = ANSWER_TIMEOUTS * pipedrive.call_timeout
        self._unknown_pause = max(SHORTEST_UNKNOWN_PAUSE, self._answer_timeout)
        self._slots = FairSlots(MOST_AT_ONCE)
        self._polls = Budget(per_second=INTENT_POLLS_PER_SECOND, burst=INTENT_POLLS_PER_SECOND)
        self._clients = RejectedClients()
        self._sightings = Recent()
        self._intended = Recent()
        self._resolved_intents = Recent()
        self._refused = Recent()
        self._spent = Recent()
        self._uncertain = Recent()
        self._conflicts = Recent()
        self._postponed = Recent()
        self._storing = set()
        self.parts = Parts.build(
            documents=self._documents,
            pipedrive=pipedrive,
            escrow=escrow,
            intents=self,
            slots=self._slots,
            clock=clock,
        )

    async def run(self, order: RefreshOrder, report: Report) -> HeldGrant:
        """Return a grant that fulfils the order: refreshed by us, or by another holder in the meantime.

        Raises:
            Trouble: the reason why the grant cannot be refreshed; nothing was lost.
            FenceClosed, ApiServerUnavailable: this process must not act at the moment; nothing was sent.
        """
        location = order.source.location
        while True:
            found = await self._read_settled(order)
            if found is None:
                continue
            read, unclear = found
            is_left = order.leaves_escrow or not unclear
            is_settled = is_left and read_candidate(read.document) is None
            if is_settled and self.is_fresh(read.grant, order):
                return read.held
            if not await self.wait_for_holder(read) or await self.complete_consent(read, order):
                continue
            if is_left and self.is_fresh(read.grant, order):
                return read.held  # the candidate is of another client
            self.require_pause(location, read.document)
            client = await self._documents.read_client(order.source.client)
            self._clients.require_usable(client, read, order, self._clock.monotonic())
            refreshed = await self._claim_and_spend(read, client, order)
            if refreshed is None:
                continue
            stored = await self.store(refreshed.grant, refreshed.claimed, client, report)
            if stored is not None and self.proves_alive(refreshed.claimed):
                await self.drop(location, unclear)
            if stored is not None:
                if refreshed.trouble is not None:
                    raise refreshed.trouble
                return stored
            order = replace(order, leaves_escrow=False)  # what the escrow holds now is not what was left there

    async def _read_settled(self, order: RefreshOrder) -> tuple[ReadGrant, tuple[str, ...]] | None:
        """Read the grant, and return it with what is of unclear descent in escrow; None to start over."""
        read = await self.read(order)
        if read is None:
            return None
        unclear = await self.settle_escrow(read, order.source.client, may_be_spent=self.may_be_spent(read))
        return None if unclear is None else (read, unclear)

    async def read(self, order: RefreshOrder) -> ReadGrant | None:
        """Step 2: read the grant; None to start over, after the first consent for it was completed.

        Raises what `GrantDocuments.read`, `Escrow.open` and `Candidates.settle` raise.
        """
        source = order.source
        try:
            return await self._documents.read(source.location, source.identity)
        except SourceMissing:
            if not await self._complete_first_consent(source):
                raise
            return None

    async def _complete_first_consent(self, source: GrantWithClient) -> bool:
        """Complete a consent where there is no grant yet; False if there is none."""
        document = await self._documents.find_document(source.location, source.identity)
        if read_candidate(document) is not None:
            await self.parts.candidates.settle(source)
            return True
        return self.has_escrow(source.location) and await self.parts.copies.restore_any(source)

    async def complete_consent(self, read: ReadGrant, order: RefreshOrder) -> bool:
        """Step 3: complete the consent of a process that died; True to start over.

        If Pipedrive cannot say whose the new grant is, the grant in Vault goes on as before, and is refreshed first. It
        goes on, too, if the new grant was issued to another client.

        Raises what `Candidates.settle` raises, if the grant in Vault needs no refresh. That of the candidate may be
        uncertain or half usable, but it is no refresh of the grant.
        """
        candidate = read_candidate(read.document)
        if candidate is None:
            return False
        is_dead = was_spent_for(read.grant, candidate) or read.grant.lineage in self._refused
        is_due = not is_dead and not self.is_fresh(read.grant, order)
        if is_due and self._postponed.get(read.location) == candidate.exchange:
            return False
        try:
            await self.parts.candidates.settle(order.source)
        except InvalidSpec:
            return False
        except UNDECIDED as trouble:
            if is_due:
                self._postponed[read.location] = candidate.exchange
                return True
            if not isinstance(trouble, RefreshUncertain | TokenResponseUnusable):
                raise
            raise PipedriveUnavailable(trouble.message, retry_after=trouble.retry_after) from trouble
        return True

    def may_be_spent(self, read: ReadGrant) -> bool:
        """Step 2: return whether a refresh of unknown outcome, or a refusal, preceded this one."""
        grant = read.grant
        is_uncertain = read.location in self._uncertain or grant.unanswered is not None
        return is_uncertain or self.takes_over(read) or grant.lineage in self._refused

    def stop_sending(self) -> None:
        """Send nothing more, because the process is shutting down."""
        self._is_stopping = True

    def is_fresh(self, grant: Grant, order: RefreshOrder) -> bool:
        """Step 2: return whether another holder has refreshed the grant, so that it can be used as it is."""
        return succession.is_fresh(grant, replaces=order.replaces, now=self._clock.now())

    def proves_alive(self, claimed: ClaimedGrant) -> bool:
        """Step 8: return whether our result still proves that its grant is alive, so that other copies may be dropped.

        Once our intent is over, another holder may have sent the same token, which may have ended the grant.
        """
        return self._clock.monotonic() < claimed.until

    async def _claim_and_spend(
        self, read: ReadGrant, client: ClientCredentials, order: RefreshOrder
    ) -> Refreshed | None:
        """Return the result of a refresh; None to start over, after a pause if another holder was faster."""
        try:
            async with self._slots.slot():
                claimed = await self.write_intent(read)
                self._postponed.pop(read.location, None)
                refreshed = await self.spend(claimed, client, order)
        except CheckAndSetConflict:
            await self.pause_after_another_conflict(read.location)
            return None
        self._conflicts.pop(read.location, None)
        return refreshed

    async def spend(self, claimed: ClaimedGrant, client: ClientCredentials, order: RefreshOrder) -> Refreshed | None:
        """Send the refresh token once, and return the result (steps 5 and 6); None to start over.

        Raises:
            CheckAndSetConflict: the grant has changed since the intent was written; nothing is spent.
            Trouble, FenceClosed, ApiServerUnavailable: as `run` does.
        """
        asked_at = self._clock.now()
        grant = claimed.read.grant
        try:
            response = await self.call(claimed, client)
        except TokenResponseUnusable as trouble:
            self._note_accepted(claimed)
            return Refreshed(claimed=claimed, grant=half_refreshed_grant(grant, trouble.refresh_token), trouble=trouble)
        except RefreshUncertain as trouble:
            paused = self.note_uncertain(claimed.location, grant, trouble)
            raise self._with_unanswered(paused, grant.unanswered) from trouble
        except ConsentRequired as trouble:
            await self._find_another_grant(claimed, client, trouble)
            return None
        except ClientRejected as trouble:
            until = self._clock.monotonic() + order.slow.total_seconds()
            self._clients.reject(claimed.read, client, trouble, until)
            await self.withdraw_intent(claimed)
            raise
        except OperatorError:
            await self.withdraw_intent(claimed)
            raise
        except Exception:  # a defect: the request may have left
            self.note_uncertain(claimed.location, grant, RefreshUncertain(FAILED_UNEXPECTEDLY))
            raise
        self._note_accepted(claimed)
        refreshed = refreshed_grant(grant, response, client_id=client.client_id, asked_at=asked_at)
        return Refreshed(claimed=claimed, grant=refreshed)

    def _note_accepted(self, claimed: ClaimedGrant) -> None:
        """Note that Pipedrive has accepted the refresh token, whether its answer can be used or not."""
        self.note_resolved(claimed.intent)
        self._uncertain.pop(claimed.location, None)
        self._refused.pop(claimed.read.grant.lineage, None)
        self._clients.accept(claimed.location)

    async def _find_another_grant(
        self, claimed: ClaimedGrant, client: ClientCredentials, refusal: ConsentRequired
    ) -> None:
        """Look for another grant in Vault and in escrow after a refusal, and return if there is one.

        Raises:
            ConsentRequired: there is none.
            PipedriveUnavailable: the grant of a newer consent waits to be verified.
        """
        grant = claimed.read.grant
        self._refused[grant.lineage] = None
        has_changed = await self.withdraw_intent(claimed)
        if await self._was_replaced(claimed, has_changed=has_changed) or await self.replace_by_escrow(claimed, client):
            return
        candidate = read_candidate(claimed.read.document)
        if candidate is not None and candidate.is_usable_with(client.client_id):
            message = "Pipedrive refused the refresh token; the grant of a newer consent waits to be verified"
            raise PipedriveUnavailable(message) from refusal
        refused = ConsentRequired(f"{refusal.message}. {how_to_consent(str(claimed.location))}")
        raise self._with_unanswered(refused, grant.unanswered) from refusal

    async def call(self, claimed: ClaimedGrant, client: ClientCredentials) -> TokenResponse:
        """Step 5: call Pipedrive once, behind the fence. The response was checked completely (step 6)."""
        token = claimed.read.grant.refresh_token
        return await self._pipedrive.refresh(client, token, fence=lambda: self.fence(claimed, client))

    async def fence(self, claimed: ClaimedGrant, client: ClientCredentials) -> None:
        """Step 5: refuse to send unless our intent stands, and both it and the lease outlast the whole call.

        Nothing is awaited after the last check, so that the request leaves at once.

        Raises:
            FenceClosed: one of them might expire during the call.
            CheckAndSetConflict: the grant has changed since, or has a successor in escrow.
            VaultUnavailable, VaultDenied, SourceMissing: Vault cannot be read.
            GrantUnstored, ApiServerUnavailable: the escrow cannot be read.
        """
        if self.may_be_spent(claimed.read):
            await self.require_unspent(claimed, client)
        else:
            await self.verify_intent(claimed)
        self.require_time(claimed.until)

    async def _was_replaced(self, claimed: ClaimedGrant, *, has_changed: bool) -> bool:
        """Return whether Vault no longer holds the grant that Pipedrive refused.

        Raises:
            CheckAndSetConflict: the document has changed, and the read, from a standby that lags, does not show it yet.
        """
        document, now = await self._documents.find(claimed.location, claimed.identity)
        if document is None or now is None or self.is_another(now, claimed):
            return True
        if has_changed and document.version <= claimed.read.document.version:
            raise CheckAndSetConflict("Vault shows a version from before the refused grant was changed")
        return False

    def _with_unanswered(self, trouble: Trouble, unanswered: Unanswered | None) -> Trouble:
        """Add the unanswered refreshes to a message, since they may be its cause."""
        if unanswered is None:
            return trouble
        return type(trouble)(f"{trouble.message}. {unanswered}", retry_after=trouble.retry_after)
