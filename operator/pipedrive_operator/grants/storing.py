"""Steps 2 and 7 of docs/refresh-protocol.md: a result is stored in Vault, or kept in escrow until it is.

Between Pipedrive's answer and Vault's acknowledgement a grant exists in this process alone, so no error here may end
the attempt to store it. What is sent is decided in `protocol.py`; which grant stays is decided in `core.grant`.
"""

import itertools
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant import refresh_state, succession
from pipedrive_operator.core.grant.candidate import kept_intent, read_candidate
from pipedrive_operator.core.grant.client import ClientCredentials, ClientSource
from pipedrive_operator.core.grant.document import Document, VaultLocation
from pipedrive_operator.core.grant.grant import Grant, read_grant
from pipedrive_operator.core.grant.intent import Intent
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    ConsentRequired,
    GrantUnstored,
    PipedriveUnavailable,
    Trouble,
)
from pipedrive_operator.grants.intents import IntentSteps
from pipedrive_operator.grants.parts import Parts
from pipedrive_operator.grants.recent import Recent
from pipedrive_operator.grants.unexpected import as_trouble, unexpected_errors_reported
from pipedrive_operator.grants.values import LONGEST_STORE_PAUSE, ClaimedGrant, HeldGrant, ReadGrant
from pipedrive_operator.ports import Escrow

Report = Callable[[refresh_state.RefreshState], None]

_WAITS: Final = (
    "Pipedrive refused the refresh token. The grant of a newer consent waits in escrow until that of another consent, "
    "which is in Vault beside the refused one, was verified or dropped. The consents say what they wait for"
)


