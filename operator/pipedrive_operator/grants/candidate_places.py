"""Puts candidates into their place beside the grant in Vault, and removes them from it.

What becomes of a candidate is decided in `candidates.py`. Nothing is sent to Pipedrive here.
"""

import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant.candidate import (
    is_outdated,
    marks_of,
    read_candidate,
    with_candidate,
    without_candidate,
)
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.document import Document
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.obsolete import with_obsolete, with_obsolete_ancestors
from pipedrive_operator.core.grant.terms import Terms
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.errors import CheckAndSetConflict
from pipedrive_operator.grants.candidate_copies import CandidateCopies
from pipedrive_operator.grants.documents import GrantDocuments
from pipedrive_operator.grants.intents import IntentSteps
from pipedrive_operator.grants.reservations import Reservation
from pipedrive_operator.grants.unexpected import as_trouble
from pipedrive_operator.grants.values import LONGEST_STORE_PAUSE
from pipedrive_operator.ports import Clock, Escrow

MakeRoom = Callable[[GrantWithClient], Awaitable[object]]
"""Settles the candidate that is in the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenCandidate:
    """A document with a candidate."""

    document: Document
    candidate: Grant
    terms: Terms
    at: float
    """On our monotonic clock: when the read of the document began."""


class CandidatePlaces:
    """The places of candidates in their documents."""

    def __init__(
        self,
        *,
        documents: GrantDocuments,
        escrow: Escrow,
        intents: IntentSteps,
        copies: CandidateCopies,
        clock: Clock,
    ) -> None:
        """Take the documents, the escrow, the intents of this process, and the copies of candidates."""
        self._documents = documents
        self._escrow = escrow
        self._intents = intents
        self._copies = copies
        self._clock = clock

    async def keep(
        self,
        candidate: Grant,
        reservation: Reservation,
        client: ClientCredentials,
        *,
        make_room: MakeRoom,
    ) -> None:
        """Store a candidate, however long it takes and whatever fails, with a copy in escrow meanwhile.

        This is the first acknowledged copy: nothing else is called before it. If Vault holds the candidate of another
        consent, it stays in escrow until that one is settled. If it cannot be kept there, `make_room` settles that one.
        """
        for attempt in itertools.count(1):
            is_recent = attempt == 1 and self._intents.is_a_moment_ago(reservation.at)
            try:
                if await self._store(candidate, reservation, client, make_room, is_recent=is_recent):
                    return
            except CheckAndSetConflict:
                await self._copies.keep(candidate, reservation, client)
                await self._intents.pause_after_conflict(attempt, reservation.source.location)
            except Exception as error:  # noqa: BLE001  no error may lose the candidate
                as_trouble(error)
                await self._copies.keep(candidate, reservation, client)
                wanted = pause(attempt, spread_by=str(reservation.source.location))
                await self._clock.sleep(min(wanted, LONGEST_STORE_PAUSE).total_seconds())

    async def _store(
        self,
        candidate: Grant,
        reservation: Reservation,
        client: ClientCredentials,
        make_room: MakeRoom,
        *,
        is_recent: bool,
    ) -> bool:
        """Try once to store a candidate, over its reservation if that is recent; False to try again."""
        source, values = reservation.source, reservation.values
        over: Document | None = reservation.document
        if not is_recent:
            document = await self._documents.find_at_once(source.location, source.identity)
            held = read_candidate(document)
            if is_outdated(candidate, document):
                await self._remove_intent(reservation)
                await self._escrow.drop(source.location, reservation.intent.refresh_id)
                return True
            if held is not None and held.exchange != candidate.exchange:
                if await self._copies.keep(candidate, reservation, client):
                    await self._remove_intent(reservation)
                    return True
                await make_room(source)
                return False
            values, over = reservation.without_intent(document), document
        values = with_candidate(values, candidate)
        await self._documents.write_values(values, source.location, source.identity, over=over)
        await self._escrow.drop(source.location, reservation.intent.refresh_id)
        return True

    async def _remove_intent(self, reservation: Reservation) -> None:
        """Remove the intent of a result that is not written to Vault: others wait for as long as they see it."""
        source = reservation.source
        self._intents.note_resolved(reservation.intent)
        await self._intents.remove_intent(reservation.intent, source.location, source.identity)

    async def see(self, source: GrantWithClient) -> SeenCandidate | None:
        """Read the document once nobody may be about to send the candidate; None if it has no candidate.

        Raises what `IntentSteps.wait_for` and `IntentSteps.require_pause` raise.
        """
        while True:
            at = self._clock.monotonic()
            document = await self._documents.find_document(source.location, source.identity)
            candidate = read_candidate(document)
            if document is None or candidate is None or candidate.terms is None:
                return None
            if await self._intents.wait_for(marks_of(document)[0], source.location):
                self._intents.require_pause(source.location, document)
                return SeenCandidate(document=document, candidate=candidate, terms=candidate.terms, at=at)

    async def set_aside(self, source: GrantWithClient) -> None:
        """Move the candidate of an older consent into escrow, from where it returns after the newer one.

        Raises:
            GrantUnstored: it cannot be kept in escrow now; it stays where it is.
        """
        seen = await self.see(source)
        if seen is None:
            return
        copy = await self._copies.set_aside(seen.document, seen.candidate, source)
        try:
            values = with_obsolete_ancestors(self._without_candidate(seen), seen.candidate)
            await self.write(values, seen, source)
        except CheckAndSetConflict:
            await self._copies.restore([copy], source)

    async def drop(self, seen: SeenCandidate, source: GrantWithClient) -> None:
        """Remove a candidate from Vault; the grant beside it stays as it is.

        It is marked as obsolete if a copy may get into Vault again, or if its ancestor was spent. A copy in another
        cluster has returned it if this process knows it as obsolete.
        """
        values, candidate = self._without_candidate(seen), seen.candidate
        has_copies = self._escrow.holds(source.location) or self._copies.is_obsolete(candidate)
        if candidate.refreshed_from is not None or has_copies:
            values = with_obsolete(values, candidate)
        await self.write(values, seen, source)

    def _without_candidate(self, seen: SeenCandidate) -> Mapping[str, object]:
        unanswered = self._intents.unanswered_after(*marks_of(seen.document))
        return without_candidate(seen.document.values, unanswered)

    async def write(self, values: Mapping[str, object], seen: SeenCandidate, source: GrantWithClient) -> None:
        """Write over what was seen, which may have been long ago: Pipedrive was called since.

        Raises:
            CheckAndSetConflict: Vault holds something else by now.
            VaultUnavailable, VaultDenied, SourceMissing: Vault cannot be read or written.
        """
        document = seen.document
        await self._intents.require_current(
            seen.at, lambda: self._documents.holds_document(document, source.location, source.identity)
        )
        await self._documents.write_values(values, source.location, source.identity, over=document)
