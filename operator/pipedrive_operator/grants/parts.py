"""What refreshes and exchanges of one process share: its intents, and the documents and candidates of its grants."""

from dataclasses import dataclass
from typing import Self

from pipedrive_operator.fairness.slots import FairSlots
from pipedrive_operator.grants.candidate_copies import CandidateCopies
from pipedrive_operator.grants.candidate_places import CandidatePlaces
from pipedrive_operator.grants.candidates import Candidates
from pipedrive_operator.grants.documents import GrantDocuments
from pipedrive_operator.grants.intents import IntentSteps
from pipedrive_operator.grants.renewals import Renewals
from pipedrive_operator.grants.reservations import Reservations
from pipedrive_operator.ports import Clock, Escrow, Pipedrive


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The shared parts. Two sets of them in one process would not know each other's intents."""

    documents: GrantDocuments
    pipedrive: Pipedrive
    escrow: Escrow
    clock: Clock
    intents: IntentSteps
    reservations: Reservations
    candidates: Candidates
    copies: CandidateCopies
    places: CandidatePlaces

    @classmethod
    def build(
        cls,
        *,
        documents: GrantDocuments,
        pipedrive: Pipedrive,
        escrow: Escrow,
        intents: IntentSteps,
        slots: FairSlots,
        clock: Clock,
    ) -> Self:
        """Build the parts on the ports, and on the intents and slots of the refresh protocol."""
        reservations = Reservations(documents=documents, intents=intents, clock=clock)
        renewals = Renewals(
            pipedrive=pipedrive, escrow=escrow, intents=intents, reservations=reservations, slots=slots, clock=clock
        )
        copies = CandidateCopies(documents=documents, escrow=escrow, intents=intents)
        places = CandidatePlaces(documents=documents, escrow=escrow, intents=intents, copies=copies, clock=clock)
        candidates = Candidates(
            documents=documents,
            pipedrive=pipedrive,
            escrow=escrow,
            intents=intents,
            renewals=renewals,
            copies=copies,
            places=places,
            clock=clock,
        )
        return cls(
            documents=documents,
            pipedrive=pipedrive,
            escrow=escrow,
            clock=clock,
            intents=intents,
            reservations=reservations,
            candidates=candidates,
            copies=copies,
            places=places,
        )
