"""Verifies the result of a consent, a candidate beside the grant in Vault, and promotes or drops it.

Any process may complete the consent of one that died: what it needs to know is stored with the candidate. The grant in
Vault stays as it is until the candidate is verified for the right account. A candidate of the wrong account is not
revoked: that would uninstall the app for its user, and may end the grant of another credential.
"""

import itertools
from dataclasses import dataclass, field
from typing import Final

from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant.candidate import (
    account_problem,
    is_spent,
    is_unrelated,
    mismatch,
    promoted,
    was_spent_for,
    with_candidate,
    with_promoted,
)
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.grant import Grant, read_grant
from pipedrive_operator.core.grant.obsolete import with_obsolete
from pipedrive_operator.core.grant.succession import successor_of
from pipedrive_operator.core.grant.terms import Exchange, Terms
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    CheckAndSetConflict,
    GrantUnstored,
    InvalidSpec,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    TokenRejected,
    TokenResponseUnusable,
)
from pipedrive_operator.grants.candidate_copies import CandidateCopies
from pipedrive_operator.grants.candidate_places import CandidatePlaces, SeenCandidate
from pipedrive_operator.grants.documents import GrantDocuments
from pipedrive_operator.grants.intents import IntentSteps
from pipedrive_operator.grants.recent import Recent
from pipedrive_operator.grants.renewals import Renewals, UnusableCandidate
from pipedrive_operator.grants.reservations import Reservation
from pipedrive_operator.grants.values import ReadDocument
from pipedrive_operator.ports import Clock, Escrow, Pipedrive

UNDECIDED: Final = (
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    TokenResponseUnusable,
    GrantUnstored,
    AccountNotOpen,
)
"""The errors with which `Candidates.settle` leaves a candidate undecided. The grant beside it must go on."""

