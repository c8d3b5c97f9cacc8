"""Keeps copies of candidates in escrow, and moves them into Vault, beside the grant.

A copy is needed if its exchange has left nothing newer in Vault. What a copy is worth is found out in `candidates.py`.
"""

from collections.abc import Sequence
from dataclasses import replace

from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant.candidate import id_aside, is_outdated, read_candidate, with_candidate
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.document import Document
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.succession import EscrowedGrant, successor_of
from pipedrive_operator.core.grant.terms import Exchange
from pipedrive_operator.core.values.errors import CheckAndSetConflict, GrantUnstored
from pipedrive_operator.grants.documents import GrantDocuments
from pipedrive_operator.grants.intents import IntentSteps
from pipedrive_operator.grants.recent import Recent
from pipedrive_operator.grants.reservations import Reservation
from pipedrive_operator.grants.unexpected import unexpected_errors_reported
from pipedrive_operator.ports import Escrow


class CandidateCopies:
    """The copies of candidates in escrow."""

    def __init__(self, *, documents: GrantDocuments, escrow: Escrow, intents: IntentSteps) -> None:
        """Take the documents, the escrow, and the intents of this process."""
        self._documents = documents
        self._escrow = escrow
        self._intents = intents
        self._obsolete: Recent[tuple[Exchange, str], None] = Recent()
        """The exchanges and lineages of what was dropped or spent: no copy of it gets into Vault again."""
        self._dead: Recent[tuple[Exchange, str], None] = Recent()
        """Those that were refused or spent: Pipedrive will never accept their refresh tokens again."""

    async def keep(self, candidate: Grant, reservation: Reservation, client: ClientCredentials) -> bool:
        """Keep a copy of a candidate that Vault has not stored yet; False if the cluster does not hold it."""
        location, refresh_id = reservation.source.location, reservation.intent.refresh_id
        with unexpected_errors_reported():
            return await self._escrow.keep(location, candidate, refresh_id, client.client_secret)
        return False

    async def set_aside(self, document: Document, candidate: Grant, source: GrantWithClient) -> EscrowedGrant:
        """Keep a copy of the candidate in a document, which is about to be removed from it, and return the copy.

        Raises:
            GrantUnstored: the cluster does not hold it.
        """
        client = await self._documents.read_client(source.client)
        grant = replace(candidate, unanswered=self._intents.unanswered_renewals(document))
        copy = EscrowedGrant(grant=grant, refresh_id=id_aside(candidate, document.version))
        if not await self._escrow.keep(source.location, copy.grant, copy.refresh_id, client.client_secret):
            raise GrantUnstored("Vault holds the result of another consent, and it cannot be kept in escrow now")
        return copy

    async def hold(self, exchange: Exchange, source: GrantWithClient) -> bool:
        """Return whether a candidate of an exchange is in escrow. Raises what `Escrow.open` raises."""
        client = await self._documents.read_client(source.client)
        copies = await self._escrow.open(source.location, client.client_secret)
        return any(copy.grant.terms is not None and copy.grant.exchange == exchange for copy in copies)

    async def restore_any(self, source: GrantWithClient) -> bool:
        """Move a candidate from escrow into Vault, whichever process kept it; False if there is nothing to do.

        Call it when Vault holds no candidate. Raises what `Escrow.open`, `Vault.read` and `Vault.write` raise.
        """
        client = await self._documents.read_client(source.client)
        return await self.restore(await self._escrow.open(source.location, client.client_secret), source)

    async def restore(self, copies: Sequence[EscrowedGrant], source: GrantWithClient) -> bool:
        """Move a candidate from escrow into Vault, as `restore_any` does. Those that add nothing are dropped.

        A candidate whose successor is in escrow too is spent. Other clusters do not see that, and would send it.

        Raises what `Vault.read` and `Vault.write` raise.
        """
        for copy in copies:
            if copy.grant.terms is None:
                continue
            if successor_of(copy.grant, copies) is not None:
                await self._escrow.drop(source.location, copy.refresh_id)
            elif await self._restore(copy, source):
                return True
        return False

    async def _restore(self, copy: EscrowedGrant, source: GrantWithClient) -> bool:
        """Move a candidate into Vault, beside the grant; False if it adds nothing. Another candidate stays."""
        document = await self._documents.find_document(source.location, source.identity)
        held = read_candidate(document)
        is_needed = self.is_needed(copy, document)
        if is_needed and held is not None and held.exchange != copy.grant.exchange:
            return True
        if is_needed and not await self._write(copy, document, source):
            return True
        await self._escrow.drop(source.location, copy.refresh_id)
        return is_needed

    async def _write(self, copy: EscrowedGrant, document: Document | None, source: GrantWithClient) -> bool:
        """Write a copy into a document; False if the copy must stay for now.

        While it is leaving, the document is written as it is: the write that removes the candidate cannot land then.
        """
        is_leaving = _is_leaving(copy, document)
        values = document.values if document is not None else {}
        if not is_leaving:
            values = with_candidate(values, copy.grant)
        try:
            await self._documents.write_values(values, source.location, source.identity, over=document)
        except CheckAndSetConflict:
            await self._intents.pause_after_conflict(1, source.location)
            return False
        return not is_leaving

    def note_obsolete(self, dropped: Grant) -> None:
        """Note that no copy of a grant that was dropped or spent, or of its ancestors, gets into Vault again.

        Its ancestors were spent for it, whichever process has done that.
        """
        self._obsolete[dropped.exchange, dropped.lineage] = None
        for ancestor in (dropped.refreshed_from, dropped.first_refreshed_from):
            if ancestor is not None and ancestor != dropped.lineage:
                self._obsolete[dropped.exchange, ancestor] = self._dead[dropped.exchange, ancestor] = None

    def note_dead(self, grant: Grant) -> None:
        """Note that Pipedrive will never accept the refresh token of a grant again."""
        self._dead[grant.exchange, grant.lineage] = None
        self.note_obsolete(grant)

    def is_needed(self, copy: EscrowedGrant, document: Document | None) -> bool:
        """Return whether the copy of a candidate may add something to a document that was read after it."""
        if _is_leaving(copy, document):
            return True
        return not self.is_obsolete(copy.grant) and not is_outdated(copy.grant, document)

    def is_obsolete(self, grant: Grant) -> bool:
        """Return whether this process has dropped or spent a grant of an exchange, whatever Vault shows of it."""
        return (grant.exchange, grant.lineage) in self._obsolete

    def is_dead(self, grant: Grant) -> bool:
        """Return whether this process knows that Pipedrive will never accept the refresh token of a grant again.

        A grant that was only dropped may return when Vault is restored from a backup, and may be alive.
        """
        return (grant.exchange, grant.lineage) in self._dead

    async def drop_unneeded(self, copies: Sequence[EscrowedGrant], source: GrantWithClient) -> None:
        """Drop the copies of candidates that add nothing."""
        document = await self._documents.find_document(source.location, source.identity)
        for copy in copies:
            if copy.grant.terms is not None and not self.is_needed(copy, document):
                await self._escrow.drop(source.location, copy.refresh_id)


def _is_leaving(copy: EscrowedGrant, document: Document | None) -> bool:
    """Return whether a write that sets the candidate aside may land still: no other version was written since.

    It removes the candidate from Vault, so that the copy is the only one then.
    """
    return document is not None and copy.refresh_id == id_aside(copy.grant, document.version)
