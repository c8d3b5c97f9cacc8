"""Operators without one rule of consents. A mutant overrides one step, as in `of_refreshes.py`."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from pipedrive_operator.core.grant.candidate import promoted, with_promoted
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.grant import Grant, TokenResponse
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    RefreshUncertain,
    VaultUnavailable,
)
from pipedrive_operator.fairness.slots import FairSlots
from pipedrive_operator.grants import GrantKeeper, RefreshProtocol
from pipedrive_operator.grants.candidates import Candidates
from pipedrive_operator.grants.exchange import CodeExchange
from pipedrive_operator.grants.parts import Parts
from pipedrive_operator.grants.renewals import Renewals
from pipedrive_operator.grants.reservations import Reservation
from pipedrive_operator.grants.values import Exchanged, ExchangeOrder
from support.builders import ACCOUNT


async def _open() -> None:
    """Fence nothing."""


class _SendsTheCodeAgain(CodeExchange):
    async def call(self, order: ExchangeOrder, client: ClientCredentials, reservation: Reservation) -> TokenResponse:
        try:
            return await super().call(order, client, reservation)
        except RefreshUncertain:
            # Without the fence: an outage that loses the answer often closes it too.
            return await self._pipedrive.exchange(client, order.code, order.redirect_uri, fence=_open)


class SendsTheCodeAgain(GrantKeeper):
    """Consents: a code whose exchange was not answered is sent again."""

    attacks = ("(a)",)

    def __init__(self, *, protocol: RefreshProtocol, **parts: Any) -> None:
        """Exchange codes in another way."""
        super().__init__(protocol=protocol, exchange=_SendsTheCodeAgain(protocol.parts), **parts)


class _VerifiesFirst(CodeExchange):
    async def take(
        self, candidate: Grant, reservation: Reservation, client: ClientCredentials, order: ExchangeOrder
    ) -> Exchanged:
        await self._candidates.identify(candidate, is_just_issued=True)
        return await super().take(candidate, reservation, client, order)


class VerifiesBeforeItKeeps(GrantKeeper):
    """Consents: Pipedrive is asked for the account before the first copy of the grant exists."""

    attacks = ("(b)",)

    def __init__(self, *, protocol: RefreshProtocol, **parts: Any) -> None:
        """Exchange codes in another way."""
        super().__init__(protocol=protocol, exchange=_VerifiesFirst(protocol.parts), **parts)


class _NoCandidates(CodeExchange):
    async def take(
        self, candidate: Grant, reservation: Reservation, client: ClientCredentials, order: ExchangeOrder
    ) -> Exchanged:
        source = reservation.source
        while True:
            document = await self._documents.find_document(source.location, source.identity)
            assert document is not None
            values = with_promoted(document.values, promoted(candidate, ACCOUNT))
            with suppress(CheckAndSetConflict, VaultUnavailable):
                await self._documents.write_values(values, source.location, source.identity, over=document)
                return Exchanged(reason=ConsentReason.CONNECTED, message="Connected")
            await self._clock.sleep(1)


class StoresWithoutACandidate(GrantKeeper):
    """Consents: the grant in Vault is replaced before Pipedrive has said whose the new one is."""

    attacks = ("(h)",)

    def __init__(self, *, protocol: RefreshProtocol, **parts: Any) -> None:
        """Exchange codes in another way."""
        super().__init__(protocol=protocol, exchange=_NoCandidates(protocol.parts), **parts)


class _AnyAccount(Candidates):
    async def identify(self, candidate: Grant, *, is_just_issued: bool) -> Account | None:
        found = await super().identify(candidate, is_just_issued=is_just_issued)
        return ACCOUNT if found is not None else None


class AcceptsAnyAccount(RefreshProtocol):
    """Consents: the account of a candidate is not compared with the pinned one."""

    attacks = ("(h)",)

    def __init__(self, **ports: Any) -> None:
        """Verify in another way."""
        super().__init__(**ports)
        self.parts = _with_candidates(self.parts, self._slots, _AnyAccount)


class _OutranksAnything(Candidates):
    def outranks(self, candidate: Grant, stored: Grant) -> bool:
        return True


class ReplacesAnyGrant(RefreshProtocol):
    """Consents: a candidate replaces whatever Vault holds, even what was stored after the code was exchanged."""

    attacks = ("(h)",)

    def __init__(self, **ports: Any) -> None:
        """Promote in another way."""
        super().__init__(**ports)
        self.parts = _with_candidates(self.parts, self._slots, _OutranksAnything)


def _with_candidates(parts: Parts, slots: FairSlots, kind: type[Candidates]) -> Parts:
    renewals = Renewals(
        pipedrive=parts.pipedrive,
        escrow=parts.escrow,
        intents=parts.intents,
        reservations=parts.reservations,
        slots=slots,
        clock=parts.clock,
    )
    candidates = kind(
        documents=parts.documents,
        pipedrive=parts.pipedrive,
        escrow=parts.escrow,
        intents=parts.intents,
        renewals=renewals,
        copies=parts.copies,
        places=parts.places,
        clock=parts.clock,
    )
    return replace(parts, candidates=candidates)
