"""Reserves a document for one call to Pipedrive: writes an intent by check-and-set, and removes it afterwards.

Unlike a refresh, an exchange needs no grant in the document, and not even a document.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant.candidate import marks_of, with_marks
from pipedrive_operator.core.grant.document import Document
from pipedrive_operator.core.grant.intent import Intent
from pipedrive_operator.core.values.errors import CheckAndSetConflict, FenceClosed, VaultDenied, VaultUnavailable
from pipedrive_operator.grants.documents import GrantDocuments
from pipedrive_operator.grants.intents import IntentSteps
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
    version: int
    values: Mapping[str, object] = field(repr=False)
    """What the document holds now, without the intent."""


class Reservations:
    """Reserves documents."""

    def __init__(self, *, documents: GrantDocuments, intents: IntentSteps, clock: Clock) -> None:
        """Take the documents, and the intents of this process."""
        self._documents = documents
        self._intents = intents
        self._clock = clock

    async def make(self, source: GrantWithClient, document: Document | None, *, consent: str) -> Reservation | None:
        """Write an intent over a document as it was read; None if another holder was faster.

        Raises:
            FenceClosed: the fence would refuse to send anyway; nothing was written.
            VaultUnavailable: the intent was not written, or Vault cannot be read.
            VaultDenied: the policy does not allow the write.
        """
        began = self._clock.monotonic()
        intent = self._intents.new_intent(source.location, consent=consent)
        held = document.values if document is not None else {}
        unanswered = self._intents.unanswered_after(*marks_of(document))
        version = await self._write(source, with_marks(held, intent, unanswered), document, intent)
        if version is None:
            return None
        until = began + intent.timeout.total_seconds()
        values = with_marks(held, None, unanswered)
        return Reservation(source=source, intent=intent, at=began, until=until, version=version, values=values)

    async def fence(self, reservation: Reservation) -> None:
        """Refuse to send unless our intent stands, and both it and the Lease outlast the whole call.

        The document is read again if more than a moment has passed since the intent was written.

        Raises:
            FenceClosed: the intent was taken over, or it or the Lease might expire during the call.
            VaultUnavailable, VaultDenied: Vault cannot be read.
        """
        if not self._intents.is_a_moment_ago(reservation.at):
            source = reservation.source
            document = await self._documents.find_document(source.location, source.identity)
            if marks_of(document)[0] != reservation.intent:
                raise FenceClosed("another holder has taken over the intent")
        self._intents.require_time(reservation.until)

    async def release(self, reservation: Reservation) -> None:
        """Remove the intent; if Vault fails, it stays until another holder has seen it for long enough."""
        source = reservation.source
        with suppress(CheckAndSetConflict, VaultUnavailable, VaultDenied):
            await self._documents.write_values(
                reservation.values, source.location, source.identity, cas=reservation.version
            )

    async def _write(
        self, source: GrantWithClient, values: Mapping[str, object], document: Document | None, intent: Intent
    ) -> int | None:
        cas = document.version if document is not None else 0
        try:
            return await self._documents.write_values(values, source.location, source.identity, cas=cas)
        except CheckAndSetConflict:
            return None
        except VaultUnavailable:
            found = await self._documents.find_document(source.location, source.identity)
            if found is None or marks_of(found)[0] != intent:
                raise
            return found.version  # only the acknowledgement was lost
