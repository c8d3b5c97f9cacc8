"""Exchanges the code of a consent for a grant, so that no token is lost and the grant that works is never harmed.

The steps are those of docs/refresh-protocol.md. A code works once and expires within minutes: it is sent at most once,
and never again after an unknown outcome. The result becomes a candidate (`candidates.py`) before anything else happens.
"""

import itertools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant.candidate import marks_of, read_candidate
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.grant import Grant, TokenResponse, consented_grant, read_grant
from pipedrive_operator.core.grant.terms import Terms
from pipedrive_operator.core.grant.token import expected_account
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import OPEN_AGAIN, ConsentReason
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    CheckAndSetConflict,
    ClientRejected,
    ConsentRequired,
    FenceClosed,
    InvalidSpec,
    PipedriveUnavailable,
    TokenResponseUnusable,
    Trouble,
    VaultDenied,
)
from pipedrive_operator.grants.candidates import UNDECIDED, Settled
from pipedrive_operator.grants.documents import LONGEST_LAG
from pipedrive_operator.grants.parts import Parts
from pipedrive_operator.grants.reservations import Reservation
from pipedrive_operator.grants.values import Exchanged, ExchangeOrder, ReadDocument

CODE_USABLE: Final = 240.0
"""In seconds since this process first saw the code, which Pipedrive accepts for five minutes."""
LONGEST_WAIT_FOR_ROOM: Final = 180.0
"""In seconds since this process first saw the code: how long it waits for Pipedrive to verify an older consent."""
RETRY_PAUSE: Final = 2.0
"""In seconds, between two attempts to write an intent while the code is usable."""
_BUSY: Final = "Other refreshes and consents of this grant took too long"

Claim = Callable[[], Awaitable[bool]]
"""Records that the code is about to be sent; False if the consent has changed, so that it must not be sent."""
Attempt = Callable[[], Coroutine[Any, Any, Exchanged | None]]
"""One attempt to exchange a code."""


class _NotReady(Exception):
    """The code cannot be sent yet; `str` says why. Nothing was sent, and no intent was left."""


async def _at_once(attempt: Attempt) -> Exchanged | None:
    return await attempt()


