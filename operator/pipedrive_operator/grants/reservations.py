"""Reserves a document for one call to Pipedrive: writes an intent by check-and-set, and removes it afterwards.

Unlike a refresh, an exchange needs no grant in the document, and not even a document.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant.candidate import marks_of, read_candidate, with_marks, without_intent
from pipedrive_operator.core.grant.document import Document
from pipedrive_operator.core.grant.intent import Intent
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    FenceClosed,
    SourceMissing,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.grants.documents import GrantDocuments
from pipedrive_operator.grants.intents import IntentSteps
from pipedrive_operator.grants.values import ReadDocument
from pipedrive_operator.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A document with an intent of this process that Vault has acknowledged."""

    source: GrantWithClient
    intent: Intent
    at: float
    """On our monotonic clock: when the write of the intent began."""
    until: float
    """On our monotonic clock: when another holder may start to consider us dead."""
    document: Document = field(repr=False)
    """The document as it is in Vault now: with our intent, at our version."""

    @property
    def values(self) -> Mapping[str, object]:
        """The values of the document without our intent."""
        return self.without_intent(self.document)

    def without_intent(self, document: Document | None) -> Mapping[str, object]:
        """Return the values of a document without our intent; another intent stays."""
        return without_intent(document, self.intent) if document is not None else {}


class Reservations:
    """Reserves documents."""

    def __init__(self, *, documents: GrantDocuments, intents: IntentSteps, clock: Clock) -> None:
        """Take the documents, and the intents of this process."""
        self._documents = documents
        self._intents = intents
        self._clock = clock

    async def make(self, source: GrantWithClient, read: ReadDocument, *, consent: str) -> Reservation | None:
        """Write an intent over a document as it was read; None if another holder was faster.

        Raises:
            CheckAndSetConflict: the document was read more than a moment ago, and has changed since.
            FenceClosed: the fence would refuse to send anyway; nothing was written.
            RefreshUncertain: the document holds our intent to refresh whose outcome is not known yet.
            VaultUnavailable: the intent was not written, or Vault cannot be read.
            VaultDenied: the policy does not allow the write.
        """
        document = read.document
        self._intents.require_pause(source.location, document)
        if document is not None:
            holds = partial(self._documents.holds_document, document, source.location, source.identity)
            await self._intents.require_current(read.at, holds)
        began = self._clock.monotonic()
        intent = self._intents.new_intent(source.location, consent=consent)
        unanswered = self._intents.unanswered_after(*marks_of(document))
        held = self._intents.with_unanswered_renewals(document).values if document is not None else {}
        values = with_marks(held, intent, unanswered)
        written = await self._write(source, values, document, intent)
        if written is None:
            return None
        until = began + intent.timeout.total_seconds()
        return Reservation(source=source, intent=intent, at=began, until=until, document=written)

    async def fence(self, reservation: Reservation, also: Callable[[], Awaitable[bool]] | None = None) -> None:
        """Refuse to send unless our intent stands, and both it and the Lease outlast the whole call.

        The document is read again if more than a moment has passed since the intent was written: another holder may
        have stored a result beside our intent, which spends the candidate's token. With `also`, a further
        condition, both are always checked, even if the intent is recent.

        Raises:
            FenceClosed: the document has changed, `also` does not hold, or the intent or the Lease might expire during
                the call.
            VaultUnavailable, VaultDenied: Vault cannot be read.
        """

        async def holds() -> bool:
            return (also is None or await also()) and await self._stands(reservation)

        try:
            await self._intents.verify(reservation.at if also is None else float("-inf"), holds)
        except CheckAndSetConflict as conflict:
            raise FenceClosed(str(conflict)) from conflict
        self._intents.require_time(reservation.until)

    async def release(self, reservation: Reservation) -> None:
        """Remove the intent; if Vault fails, it stays until another holder has seen it for long enough."""
        source = reservation.source
        self._intents.note_resolved(reservation.intent)
        with suppress(CheckAndSetConflict, VaultUnavailable, VaultDenied, SourceMissing):
            try:
                await self._intents.require_current(reservation.at, lambda: self._stands(reservation))
                await self._documents.write_values(
                    reservation.values, source.location, source.identity, over=reservation.document
                )
            except CheckAndSetConflict:
                await self._intents.remove_intent(reservation.intent, source.location, source.identity)

    async def _stands(self, reservation: Reservation) -> bool:
        source = reservation.source
        return await self._documents.holds_document(reservation.document, source.location, source.identity)

    async def _write(
        self, source: GrantWithClient, values: Mapping[str, object], document: Document | None, intent: Intent
    ) -> Document | None:
        """Write the values with an intent, and return the document; None if another holder was faster.

        Raises what `make` raises. Vault may hold the intent even so.
        """
        self._intents.note_resolved(intent)  # nothing is sent unless Vault has acknowledged it
        try:
            version = await self._documents.write_values(values, source.location, source.identity, over=document)
        except CheckAndSetConflict:
            return None
        except VaultUnavailable:
            found = await self._documents.find_document(source.location, source.identity)
            if found is None or marks_of(found)[0] != intent:
                raise
            if read_candidate(found) != read_candidate(replace(found, values=values)):
                return None  # a renewal by another holder was stored meanwhile
            self._intents.note_acknowledged(intent)
            return found  # only the acknowledgement was lost; a person may have changed other values since
        self._intents.note_acknowledged(intent)
        return Document(location=source.location, version=version, created_at=self._clock.now(), values=values)
