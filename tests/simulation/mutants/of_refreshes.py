"""Operators without one rule of refreshes or escrow.

A mutant overrides one step; production code has no switch for it. The docstring of each names the missing rule. A rule
whose absence shows only in rare schedules, or outside the models, is left to the unit tests: that a process without
the Lease writes nothing (`tests/unit/reconcile/`), that each refresh has an escrow of its own, and that nothing is sent
for a minute after an unknown outcome, since Pipedrive may process a request that long (`tests/unit/grants/`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipedrive_operator.core.decision.decision import Action, Decision
from pipedrive_operator.core.decision.observation import Observation
from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.client import ClientCredentials, ClientSource
from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import Grant, TokenResponse
from pipedrive_operator.core.grant.intent import Intent, Unanswered
from pipedrive_operator.core.grant.succession import EscrowedGrant
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    ClientRejected,
    ConsentRequired,
    RefreshUncertain,
    Trouble,
)
from pipedrive_operator.grants import GrantKeeper, RefreshOrder, RefreshProtocol
from pipedrive_operator.grants.documents import GrantDocuments
from pipedrive_operator.grants.intents import INTENT_POLL
from pipedrive_operator.grants.storing import Report
from pipedrive_operator.grants.values import ClaimedGrant, HeldGrant, ReadGrant
from pipedrive_operator.reconcile.reconciler import Reconciler

if TYPE_CHECKING:
    import asyncio


async def _opened(protocol: RefreshProtocol, read: ReadGrant, source: ClientSource) -> Sequence[EscrowedGrant]:
    """Return what is known to be in escrow."""
    if not protocol.has_escrow(read.location):
        return ()
    client = await protocol._documents.read_client(source)  # noqa: SLF001  a mutant is part of the protocol
    return await protocol._escrow.open(read.location, client.client_secret)  # noqa: SLF001


class RefreshesWhatIsFresh(RefreshProtocol):
    """Step 2: a grant that another holder has refreshed is refreshed again."""

    attacks = ("(d)",)

    def is_fresh(self, grant: Grant, order: RefreshOrder) -> bool:
        """Treat no grant as fresh."""
        return False


class NeverSettlesEscrow(RefreshProtocol):
    """Step 2: a grant that an earlier process left in escrow stays there."""

    attacks = ("(b)",)

    def has_escrow(self, location: VaultLocation) -> bool:
        """Ignore the escrow."""
        return False


class SettlesAnyEscrow(RefreshProtocol):
    """Step 2: an escrow overwrites anything that Vault holds."""

    attacks = ("(b)", "(e)")

    async def settle_escrow(
        self, read: ReadGrant, source: ClientSource, *, may_be_spent: bool = False
    ) -> tuple[str, ...] | None:
        """Treat it as the successor."""
        found = await _opened(self, read, source)
        if not found:
            return ()
        with suppress(CheckAndSetConflict):
            await self._documents.write(found[0].grant, read)
            await self._escrow.drop(read.location, found[0].refresh_id)
        return None


class DropsEscrowFirst(RefreshProtocol):
    """Step 2: an escrow is dropped before Vault has stored it."""

    attacks = ("(b)",)

    async def settle_escrow(
        self, read: ReadGrant, source: ClientSource, *, may_be_spent: bool = False
    ) -> tuple[str, ...] | None:
        """Drop it, then write it."""
        found = await _opened(self, read, source)
        if not found:
            return ()
        await self._escrow.drop(read.location, found[0].refresh_id)
        if found[0].grant.refreshed_from == read.grant.lineage:
            with suppress(CheckAndSetConflict):
                await self._documents.write(found[0].grant, read)
        return None


class DropsWhatIsUnclear(RefreshProtocol):
    """Step 2: an escrow of unclear descent is dropped, although Vault may have been restored from a backup."""

    attacks = ("(b)",)

    async def settle_escrow(
        self, read: ReadGrant, source: ClientSource, *, may_be_spent: bool = False
    ) -> tuple[str, ...] | None:
        """Trust Vault."""
        unclear = await super().settle_escrow(read, source, may_be_spent=may_be_spent)
        if not unclear:
            return unclear
        await self.drop(read.location, unclear)
        return ()


class WaitsForNobody(RefreshProtocol):
    """Step 3: the intent of another holder is taken over at once."""

    attacks = ("(a)",)

    async def wait_for_holder(self, read: ReadGrant) -> bool:
        """Continue at once."""
        return True


class WaitsForEver(RefreshProtocol):
    """Step 3: the intent of a dead holder is never taken over."""

    attacks = ("(c)",)

    async def wait_for_holder(self, read: ReadGrant) -> bool:
        """Wait while there is an intent of another holder."""
        if read.grant.intent is None or read.grant.intent.holder == self._process.holder:
            return True
        await self._clock.sleep(INTENT_POLL.total_seconds())
        return False


class WritesNoIntent(RefreshProtocol):
    """Step 4: a token is sent before a write has proved that Vault is writable."""

    attacks = ("(a)",)

    async def write_intent(self, read: ReadGrant) -> ClaimedGrant:
        """Pretend to have written an intent."""
        intent = Intent(
            refresh_id=self._process.new(),
            holder=self._process.holder,
            started_at=self._clock.now(),
            timeout=2 * self._call_timeout,
        )
        return ClaimedGrant(read=read, intent=intent, until=self._clock.monotonic() + 60)


class _IgnoresVersions(GrantDocuments):
    async def write_values(
        self, values: Mapping[str, object], location: VaultLocation, identity: VaultIdentity, *, over: Document | None
    ) -> int:
        newest = await self.find_document(location, identity)
        return await super().write_values(values, location, identity, over=newest)


class ChecksNoVersion(RefreshProtocol):
    """Steps 4 and 7: writes ignore the version that was read."""

    attacks = ("(a)",)

    def __init__(self, **ports: Any) -> None:
        """Write without check-and-set."""
        super().__init__(**ports)
        self._documents = _IgnoresVersions(ports["vault"], ports["clock"])


class KeepsTheOldGrantAfterAConflict(RefreshProtocol):
    """Step 4: after a conflict only the document is read again, and the old grant is used."""

    attacks = ("(a)",)

    async def write_intent(self, read: ReadGrant) -> ClaimedGrant:
        """Write again without reading the grant."""
        try:
            return await super().write_intent(read)
        except CheckAndSetConflict:
            newest, at = await self._documents.find_document(read.location, read.identity), self._clock.monotonic()
            return await super().write_intent(replace(read, document=newest or read.document, at=at))


class HasNoFence(RefreshProtocol):
    """Step 5: a process that was frozen after its intent sends nevertheless."""

    attacks = ("(a)",)

    async def fence(self, claimed: ClaimedGrant, client: ClientCredentials) -> None:
        """Allow every call."""


class TrustsAnOldIntent(RefreshProtocol):
    """Step 5: a token is sent long after its intent was acknowledged, although another may have spent it since."""

    attacks = ("(a)",)

    async def verify(self, at: float, holds: Callable[[], Awaitable[bool]]) -> None:
        """Trust the acknowledgement."""


class SendsAgain(RefreshProtocol):
    """Step 5: an unanswered request is sent again."""

    attacks = ("(a)",)

    async def call(self, claimed: ClaimedGrant, client: ClientCredentials) -> TokenResponse:
        """Retry, as a library might."""
        try:
            return await super().call(claimed, client)
        except RefreshUncertain:
            return await super().call(claimed, client)


class ConfusesAWrongClientWithADeadGrant(RefreshProtocol):
    """Answers: `invalid_client` asks for a consent."""

    attacks = ("(e)",)

    async def call(self, claimed: ClaimedGrant, client: ClientCredentials) -> TokenResponse:
        """Report the wrong error."""
        try:
            return await super().call(claimed, client)
        except ClientRejected as error:
            raise ConsentRequired(error.message) from error


class TrustsARefusalOfAnOldToken(RefreshProtocol):
    """Answers: after `invalid_grant` the grant is not read again, although it may have been replaced."""

    attacks = ("(e)",)

    def is_another(self, stored: Grant, claimed: ClaimedGrant) -> bool:
        """Believe that Vault holds what was sent."""
        return False


class IgnoresEscrowAfterARefusal(RefreshProtocol):
    """Answers: after `invalid_grant` a newer refresh token in escrow is ignored."""

    attacks = ("(b)",)

    async def replace_by_escrow(self, claimed: ClaimedGrant, client: ClientCredentials) -> bool:
        """Ignore the escrow."""
        return False


class ForgetsUnansweredRefreshes(RefreshProtocol):
    """Answers: a refresh of unknown outcome is not recorded, so that the status cannot explain a dead grant."""

    attacks = ("(e)",)

    def _unanswered_before(self, grant: Grant) -> Unanswered | None:
        return None


class PublishesBeforeItStores(RefreshProtocol):
    """Step 7: the result is reported before Vault has stored it."""

    attacks = ("(b)",)

    async def store(
        self, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials, report: Report
    ) -> HeldGrant | None:
        """Report, then store."""
        at, version = self._clock.monotonic(), claimed.read.document.version + 1
        report(refresh_state.Fresh(grant=grant, asked_at=at, at=at, version=version))
        return await super().store(grant, claimed, client, report)


class StoresOnce(RefreshProtocol):
    """Step 7: storing is abandoned after the first failure."""

    attacks = ("(b)",)

    async def store(
        self, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials, report: Report
    ) -> HeldGrant | None:
        """Write once; what it raises ends the refresh."""
        asked_at = self._clock.monotonic()
        version = await self._documents.write_over(claimed.read.document, grant, claimed.read)
        return self._held(grant, asked_at, version)


class KeepsNoEscrow(RefreshProtocol):
    """Step 7: while Vault cannot store the result, the result is only in memory."""

    attacks = ("(b)",)

    async def _keep_in_escrow(
        self, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials, trouble: Trouble, report: Report
    ) -> None:
        report(refresh_state.Unstored(trouble=trouble))


class AlwaysDropsItsOwnResult(RefreshProtocol):
    """Step 7: the result is dropped if Vault holds another grant, although that may come from a restored backup."""

    attacks = ("(b)", "(e)")

    async def _yield_to(
        self, held: HeldGrant, grant: Grant, claimed: ClaimedGrant, client: ClientCredentials
    ) -> HeldGrant | None:
        await self._escrow.drop(claimed.location, claimed.intent.refresh_id)
        return held


class DecidesByClock(RefreshProtocol):
    """Step 7: of two grants the one with the later time stays, regardless of descent."""

    attacks = ("(b)", "(e)")

    def supersedes(self, stored: Grant, ours: Grant, *, spent: Grant) -> bool:
        """Compare times."""
        if stored.token is None or ours.token is None or stored.token.obtained_at is None:
            return False
        return ours.token.obtained_at is None or stored.token.obtained_at > ours.token.obtained_at


class RefreshesTwiceAtOnce(GrantKeeper):
    """Step 1: each credential that shares a grant starts a refresh of its own."""

    attacks = ("(a)",)

    def __init__(self, **parts: Any) -> None:
        """Remember the refresh of each credential."""
        super().__init__(**parts)
        self._own: dict[Key, asyncio.Task[Any]] = {}

    def refresh(self, order: RefreshOrder) -> None:
        """Start another refresh, unless this credential has one."""
        if not self._has_own(order.requester):
            self._tasks.pop(order.source.location, None)
        super().refresh(order)
        self._own[order.requester] = self._tasks[order.source.location]

    def state(self, source: GrantWithClient, *, watcher: Key | None = None) -> refresh_state.RefreshState:
        """Hide the refresh of another credential."""
        state = super().state(source, watcher=watcher)
        is_hidden = isinstance(state, refresh_state.Refreshing) and watcher is not None and not self._has_own(watcher)
        return refresh_state.IDLE if is_hidden else state

    def _has_own(self, requester: Key) -> bool:
        return requester in self._own and not self._own[requester].done()


class RefreshesOnDrift(Reconciler):
    """Outside the protocol: drift of the Secret triggers a refresh."""

    attacks = ("(d)",)

    async def _act(self, decision: Decision, seen: Observation) -> None:
        if decision.action is Action.PUBLISH:
            self._refresh(seen)
        await super()._act(decision, seen)