class CodeExchange:
    """Exchanges codes, one call per answer. Calls for the same grant must not overlap."""

    def __init__(self, parts: Parts) -> None:
        """Take the parts that it shares with the refresh protocol."""
        self._documents = parts.documents
        self._pipedrive = parts.pipedrive
        self._intents = parts.intents
        self._reservations = parts.reservations
        self._candidates = parts.candidates
        self._places = parts.places
        self._copies = parts.copies
        self._clock = parts.clock

    async def refused(self, order: ExchangeOrder) -> Exchanged | None:
        """Return how the consent ended because its Vault identity cannot read the grant; None if it can.

        Call this before `run`, and while others may still use the grant: anyone can name any path for an identity of
        their own, and must not keep its users from refreshing.
        """
        trouble = _BUSY
        while self._clock.monotonic() < order.began + CODE_USABLE:
            try:
                await self._documents.find_document(order.source.location, order.source.identity)
            except VaultDenied as denied:
                return _not_sent(denied.message)
            except Trouble as error:
                trouble = error.message
                await self._intents.pause_before_sending(RETRY_PAUSE)
            else:
                return None
        return _not_sent(trouble)

    async def run(
        self,
        order: ExchangeOrder,
        claim: Claim,
        in_turn: Callable[[Attempt], Awaitable[Exchanged | None]] = _at_once,
    ) -> Exchanged | None:
        """Exchange a code, and return how the consent ended; None if nothing was sent because the consent changed.

        `claim` is called when everything is ready to send the code: after it, the code counts as sent. While it cannot
        be sent, it is tried again until it expires. `in_turn` makes one attempt when nobody else uses the grant, which
        may be refreshed between two attempts.

        Raises:
            FenceClosed: this process must not act at the moment; nothing was sent.
            Trouble, ApiServerUnavailable: the code was exchanged, and its result is a candidate whose account is not
                known yet; call `conclude` later.
        """
        trouble = _BUSY
        while self._clock.monotonic() < order.began + CODE_USABLE:
            try:
                return await in_turn(lambda: self._attempt(order, claim))
            except _NotReady as why:
                trouble = str(why)
            await self._intents.pause_before_sending(RETRY_PAUSE)
        return _not_sent(trouble)

    async def _attempt(self, order: ExchangeOrder, claim: Claim) -> Exchanged | None:
        """Exchange a code, as `run` does, or raise _NotReady."""
        prepared = await self._prepare(order)
        if isinstance(prepared, Exchanged):
            return prepared
        client, reservation, terms = prepared
        if not await self._claimed(claim, reservation):
            return None
        candidate = await self._send(order, client, reservation, terms)
        if isinstance(candidate, Exchanged):
            await self._reservations.release(reservation)
            return candidate
        return await self.take(candidate, reservation, client, order)

    async def _claimed(self, claim: Claim, reservation: Reservation) -> bool:
        """Claim the code; if that fails, nothing may be sent, and the intent is removed."""
        is_claimed = False
        try:
            is_claimed = await claim()
        finally:
            if not is_claimed:
                await self._reservations.release(reservation)
        return is_claimed

    async def take(
        self, candidate: Grant, reservation: Reservation, client: ClientCredentials, order: ExchangeOrder
    ) -> Exchanged:
        """Keep the result, then verify its account."""
        await self._candidates.keep(candidate, reservation, client)
        return await self.conclude(order)

    async def conclude(self, order: ExchangeOrder) -> Exchanged:
        """Complete an exchange whose code was or may have been sent, by this process or by one that died.

        Raises:
            Trouble, ApiServerUnavailable: the account of the candidate is not known yet; call this again later.
            FenceClosed: this process must not act at the moment.
        """
        has_looked_again, grant = False, None
        for conflicts in itertools.count(1):
            document = await self._documents.find_document(order.source.location, order.source.identity)
            candidate, stored = read_candidate(document), read_grant(document)
            is_promoted = stored is not None and stored.exchange == order.exchange
            grant = stored if is_promoted else grant
            if grant is not None and (candidate is None or candidate.exchange != order.exchange):
                return _connected(grant.account)
            if not await self._intents.wait_for(marks_of(document)[0], order.source.location):
                continue
            try:
                settled, is_lost = await self._complete(candidate, order)
            except AccountNotOpen:
                if grant is None:
                    raise
                return _connected(grant.account)  # its successor waits until the company has paid
            if settled is not None and settled.terms.exchange == order.exchange and not is_promoted:
                return _exchanged(settled)
            if is_lost and has_looked_again:
                break
            if is_lost:
                has_looked_again = True  # a standby of Vault may lag behind what the process that died has stored
                await self._intents.pause_as_leader(LONGEST_LAG.total_seconds())
            else:
                await self._intents.pause_after_conflict(conflicts, order.source.location)
        return self._without_result(order)

    def _without_result(self, order: ExchangeOrder) -> Exchanged:
        """Return how an exchange has ended of which nothing is left.

        A refresh by this process may have dropped its candidate. One that it has promoted may have been removed by a
        restore of Vault since, so that nothing is connected.
        """
        if (dropped := self._candidates.dropped(order.exchange)) is not None:
            return _exchanged(dropped)
        return Exchanged(
            reason=ConsentReason.UNCERTAIN,
            message="The operator stopped before it reported how the exchange of the authorization code ended, and a "
            f"result, if there was one, may be lost. A code works once, so it is not sent again: {OPEN_AGAIN}",
        )

    async def _complete(self, candidate: Grant | None, order: ExchangeOrder) -> tuple[Settled | None, bool]:
        """Settle a candidate, or find one in escrow, and return it with whether the result of the order seems lost.

        The candidate of another consent, about which Pipedrive does not decide, says nothing about this one.
        """
        if candidate is None:
            return None, not await self._copies.restore_any(order.source)
        try:
            return await self.settle(order), False
        except (*UNDECIDED, InvalidSpec):
            if candidate.exchange == order.exchange or await self._copies.hold(order.exchange, order.source):
                raise
            return None, True

    async def require_readable(self, order: ExchangeOrder) -> None:
        """Check that the consent's Vault identity may read the grant. Raises what `Vault.read` raises."""
        await self._documents.find_document(order.source.location, order.source.identity)

    async def read_client(self, source: GrantWithClient) -> ClientCredentials:
        """Return the client of a grant. Raises what `GrantDocuments.read_client` raises."""
        return await self._documents.read_client(source.client)

    async def settle(self, order: ExchangeOrder) -> Settled | None:
        """Verify the candidate, and promote or drop it. That of the order is given up if the client was replaced."""
        return await self._candidates.settle(order.source, gives_up=order.exchange)

    async def _prepare(self, order: ExchangeOrder) -> tuple[ClientCredentials, Reservation, Terms] | Exchanged:
        """Wait for other holders, and write the intent. Raises _NotReady if it cannot be written yet."""
        for conflicts in itertools.count(1):
            if self._clock.monotonic() >= order.began + CODE_USABLE:
                break
            try:
                prepared = await self._try_to_prepare(order)
            except VaultDenied as denied:
                return _not_sent(denied.message)
            except Trouble as trouble:
                raise _NotReady(trouble.message) from trouble
            if prepared is not None:
                return prepared
            await self._intents.pause_after_conflict(conflicts, order.source.location)
        return _not_sent(_BUSY)

    async def _try_to_prepare(
        self, order: ExchangeOrder
    ) -> tuple[ClientCredentials, Reservation, Terms] | Exchanged | None:
        at = self._clock.monotonic()
        document = await self._documents.find_document(order.source.location, order.source.identity)
        if not await self._intents.wait_for(marks_of(document)[0], order.source.location):
            return None
        client = await self._documents.read_client(order.source.client)
        if client.client_id != order.client_id:
            return Exchanged(
                reason=ConsentReason.CREDENTIAL_CHANGED,
                message="The client id in Vault has changed since the link was created. Nothing was changed: create "
                "another consent",
                was_claimed=False,
            )
        if (candidate := read_candidate(document)) is not None:
            await self._make_room(candidate, order)
            return None
        read = ReadDocument(document=document, at=at)
        try:
            reservation = await self._reservations.make(order.source, read, consent=order.consent)
        except CheckAndSetConflict:
            return None
        return None if reservation is None else (client, reservation, _terms(order, read_grant(document)))

    async def _make_room(self, candidate: Grant, order: ExchangeOrder) -> None:
        """Settle the candidate of an older consent, or set it aside if Pipedrive does not decide about it in time.

        One of a former client is given up, since the newer consent is for the client in Vault.

        Raises what `Candidates.settle` and `Candidates.set_aside` raise.
        """
        if self._intents.was_uncertain(order.source.location, candidate):  # it would be again
            await self._places.set_aside(order.source)
            return
        try:
            await self._candidates.settle(order.source, gives_up=candidate.exchange)
        except PipedriveUnavailable:
            if self._clock.monotonic() < order.began + LONGEST_WAIT_FOR_ROOM:
                raise  # the code could not be sent either
            await self._places.set_aside(order.source)
        except UNDECIDED:
            await self._places.set_aside(order.source)

    async def _send(
        self, order: ExchangeOrder, client: ClientCredentials, reservation: Reservation, terms: Terms
    ) -> Grant | Exchanged:
        """Send the code once, behind the fence, and return the candidate."""
        asked_at = self._clock.now()
        try:
            response = await self.call(order, client, reservation)
        except TokenResponseUnusable as trouble:
            return Grant(refresh_token=trouble.refresh_token, client_id=client.client_id, terms=terms)
        except ConsentRequired as trouble:
            return Exchanged(reason=ConsentReason.CODE_REFUSED, message=trouble.message)
        except ClientRejected as trouble:
            return Exchanged(reason=ConsentReason.CLIENT_REJECTED, message=trouble.message)
        except Trouble as trouble:
            return Exchanged(reason=ConsentReason.UNCERTAIN, message=trouble.message)
        except FenceClosed as error:
            message = f"The authorization code was not sent, because {error}. Nothing was changed: {OPEN_AGAIN}"
            return Exchanged(reason=ConsentReason.UNCERTAIN, message=message)
        return consented_grant(response, client_id=client.client_id, asked_at=asked_at, terms=terms)

    async def call(self, order: ExchangeOrder, client: ClientCredentials, reservation: Reservation) -> TokenResponse:
        """Call Pipedrive once, behind the fence."""
        return await self._pipedrive.exchange(
            client, order.code, order.redirect_uri, fence=lambda: self._reservations.fence(reservation)
        )


def _not_sent(why: str) -> Exchanged:
    return Exchanged(
        reason=ConsentReason.CODE_EXPIRED,
        message=f"The authorization code was not sent while it was valid. {why}. Nothing was changed. When this is "
        f"solved, {OPEN_AGAIN}",
        was_claimed=False,
    )


def _terms(order: ExchangeOrder, stored: Grant | None) -> Terms:
    pinned = order.pinned or (stored.account if stored is not None else None)
    return Terms(
        consent=order.consent,
        consent_generation=order.consent_generation,
        expected=expected_account(order.guard, pinned, allows_change=order.allows_change),
        over=stored.origin if stored is not None else None,
    )


def _connected(account: Account | None) -> Exchanged:
    whom = f" to company {account.company_domain}, as user {account.user_id}" if account is not None else ""
    return Exchanged(reason=ConsentReason.CONNECTED, message=f"Connected{whom}", account=account)


def _exchanged(settled: Settled) -> Exchanged:
    if settled.problem is None:
        return _connected(settled.account)
    return Exchanged(reason=settled.reason, message=settled.problem, account=settled.account)