class StoringSteps(IntentSteps):
    """The steps about results and their escrow; `RefreshProtocol` sets the attributes."""

    parts: Parts
    _escrow: Escrow
    _refused: Recent[str, None]
    """The digests of the refresh tokens that Pipedrive has refused."""
    _spent: Recent[str, None]
    """The digests of the refresh tokens whose successors this process has stored in Vault, or has seen there."""

    def has_escrow(self, location: VaultLocation) -> bool:
        """Return whether a refreshed grant may be in escrow."""
        return self._escrow.holds(location)

    def appeared_in_escrow(self, location: VaultLocation) -> bool:
        """Return whether the last list of the escrow has shown a grant for a location that was not known before."""
        return self._escrow.appeared(location)

    async def settle_escrow(
        self, read: ReadGrant, source: ClientSource, *, may_be_spent: bool = False
    ) -> tuple[str, ...] | None:
        """Step 2: settle what is in escrow; None if something was stored, so that the grant must be read again.

        A grant that succeeds what Vault holds is stored, and one that Vault holds, or a successor of it, is dropped.
        The rest is of unclear descent and stays until Pipedrive decides: a successful refresh of what Vault holds drops
        it, and a refusal lets it take that place. The refreshes that it is from are returned.

        The escrow is read if it is known to hold something, and if the refresh token in Vault may have been spent: the
        process that spent it may have kept the result there since this process began to lead.
        """
        if not may_be_spent and not self.has_escrow(read.location):
            return ()
        client = await self._documents.read_client(source)
        copies = await self._escrow.open(read.location, client.client_secret)
        source_of_both = GrantWithClient(location=read.location, identity=read.identity, client=source)
        held = read_candidate(read.document)
        answers = [copy for copy in copies if held is None or copy.grant.exchange == held.exchange]
        if await self.parts.copies.restore(answers, source_of_both):
            return None
        found = succession.settlement(read.grant, succession.usable_for(read.grant, copies, waiting=answers))
        if found.drop and not await self._documents.holds(read):
            await self.pause_after_another_conflict(read.location)
            return None
        for copy in found.drop:
            if copy.grant.lineage == read.grant.refreshed_from != read.grant.lineage:
                self._spent[copy.grant.lineage] = None
        await self.drop(read.location, (copy.refresh_id for copy in found.drop))
        if found.store is None:
            return tuple(copy.refresh_id for copy in found.unclear)
        try:
            await self._require_current(read)
            # The refresh in escrow may be older than the unanswered one, which may have ended both.
            intent, unanswered = kept_intent(read.document, found.store.grant), read.grant.unanswered
            await self._documents.write(replace(found.store.grant, intent=intent, unanswered=unanswered), read)
        except CheckAndSetConflict:
            await self.pause_after_conflict(1, read.location)
        return None

    async def require_unspent(self, claimed: ClaimedGrant, client: ClientCredentials) -> None:
        """Step 5: check that a token which may be spent has no successor, neither in Vault nor in escrow.

        The process that spent it may have been stopped, and may have stored its result after the escrow was settled.

        Raises:
            CheckAndSetConflict: there is one.
            ConsentRequired: there is one, which was dropped, and whose copy could not be deleted.
            GrantUnstored, ApiServerUnavailable: as `Escrow.open` does.
            FenceClosed, VaultUnavailable, VaultDenied, SourceMissing: as `verify` does.
        """
        grant, document = claimed.read.grant, claimed.read.document

        async def is_unspent() -> bool:
            copies = await self._escrow.open(claimed.location, client.client_secret)
            needed = [
                copy for copy in copies if copy.grant.terms is None or self.parts.copies.is_needed(copy, document)
            ]
            has_successor = succession.settlement(grant, needed).store is not None
            if not has_successor and succession.settlement(grant, copies).store is not None:
                raise ConsentRequired("The refresh token was spent, and its successor cannot be used any more")
            return not has_successor and await self._documents.holds(claimed.read)

        await self.verify(float("-inf"), is_unspent)

    async def drop(self, location: VaultLocation, refresh_ids: Iterable[str]) -> None:
        """Drop what certain refreshes have left in escrow."""
        for refresh_id in refresh_ids:
            await self._escrow.drop(location, refresh_id)

    async def store(
        self, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials, report: Report
    ) -> HeldGrant | None:
        """Step 7: store the refreshed grant, however long it takes and whatever fails, with a copy in escrow meanwhile.

        Return what Vault holds in the end; None to start over, because only Pipedrive knows which grant is alive.
        """
        self._storing.add(claimed.intent.refresh_id)
        try:
            return await self._store(grant, claimed, client, report)
        finally:
            self._storing.discard(claimed.intent.refresh_id)

    async def _store(
        self, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials, report: Report
    ) -> HeldGrant | None:
        document: Document | None = claimed.read.document
        intent, conflicts = None, 0
        for attempt in itertools.count(1):
            asked_at = self._clock.monotonic()
            try:
                if attempt > 1 or not self.is_recent(claimed.read):
                    document = await self._documents.find_at_once(claimed.location, claimed.identity)
                    stored = read_grant(document)
                    if stored is not None and self.supersedes(stored, grant, spent=claimed.read.grant):
                        held = self._held(stored, asked_at, self._documents.newest_version(claimed.location))
                        return await self._yield_to(held, grant, claimed, client)
                    intent = self.intent_of_another(document, grant, claimed)
                version = await self._documents.write_over(document, replace(grant, intent=intent), claimed.read)
                break
            except CheckAndSetConflict:
                conflicts += 1
                if conflicts > 1:  # the first one is an edit by a person; more of them are reads that lag behind
                    with unexpected_errors_reported():
                        await self._keep(grant, claimed, client)
                    await self.pause_after_conflict(conflicts - 1, claimed.location)
            except Exception as error:  # noqa: BLE001  no error may lose the refreshed grant
                with unexpected_errors_reported():
                    await self._keep_in_escrow(grant, claimed, client, as_trouble(error), report)
                wanted = pause(attempt, spread_by=str(claimed.location))
                await self._clock.sleep(min(wanted, LONGEST_STORE_PAUSE).total_seconds())
        held = self._held(grant, asked_at, version)
        self._resolved_intents.pop(claimed.intent.refresh_id, None)
        if grant.lineage != claimed.read.grant.lineage:
            self._spent[claimed.read.grant.lineage] = None
            self.parts.copies.note_dead(claimed.read.grant)
        await self._escrow.drop(claimed.location, claimed.intent.refresh_id)
        return held

    def intent_of_another(self, document: Document | None, ours: Grant, claimed: ClaimedGrant) -> Intent | None:
        """Step 7: return the intent of another holder that must stay beside our result; None if there is none."""
        intent = kept_intent(document, ours)
        return None if intent is None or intent.refresh_id == claimed.intent.refresh_id else intent

    def supersedes(self, stored: Grant, ours: Grant, *, spent: Grant) -> bool:
        """Step 7: return whether what Vault holds stays, decided by descent."""
        return succession.supersedes(stored, ours, spent=spent)

    def is_another(self, stored: Grant, claimed: ClaimedGrant) -> bool:
        """Return whether Vault holds another grant than the one that Pipedrive refused."""
        return stored.lineage != claimed.read.grant.lineage

    async def replace_by_escrow(self, claimed: ClaimedGrant, client: ClientCredentials) -> bool:
        """Let a grant in escrow replace a refresh token that Pipedrive refused, no matter which process kept it.

        Return whether there is another grant to use: from escrow, or because Vault holds another one by now.

        A grant is dead only if Pipedrive refused the newest refresh token that we hold, in Vault or in escrow.

        Raises:
            GrantUnstored: the escrow cannot be opened.
            ApiServerUnavailable: the escrow cannot be read.
            PipedriveUnavailable: the grant of a consent waits there until the candidate in Vault is settled.
        """
        escrowed = await self._escrow.open(claimed.location, client.client_secret)
        document, stored = await self._documents.find(claimed.location, claimed.identity)
        refused = claimed.read.grant
        if stored is None or self.is_another(stored, claimed):
            return True
        candidates = [copy for copy in escrowed if copy.grant.terms is not None]
        needed = [copy for copy in candidates if self.parts.copies.is_needed(copy, document)]
        held = read_candidate(document)
        if any(held is None or copy.grant.exchange == held.exchange for copy in needed):
            return True  # the grant of a consent, which is verified before it may replace anything
        if needed:
            raise PipedriveUnavailable(_WAITS)
        verified = [copy for copy in escrowed if copy.grant.terms is None]
        dead = [one for one in verified if self._is_dead(one.grant, refused)]
        await self.drop(claimed.location, (copy.refresh_id for copy in dead))
        chosen = succession.replacement(verified, dead=dead)
        if chosen is None:
            return False
        intent, unanswered = kept_intent(document, chosen.grant), chosen.grant.unanswered or stored.unanswered
        successor = replace(chosen.grant, intent=intent, unanswered=unanswered)
        with suppress(CheckAndSetConflict):
            await self._documents.write_over(document, successor, claimed.read)
        return True

    def _held(self, grant: Grant, asked_at: float, version: int) -> HeldGrant:
        return HeldGrant(grant=grant, asked_at=asked_at, at=self._clock.monotonic(), version=version)

    def _is_dead(self, grant: Grant, refused: Grant) -> bool:
        """Return whether a grant in escrow was refused, or was spent, as far as Vault or this process shows it."""
        return grant.precedes(refused) or grant.lineage in self._spent or grant.lineage in self._refused

    async def _yield_to(
        self, held: HeldGrant, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials
    ) -> HeldGrant | None:
        """Step 7: keep what Vault holds. Our result is dropped only if nothing is lost without it."""
        if held.grant.covers(grant):
            if held.grant.intent_id == claimed.intent.refresh_id:
                await self.remove_intent(claimed.intent, claimed.location, claimed.identity)
            await self._escrow.drop(claimed.location, claimed.intent.refresh_id)
            return held
        if not await self._keep(grant, claimed, client):
            message = (
                "Vault holds another grant, and the refreshed grant cannot be kept in escrow yet: do not restart the "
                "operator, which tries again"
            )
            raise GrantUnstored(message)
        return None

    async def _keep_in_escrow(
        self, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials, trouble: Trouble, report: Report
    ) -> None:
        """Keep a copy, and report afterwards whether there is one: a person may restart the operator because of it."""
        is_kept = False
        try:
            is_kept = await self._keep(grant, claimed, client)
        finally:
            copy = "" if is_kept else ". There is no copy in escrow either: do not restart the operator"
            message = f"Refreshed, but Vault has not stored the new grant yet: {trouble.message}{copy}"
            report(refresh_state.Unstored(trouble=GrantUnstored(message)))

    async def _keep(self, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials) -> bool:
        """Keep a copy in escrow, and return whether it is certainly there."""
        return await self._escrow.keep(claimed.location, grant, claimed.intent.refresh_id, client.client_secret)
