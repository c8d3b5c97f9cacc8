"""Refreshes the candidate of a consent, because only a usable access token shows whose it is.

A candidate is refreshed as a grant is: behind an intent and a fence, and never sent again beside its successor. What
becomes of the result is decided in `candidates.py`.
"""

from dataclasses import dataclass

from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant.candidate import id_aside
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.grant import Grant, half_refreshed_grant, refreshed_grant
from pipedrive_operator.core.grant.succession import successor_of
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    ConsentRequired,
    OperatorError,
    RefreshUncertain,
    TokenResponseUnusable,
)
from pipedrive_operator.fairness.slots import FairSlots
from pipedrive_operator.grants.intents import IntentSteps
from pipedrive_operator.grants.reservations import Reservation, Reservations
from pipedrive_operator.grants.unexpected import FAILED_UNEXPECTEDLY
from pipedrive_operator.grants.values import ReadDocument
from pipedrive_operator.ports import Clock, Escrow, Pipedrive


class UnusableCandidate(Exception):
    """Pipedrive will never accept the refresh token of the candidate again; `str` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """The result of a renewal, which must be kept whether its access token is usable or not."""

    candidate: Grant
    reservation: Reservation
    """The document with our intent, which the result replaces."""
    trouble: TokenResponseUnusable | None = None
    """Why the access token cannot be used."""


class Renewals:
    """The renewals of candidates."""

    def __init__(
        self,
        *,
        pipedrive: Pipedrive,
        escrow: Escrow,
        intents: IntentSteps,
        reservations: Reservations,
        slots: FairSlots,
        clock: Clock,
    ) -> None:
        """Take the ports, the intents of this process, and the slots that limit its refreshes."""
        self._pipedrive = pipedrive
        self._escrow = escrow
        self._intents = intents
        self._reservations = reservations
        self._slots = slots
        self._clock = clock

    async def run(
        self, candidate: Grant, consent: str, read: ReadDocument, source: GrantWithClient, client: ClientCredentials
    ) -> Renewed:
        """Send the refresh token of a candidate once, and return its successor.

        After an unknown outcome the intent stays in Vault, so that nobody sends the same token at once.

        Raises:
            CheckAndSetConflict: another holder was faster; nothing was sent, or the successor is in escrow.
            UnusableCandidate: Pipedrive refused it.
            RefreshUncertain: nobody knows whether Pipedrive has spent it.
            Trouble, FenceClosed, ApiServerUnavailable: nothing was spent.
        """
        async with self._slots.slot():
            reservation = await self._reservations.make(source, read, consent=consent)
            if reservation is None:
                raise CheckAndSetConflict("another holder was faster")
            if read.document is not None:
                # A write that sets the candidate aside may have failed: it can no longer land, and needs no copy.
                await self._escrow.drop(source.location, id_aside(candidate, read.document.version))
            return await self._refresh(candidate, reservation, client)

    async def _refresh(self, candidate: Grant, reservation: Reservation, client: ClientCredentials) -> Renewed:
        asked_at = self._clock.now()
        try:
            response = await self._pipedrive.refresh(
                client, candidate.refresh_token, fence=lambda: self._fence(candidate, reservation, client)
            )
        except TokenResponseUnusable as trouble:
            half = half_refreshed_grant(candidate, trouble.refresh_token)
            return Renewed(candidate=half, reservation=reservation, trouble=trouble)
        except ConsentRequired as trouble:
            await self._reservations.release(reservation)
            await self._drop_copies(candidate, reservation, client)
            raise UnusableCandidate(trouble.message) from trouble
        except RefreshUncertain as trouble:
            raise self._intents.note_uncertain(reservation.source.location, candidate, trouble) from trouble
        except OperatorError:
            await self._reservations.release(reservation)
            raise
        except Exception:  # a defect: the request may have left
            self._intents.note_uncertain(reservation.source.location, candidate, RefreshUncertain(FAILED_UNEXPECTEDLY))
            raise
        renewed = refreshed_grant(candidate, response, client_id=client.client_id, asked_at=asked_at)
        return Renewed(candidate=renewed, reservation=reservation)

    async def _fence(self, candidate: Grant, reservation: Reservation, client: ClientCredentials) -> None:
        """Refuse to send as `Reservations.fence` does, and also if the candidate has a successor in escrow.

        A process that spent the candidate may have been stopped, and may have kept the result after we searched.

        Raises:
            GrantUnstored, ApiServerUnavailable: as `Escrow.open` does.
        """

        async def is_unspent() -> bool:
            copies = await self._escrow.open(reservation.source.location, client.client_secret)
            return successor_of(candidate, copies) is None

        await self._reservations.fence(reservation, also=is_unspent)

    async def _drop_copies(self, refused: Grant, reservation: Reservation, client: ClientCredentials) -> None:
        """Drop from escrow what Pipedrive has refused: it may have been handed over before it was a candidate again."""
        location = reservation.source.location
        copies = await self._escrow.open(location, client.client_secret)
        if successor_of(refused, copies) is not None:
            raise CheckAndSetConflict(
                "the successor of the candidate is in escrow by now: a process that was stopped has kept it"
            )
        for copy in copies:
            if copy.grant.lineage == refused.lineage:
                await self._escrow.drop(location, copy.refresh_id)