_ANOTHER_CLIENT: Final = (
    "spec.oauth2.client: the grant of a consent was issued to another client than the one at {place} in Vault, and "
    "waits for it. Put that client back, or create another consent"
)
_GIVEN_UP: Final = (
    "The client at {place} in Vault was replaced after the authorization code was exchanged. The grant can be used "
    "with the former client only, and was dropped. Create another consent"
)
_HANDED_OVER: Final = (
    "Another grant was written to Vault at the same time. The operator keeps both, and uses the one that Pipedrive "
    "accepts"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How a candidate was settled."""

    terms: Terms
    account: Account | None = None
    """The account that it belongs to, if Pipedrive has said so."""
    reason: ConsentReason
    """How its consent ends with that."""
    problem: str | None
    """Why it was dropped; None if it was promoted."""


@dataclass(slots=True)
class _Attempt:
    """What one attempt to settle a candidate has found out so far."""

    issued: str | None = None
    """The digest of the access token that this attempt has obtained from Pipedrive."""
    refused: dict[str, UnusableCandidate | AccountNotOpen] = field(default_factory=dict)
    """Why a candidate must not be used, by its lineage."""


class Candidates:
    """The candidates of consents."""

    def __init__(
        self,
        *,
        documents: GrantDocuments,
        pipedrive: Pipedrive,
        escrow: Escrow,
        intents: IntentSteps,
        renewals: Renewals,
        copies: CandidateCopies,
        places: CandidatePlaces,
        clock: Clock,
    ) -> None:
        """Take the ports, the intents of this process, and the renewals, copies and places of candidates."""
        self._documents = documents
        self._pipedrive = pipedrive
        self._escrow = escrow
        self._intents = intents
        self._renewals = renewals
        self._copies = copies
        self._places = places
        self._clock = clock
        self._settled: Recent[Exchange, Settled] = Recent()
        """How this process has settled the last candidate of each exchange."""

    async def keep(self, candidate: Grant, reservation: Reservation, client: ClientCredentials) -> None:
        """Store a candidate, as `CandidatePlaces.keep` does; one of another consent may be settled before."""
        await self._places.keep(candidate, reservation, client, make_room=self.settle)

    async def settle(self, source: GrantWithClient, *, gives_up: Exchange | None = None) -> Settled | None:
        """Verify the candidate at a location, and promote or drop it; None if there is none.

        A candidate that was issued to another client than the one in Vault is left alone: that client may be put back.
        Only what an exchange `gives_up` is dropped then.

        Raises:
            InvalidSpec: it was issued to another client.
            PipedriveUnavailable, RateLimited, RefreshUncertain, TokenResponseUnusable, ClientRejected:
                the account is not known yet; the candidate stays.
            AccountNotOpen: it succeeds the grant in Vault; it stays, because only its account is closed.
            VaultUnavailable, VaultDenied: Vault could not be read or written.
            GrantUnstored: the candidate must be kept in escrow, which is not possible now.
            FenceClosed: this process must not act at the moment.
        """
        attempt = _Attempt()
        for conflicts in itertools.count(1):
            seen = await self._places.see(source)
            if seen is None:
                return None
            try:
                settled = await self._give_up(seen, source, gives_up) or await self._take_step(seen, source, attempt)
            except CheckAndSetConflict:
                await self._intents.pause_after_conflict(conflicts, source.location)
                continue
            if settled is not None:
                self._settled[settled.terms.exchange] = settled
                return settled
        raise AssertionError

    def dropped(self, exchange: Exchange) -> Settled | None:
        """Return how this process has settled a candidate of an exchange, if it has dropped the last one."""
        settled = self._settled.get(exchange)
        return settled if settled is not None and settled.problem is not None else None

    async def _give_up(self, seen: SeenCandidate, source: GrantWithClient, gives_up: Exchange | None) -> Settled | None:
        """Drop a candidate of another client, if its exchange is given up; None if its client is the one in Vault.

        Raises:
            InvalidSpec: it must be left alone.
        """
        client = await self._documents.read_client(source.client)
        if seen.candidate.is_usable_with(client.client_id):
            return None
        place = source.client.location
        if seen.candidate.exchange != gives_up:
            raise InvalidSpec(_ANOTHER_CLIENT.format(place=place))
        problem = _GIVEN_UP.format(place=place)
        settled = Settled(terms=seen.terms, reason=ConsentReason.CREDENTIAL_CHANGED, problem=problem)
        return await self._drop_as(settled, seen, source)

    async def _take_step(self, seen: SeenCandidate, source: GrantWithClient, attempt: _Attempt) -> Settled | None:
        """Take the next step to settle a candidate; None if the document must be read again. Raises as `settle` does.

        Also raises CheckAndSetConflict if the document has changed.
        """
        candidate, stored, account = seen.candidate, read_grant(seen.document), None
        if is_spent(candidate, seen.document) or self._copies.is_dead(candidate):
            await self._places.drop(seen, source)
            return None
        if candidate.lineage not in attempt.refused:
            try:
                is_just_issued = attempt.issued is not None and candidate.access_digest == attempt.issued
                account = await self.identify(candidate, is_just_issued=is_just_issued)
                if account is None and not is_just_issued:
                    if not await self._take_successor(seen, source):
                        await self._renew(seen, source, attempt)
                    return None
            except (UnusableCandidate, AccountNotOpen) as error:
                if isinstance(error, AccountNotOpen) and stored is not None and was_spent_for(stored, candidate):
                    raise  # it is the grant in use, whose account may be open again later
                attempt.refused[candidate.lineage] = error
                return None  # an intent may have been written and removed since the document was read
        missed = mismatch(seen.terms, candidate, stored, account) if account is not None else None
        refused = attempt.refused.get(candidate.lineage)
        problem = str(refused) if refused is not None else account_problem(account, missed)
        if problem is None and account is not None:
            problem = await self._promote(seen, account, source)
        if problem is None:
            return Settled(terms=seen.terms, account=account, reason=ConsentReason.CONNECTED, problem=None)
        reason = ConsentReason.UNCERTAIN if missed is None else ConsentReason.WRONG_ACCOUNT
        settled = Settled(terms=seen.terms, account=account, reason=reason, problem=problem)
        await self._drop_as(settled, seen, source)
        if isinstance(refused, UnusableCandidate):
            self._copies.note_dead(candidate)
        return settled

    async def identify(self, candidate: Grant, *, is_just_issued: bool) -> Account | None:
        """Return the account of a candidate; None if it has no usable access token.

        Pipedrive is asked about a token that was just issued even if it has expired by our clock, which may be wrong.
        """
        token = candidate.token
        if token is None or (token.expired(self._clock.now()) and not is_just_issued):
            return None
        try:
            return await self._pipedrive.identify_access_token(token)
        except TokenRejected:
            return None

    async def _promote(self, seen: SeenCandidate, account: Account, source: GrantWithClient) -> str | None:
        """Make a candidate the grant, or hand it over to escrow; return why it must be dropped then."""
        document, candidate = seen.document, seen.candidate
        grant = promoted(candidate, account, self._intents.unanswered_renewals(document))
        stored = read_grant(document)
        if stored is not None and not self.outranks(candidate, stored):
            return await self._hand_over(grant, source)
        values = document.values if stored is None else with_obsolete(document.values, stored)
        await self._places.write(with_promoted(values, grant), seen, source)
        return None

    async def _drop_as(self, settled: Settled, seen: SeenCandidate, source: GrantWithClient) -> Settled:
        """Drop a candidate. Why is noted before: the acknowledgement of the write may be lost."""
        self._settled[settled.terms.exchange] = settled
        await self._places.drop(seen, source)
        self._copies.note_obsolete(seen.candidate)
        return settled

    def outranks(self, candidate: Grant, stored: Grant) -> bool:
        """Return whether a verified candidate replaces what Vault holds: only what its consent was meant to replace."""
        return not is_unrelated(stored, candidate)

    async def _hand_over(self, grant: Grant, source: GrantWithClient) -> str:
        """Put a verified grant into escrow, because only Pipedrive knows whether it or the one in Vault is alive."""
        client = await self._documents.read_client(source.client)
        if not await self._escrow.keep(source.location, grant, f"consent-{grant.lineage}", client.client_secret):
            raise GrantUnstored("Vault holds the grant of another consent, and the new one cannot be kept in escrow")
        return _HANDED_OVER

    async def _take_successor(self, seen: SeenCandidate, source: GrantWithClient) -> bool:
        """Let the successor of a candidate take its place if a process that died has left one in escrow.

        The candidate's refresh token is spent then, and must not be sent again. False if there is no successor: then
        older results of its exchange are dropped, which must not take its place once it is refused.
        """
        client = await self._documents.read_client(source.client)
        copies = await self._escrow.open(source.location, client.client_secret)
        successor = successor_of(seen.candidate, copies)
        if successor is None:
            await self._copies.drop_unneeded(copies, source)
            return False
        if successor.grant.terms is None:  # verified, and handed over
            raise UnusableCandidate(_HANDED_OVER)
        await self._places.write(with_candidate(seen.document.values, successor.grant), seen, source)
        await self._escrow.drop(source.location, successor.refresh_id)
        return True

    async def _renew(self, seen: SeenCandidate, source: GrantWithClient, attempt: _Attempt) -> None:
        """Refresh a candidate once, and keep its successor, even if its access token cannot be used.

        Raises what `Renewals.run` raises.
        """
        client = await self._documents.read_client(source.client)
        read = ReadDocument(document=seen.document, at=seen.at)
        renewed = await self._renewals.run(seen.candidate, seen.terms.consent, read, source, client)
        await self.keep(renewed.candidate, renewed.reservation, client)
        if renewed.candidate.lineage != seen.candidate.lineage:
            self._copies.note_dead(seen.candidate)
        attempt.issued = renewed.candidate.access_digest
        if renewed.trouble is not None:
            raise renewed.trouble
