"""Reconciles one consent: prepares its link, has its code exchanged, reports, and deletes it after its end.

The order of writes lives here. The status says that a code is about to be sent before it is sent, so that no process
sends it again; the grant is stored before the status says connected. Nothing is decided here.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from urllib.parse import parse_qs, urlsplit

from pipedrive_operator.core.decision.consents import (
    ConsentAction,
    ConsentDecision,
    ConsentObservation,
    claimed,
    decide_consent,
    is_news,
    observed_generation,
    prepared,
    reason_of,
    reported,
)
from pipedrive_operator.core.decision.report import Announcement
from pipedrive_operator.core.decision.sources import GrantWithClient, Source
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.resource.consent import Consent, ConsentStatus
from pipedrive_operator.core.resource.consent_link import Mode, authorization_url, callback_url, mode_of, page_url
from pipedrive_operator.core.resource.credential import AnyCredential, Credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.spec import OAuth2
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.conditions import EventReason
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import FenceClosed, InvalidSpec, ReportDenied, Trouble
from pipedrive_operator.core.values.mask import mask
from pipedrive_operator.grants import GrantKeeper
from pipedrive_operator.grants.values import Exchanged, ExchangeOrder
from pipedrive_operator.ports import Cache, Clock, ConsentCache, Consents, Credentials, Leadership
from pipedrive_operator.reconcile.answers import RETRY, Answers, Ended

_NO_CLIENT_ID: Final = (
    "the client id at {place} in Vault looks like a token or a client secret, and an address contains it: name the key "
    "of the client id in spec.oauth2.client.idKey, or correct the document"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentAddresses:
    """Where people go to consent."""

    oauth_url: str
    public_url: str | None
    """The address of the consent front; None without one."""
    redirect_uris: Mapping[str, str]
    """The redirect URI of each app that has one of its own."""

    def redirect_uri(self, credential: Credential) -> str | None:
        """Return the redirect URI of a credential's client; None if it is not known."""
        access = credential.access
        app = access.client.app if isinstance(access, OAuth2) else None
        known = self.redirect_uris.get(app) if app is not None else None
        return known or (callback_url(self.public_url) if self.public_url is not None else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentPorts:
    """All the ports that the reconciler of consents uses."""

    consents: Consents
    consent_cache: ConsentCache
    cache: Cache
    credentials: Credentials
    leadership: Leadership
    clock: Clock


class ConsentReconciler:
    """Reconciles consents, one step per call. Calls for the same key must not overlap."""

    def __init__(
        self,
        *,
        ports: ConsentPorts,
        keeper: GrantKeeper,
        addresses: ConsentAddresses,
        source_of: Callable[[AnyCredential], Source | InvalidSpec],
        on_exchanged: Callable[[VaultLocation], None],
        on_ended: Callable[[ConsentReason], None],
    ) -> None:
        """Take the ports and the keeper of grants.

        `source_of` returns the source of a credential, or why it cannot be used. `on_exchanged` is called when the
        attempt to exchange a code has ended, which may have changed the grant in Vault, or found another one, and
        `on_ended` when an answer or a link has ended.
        """
        self._ports = ports
        self._keeper = keeper
        self._addresses = addresses
        self._source_of = source_of
        self._on_exchanged = on_exchanged
        self._on_ended = on_ended
        self._answers = Answers()

    async def reconcile(self, key: Key) -> timedelta | None:
        """Take one step, and return when to take the next; None if nothing is due until something changes.

        Raises:
            ApiServerUnavailable: the step must be repeated.
            FenceClosed: this process no longer leads, or must not send anything now.
        """
        consent = self._ports.consent_cache.consent(key)
        if consent is None:
            self._answers.forget(key)
            return None
        self._require_leadership()
        seen = self._observe(consent)
        decision = decide_consent(seen)
        match decision.action:
            case ConsentAction.WAIT:
                return None if decision.until is None else max(decision.until - seen.now, timedelta(0))
            case ConsentAction.DELETE:
                await self._ports.consents.delete(consent)
                return RETRY  # a consent that has changed meanwhile is not deleted
            case ConsentAction.REPORT:
                return await self._report(seen, decision)
            case ConsentAction.PREPARE:
                return await self._prepare(seen)
            case ConsentAction.EXCHANGE | ConsentAction.CONCLUDE:
                return await self._exchange(seen, decision.action)

    def _observe(self, consent: Consent) -> ConsentObservation:
        credential = self._ports.cache.credential(consent.credential)
        newest = self._ports.consent_cache.newest(consent.credential)
        is_superseded = newest is not None and (newest.created_at, newest.key) > (consent.created_at, consent.key)
        return ConsentObservation(
            now=self._ports.clock.now(),
            consent=consent,
            credential=credential,
            source=self._source_of(credential) if credential is not None else None,
            redirect_uri=self._addresses.redirect_uri(credential) if isinstance(credential, Credential) else None,
            newer=newest.key.name if newest is not None and is_superseded else None,
        )

    async def _report(self, seen: ConsentObservation, decision: ConsentDecision) -> timedelta | None:
        """Report how the consent, or an answer that was not exchanged, has ended."""
        reason, consent = decision.reason or ConsentReason.PENDING, seen.consent
        if not await self._write(consent, reported(consent, reason, decision.message, seen.now)):
            return RETRY
        self._on_ended(reason)
        if consent.spec.answer is not None and consent.generation != consent.status.observed_generation:
            await self._announce(seen, Exchanged(reason=reason, message=decision.message))
        return timedelta(0)

    async def _prepare(self, seen: ConsentObservation) -> timedelta | None:
        """Read the client id, and report the link."""
        credential, source, redirect_uri = seen.credential, seen.source, seen.redirect_uri
        if not (isinstance(credential, Credential) and isinstance(source, GrantWithClient) and redirect_uri):
            return RETRY
        try:
            client = await self._keeper.read_client(source)
        except Trouble as trouble:
            return await self._report_unprepared(seen, trouble.message)
        if mask(client.client_id) != client.client_id:  # the address is shown to people, and in the status
            return await self._report_unprepared(seen, _NO_CLIENT_ID.format(place=source.client.location))
        public_url = self._addresses.public_url
        is_hosted = mode_of(redirect_uri, public_url) is Mode.HOSTED and public_url is not None
        access = credential.access
        status = prepared(
            seen.consent,
            credential,
            source,
            url=authorization_url(self._addresses.oauth_url, client_id=client.client_id, redirect_uri=redirect_uri),
            page_url=page_url(public_url, seen.consent.key) if is_hosted and public_url is not None else None,
            redirect_uri=redirect_uri,
            app=(access.client.app or access.client.path or "") if isinstance(access, OAuth2) else "",
            required_scopes=access.required_scopes if isinstance(access, OAuth2) else (),
            pinned=self._pinned(credential, source),
            now=seen.now,
        )
        return timedelta(0) if await self._write(seen.consent, status) else RETRY

    async def _report_unprepared(self, seen: ConsentObservation, why: str) -> timedelta:
        message = f"The link cannot be prepared yet: {why}"
        await self._write(seen.consent, reported(seen.consent, ConsentReason.PENDING, message, seen.now))
        return RETRY

    def _pinned(self, credential: Credential, source: GrantWithClient) -> Account | None:
        """Return the pinned account: the credential's, or that of another one with the same grant and identity."""
        oldest = self._ports.cache.oldest_sharer(source.location, source.identity)
        return credential.status.account or (oldest.credential.status.account if oldest is not None else None)

    async def _exchange(self, seen: ConsentObservation, action: ConsentAction) -> timedelta | None:
        consent = seen.consent
        if action is ConsentAction.CONCLUDE:  # about the answer that was claimed: a newer one may have come since
            consent = replace(consent, generation=consent.status.observed_generation or 0)
        answer = (consent.uid, consent.generation)
        known = self._answers.ended(consent.key)
        if known is not None and known.answer[0] == consent.uid and known.answer[1] < consent.generation:
            older = replace(consent, generation=known.answer[1])
            return await self._end(seen, older, known.exchanged)  # it could not be reported yet
        if (left := self._answers.pause_left(consent.key, answer, self._ports.clock.monotonic())) > timedelta(0):
            return left
        try:
            if known is None or known.answer != answer:
                ended = await self._run(seen, consent, action)
            elif known.exchanged.reason is ConsentReason.UNCERTAIN:
                ended = await self._look_again(seen, consent, known.exchanged)
            else:
                ended = known.exchanged
        except Trouble as trouble:
            return await self._report_delay(consent, trouble)
        if ended is None:
            return RETRY
        if action is ConsentAction.EXCHANGE and ended.reason is not ConsentReason.CONNECTED:
            self._answers.note_ended(consent.key, Ended(answer=answer, exchanged=ended))
            consent, ended = await self._after_an_older_answer(seen, consent, ended)
        return await self._end(seen, consent, ended)

    async def _end(self, seen: ConsentObservation, answered: Consent, ended: Exchanged) -> timedelta:
        """Report how an answer has ended, and forget it; if it cannot be reported, it is tried again."""
        answer = (answered.uid, answered.generation)
        self._answers.note_ended(answered.key, Ended(answer=answer, exchanged=ended))
        if not await self._finish(seen, answered, ended):
            return RETRY
        self._answers.forget(answered.key)
        return timedelta(0)

    async def _after_an_older_answer(
        self, seen: ConsentObservation, consent: Consent, ended: Exchanged
    ) -> tuple[Consent, Exchanged]:
        """Return which answer to report, and how it has ended: the one before this one, if that is connected.

        It takes a while to find that out, in which a result of this answer may appear.
        """
        if reason_of(seen.consent) is not ConsentReason.VERIFYING:
            return consent, ended
        if (before := await self._connected_before(seen)) is not None:
            return before
        with suppress(Trouble):
            ended = await self._look_again(seen, consent, ended) if ended.reason is ConsentReason.UNCERTAIN else ended
        return consent, ended

    async def _connected_before(self, seen: ConsentObservation) -> tuple[Consent, Exchanged] | None:
        """Return the answer before the newest one, and its end, if Pipedrive has decided about it meanwhile."""
        older = replace(seen.consent, generation=seen.consent.status.observed_generation or 0)
        order = self._order(seen, older.generation)
        if order is None:
            return None
        with suppress(Trouble):
            found = await self._keeper.conclude(order)
            return (older, found) if found.reason is ConsentReason.CONNECTED else None
        return None

    async def _look_again(self, seen: ConsentObservation, consent: Consent, doubt: Exchanged) -> Exchanged:
        """Return how an exchange has ended if a doubt could not be reported for a while, in which a result may appear.

        Raises what `GrantKeeper.conclude` raises.
        """
        order = self._order(seen, consent.generation)
        found = await self._keeper.conclude(order) if order is not None else doubt
        return doubt if found.reason is ConsentReason.UNCERTAIN else found

    async def _run(self, seen: ConsentObservation, consent: Consent, action: ConsentAction) -> Exchanged | None:
        order = self._order(seen, consent.generation)
        if order is None:
            return Exchanged(
                reason=ConsentReason.CREDENTIAL_CHANGED,
                message="The credential changed while the authorization code was exchanged. Create another consent",
                was_claimed=action is ConsentAction.CONCLUDE,
            )
        if action is ConsentAction.CONCLUDE:
            return await self._keeper.conclude(order)

        async def claim() -> bool:
            return await self._write(consent, claimed(consent, order.code, self._ports.clock.now()))

        return await self._keeper.exchange(order, claim)

    def _order(self, seen: ConsentObservation, generation: int) -> ExchangeOrder | None:
        """Build the order for the answer of a generation; None if the credential has changed."""
        consent, credential, source = seen.consent, seen.credential, seen.source
        answer, status = consent.spec.answer, consent.status
        if answer is None or not isinstance(credential, Credential) or not isinstance(source, GrantWithClient):
            return None
        now = self._ports.clock.monotonic()
        return ExchangeOrder(
            source=source,
            consent=consent.uid,
            consent_generation=generation,
            code=answer.code,
            redirect_uri=status.redirect_uri or "",
            client_id=parse_qs(urlsplit(status.url or "").query).get("client_id", [""])[0],
            guard=credential.spec.account,
            pinned=self._pinned(credential, source),
            allows_change=consent.spec.allow_account_change,
            began=self._answers.first_seen(consent.key, (consent.uid, consent.generation), now),
        )

    async def _report_delay(self, answered: Consent, trouble: Trouble) -> timedelta:
        """Report why the account of the grant is not known yet, and return when to ask again."""
        message = (
            f"The authorization code was exchanged, and the account of the grant is not known yet: {trouble.message}"
        )
        answer, now = (answered.uid, answered.generation), self._ports.clock.monotonic()
        wanted = self._answers.delay(answered.key, answer, trouble, now)
        delayed = Exchanged(reason=ConsentReason.VERIFYING, message=message)
        if not self._is_known(answered, delayed):
            await self._report_answer(answered, delayed)
        return wanted

    def _is_known(self, answered: Consent, ended: Exchanged) -> bool:
        """Return whether another process has reported more about an answer, or about a newer one."""
        consent, generation = self._current(answered), answered.generation
        return consent is not None and not is_news(consent, generation, ended.reason, was_claimed=ended.was_claimed)

    async def _report_answer(self, answered: Consent, ended: Exchanged) -> bool:
        """Report news about one answer, in the consent as it is now.

        An answer that was handled must not count as new again: its code would be sent twice. Returns False if the
        consent has changed meanwhile, so that the report must be repeated.
        """
        consent, generation = self._current(answered), answered.generation
        if consent is None:
            return True
        current = replace(consent, generation=max(generation, observed_generation(consent)))
        status = reported(current, ended.reason, ended.message, self._ports.clock.now(), account=ended.account)
        return await self._write(consent, status)

    def _current(self, answered: Consent) -> Consent | None:
        """Return the consent as it is now; None if it was deleted."""
        consent = self._ports.consent_cache.consent(answered.key)
        return consent if consent is not None and consent.uid == answered.uid else None

    async def _finish(self, seen: ConsentObservation, answered: Consent, ended: Exchanged) -> bool:
        """Wake those who share the grant, report how the exchange ended, and record an Event on the credential.

        If another process has reported more, it has done that. Returns False if the report must be repeated.
        """
        if isinstance(seen.source, GrantWithClient):
            self._on_exchanged(seen.source.location)
        if self._is_known(answered, ended):
            return True
        if not await self._report_answer(answered, ended):
            return False
        self._on_ended(ended.reason)
        await self._announce(seen, ended)
        return True

    async def _announce(self, seen: ConsentObservation, ended: Exchanged) -> None:
        """Record an Event on the credential."""
        if seen.credential is not None:
            with suppress(ReportDenied):
                await self._ports.credentials.record_event(seen.credential, _announcement(seen.consent, ended))

    def _require_leadership(self) -> None:
        if self._ports.leadership.remaining() <= 0:
            raise FenceClosed("this process no longer leads")

    async def _write(self, consent: Consent, status: ConsentStatus) -> bool:
        """Write a status if the consent is still as it was seen; return False if it changed or is gone."""
        if status == consent.status:
            return True
        self._require_leadership()
        written = await self._ports.consents.patch_status(consent, status)
        if written is None:
            return False
        self._ports.consent_cache.keep(written)
        return True


def _announcement(consent: Consent, ended: Exchanged) -> Announcement:
    is_connected = ended.reason is ConsentReason.CONNECTED
    return Announcement(
        warning=not is_connected,
        reason=EventReason.CONNECTED if is_connected else EventReason.CONSENT_REFUSED,
        message=f"{ended.message} (PipedriveConsent {consent.key.name})",
    )
