"""Operators with one rule switched off, each of which the simulation must notice.

A mutant overrides one step; production code has no switch. The docstring of each says which rule is gone.
"""

from contextlib import suppress
from dataclasses import dataclass, replace

from pipedrive_operator.core.decision.observation import Observation
from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.document import Document, VaultLocation
from pipedrive_operator.core.grant.grant import ClientCredentials, ClientSource, Grant, TokenResponse
from pipedrive_operator.core.grant.intent import Intent, Unanswered
from pipedrive_operator.core.publication.secret import DesiredSecret
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    ClientRejected,
    ConsentRequired,
    RefreshUncertain,
    Trouble,
)
from pipedrive_operator.grants import GrantKeeper, RefreshOrder, RefreshProtocol
from pipedrive_operator.grants.protocol import LOOK_AGAIN, Tell
from pipedrive_operator.grants.values import Held, ReadGrant, Settlement
from pipedrive_operator.reconcile.reconciler import Reconciler
from simulation.operators import Build


class RefreshesWhatIsFresh(RefreshProtocol):
    """Step 2: a grant that somebody else has refreshed is refreshed again."""

    def is_fresh(self, grant: Grant, order: RefreshOrder) -> bool:
        """Take nothing for fresh."""
        return False


class NeverSettlesEscrow(RefreshProtocol):
    """Step 2: what an earlier process won is left in escrow."""

    def in_escrow(self, location: VaultLocation) -> bool:
        """Look away."""
        return False


class SettlesAnyEscrow(RefreshProtocol):
    """Step 2: an escrow is written over whatever Vault holds."""

    async def settle_escrow(self, read: ReadGrant, source: ClientSource) -> Settlement:
        """Take it for the successor."""
        if not self.in_escrow(read.location):
            return Settlement.SETTLED
        client = await self.read_client(source)
        won = await self._escrow.open(read.location, client.client_secret)
        if won is None:
            return Settlement.SETTLED
        with suppress(CheckAndSetConflict):
            await self._write(won, read)
            await self._escrow.drop(read.location)
        return Settlement.STORED


class DropsEscrowFirst(RefreshProtocol):
    """Step 2: an escrow is let go of before Vault has it."""

    async def settle_escrow(self, read: ReadGrant, source: ClientSource) -> Settlement:
        """Drop it, then write it."""
        if not self.in_escrow(read.location):
            return Settlement.SETTLED
        client = await self.read_client(source)
        won = await self._escrow.open(read.location, client.client_secret)
        if won is None:
            return Settlement.SETTLED
        await self._escrow.drop(read.location)
        if won.refreshed_from == read.grant.lineage:
            with suppress(CheckAndSetConflict):
                await self._write(won, read)
        return Settlement.STORED


class DropsWhatIsUnclear(RefreshProtocol):
    """Step 2: an escrow that does not succeed what Vault holds is dropped, though Vault may be a restored backup."""

    async def settle_escrow(self, read: ReadGrant, source: ClientSource) -> Settlement:
        """Believe Vault."""
        settlement = await super().settle_escrow(read, source)
        if settlement is not Settlement.UNCLEAR:
            return settlement
        await self._escrow.drop(read.location)
        return Settlement.SETTLED


class WaitsForNobody(RefreshProtocol):
    """Step 3: another holder's intent is taken over at once."""

    async def wait_for_holder(self, read: ReadGrant) -> bool:
        """Go on."""
        return True


class WaitsForEver(RefreshProtocol):
    """Step 3: a dead holder's intent is never taken over."""

    async def wait_for_holder(self, read: ReadGrant) -> bool:
        """Wait while an intent of another's stands there."""
        if read.grant.intent is None or read.grant.intent.holder == self._process.holder:
            return True
        await self._clock.sleep(LOOK_AGAIN.total_seconds())
        return False


class WritesNoIntent(RefreshProtocol):
    """Step 4: a token is sent before Vault has shown that it can be written."""

    async def hold(self, read: ReadGrant) -> Held | None:
        """Claim to hold it."""
        intent = Intent(
            refresh_id=self._process.new(),
            holder=self._process.holder,
            started_at=self._clock.now(),
            timeout=2 * self._call_timeout,
        )
        return Held(read=read, intent=intent, until=self._clock.monotonic() + 60)


class ChecksNoVersion(RefreshProtocol):
    """Steps 4 and 7: writes go over whatever is there."""

    async def _write_over(self, document: Document | None, grant: Grant, read: ReadGrant) -> int:
        newest = await self._vault.read(read.location, read.identity)
        version = newest.version if newest is not None else 0
        return await super()._write_over(replace(document, version=version) if document else None, grant, read)


class GoesOnWithWhatItRead(RefreshProtocol):
    """Step 4: after a conflict only the version is read again, and the grant is taken as it was."""

    async def hold(self, read: ReadGrant) -> Held | None:
        """Insist."""
        held = await super().hold(read)
        if held is not None:
            return held
        newest = await self._vault.read(read.location, read.identity)
        version = newest.version if newest is not None else 0
        return await super().hold(replace(read, document=replace(read.document, version=version)))


class HasNoFence(RefreshProtocol):
    """Step 5: a process that was stopped after its intent sends nevertheless."""

    def fence(self, held: Held) -> None:
        """Let everything pass."""


class SendsAgain(RefreshProtocol):
    """Step 5: what was sent, and not answered, is sent again."""

    async def call(self, held: Held, client: ClientCredentials) -> TokenResponse:
        """Retry, as a library might."""
        try:
            return await super().call(held, client)
        except RefreshUncertain:
            return await super().call(held, client)


class TakesAWrongClientForADeadGrant(RefreshProtocol):
    """Answers: `invalid_client` asks for a consent."""

    async def call(self, held: Held, client: ClientCredentials) -> TokenResponse:
        """Confuse the two."""
        try:
            return await super().call(held, client)
        except ClientRejected as error:
            raise ConsentRequired(error.message) from error


class ReadsNothingAgain(RefreshProtocol):
    """Answers: after `invalid_grant` nobody looks whether the grant has been replaced meanwhile."""

    async def _was_replaced(self, held: Held) -> bool:
        return False


class GivesUpBeforeTheEscrow(RefreshProtocol):
    """Answers: after `invalid_grant` nobody looks whether a newer refresh token is in escrow."""

    async def yields_to_escrow(self, held: Held, client: ClientCredentials) -> bool:
        """Look away."""
        return False


class ForgetsWhatWentUnanswered(RefreshProtocol):
    """Answers: a refresh whose outcome is unknown leaves no mark, and nobody is told why a grant is dead."""

    def _left_behind(self, grant: Grant) -> Unanswered | None:
        return None

    async def _mark(self, held: Held, *, unanswered: Unanswered | None) -> None:
        await super()._mark(held, unanswered=None)


class PublishesBeforeItStores(RefreshProtocol):
    """Step 7: what was won is told before Vault has it."""

    async def store(self, won: Grant, held: Held, client: ClientCredentials, tell: Tell) -> Grant | None:
        """Tell, then store."""
        tell(refresh_state.Fresh(grant=won))
        return await super().store(won, held, client, tell)


class StoresOnce(RefreshProtocol):
    """Step 7: storing is given up after the first failure."""

    async def _keep_meanwhile(
        self, won: Grant, held: Held, client: ClientCredentials, trouble: Trouble, tell: Tell
    ) -> None:
        raise trouble


class KeepsNoEscrow(RefreshProtocol):
    """Step 7: while Vault does not take what was won, it is in memory alone."""

    async def _keep_meanwhile(
        self, won: Grant, held: Held, client: ClientCredentials, trouble: Trouble, tell: Tell
    ) -> None:
        tell(refresh_state.Unstored(trouble=trouble))


class GivesWayForGood(RefreshProtocol):
    """Step 7: what was won is let go of wherever Vault holds something else, though that may be a restored backup."""

    async def _give_way(self, stored: Grant, won: Grant, held: Held, client: ClientCredentials) -> Grant | None:
        await self._escrow.drop(held.location)
        return stored


class DecidesByClock(RefreshProtocol):
    """Step 7: of two grants the one that was obtained later stays, whatever led to it."""

    def supersedes(self, stored: Grant, ours: Grant, *, spent: Grant) -> bool:
        """Compare times."""
        if stored.token is None or ours.token is None or stored.token.obtained_at is None:
            return False
        return ours.token.obtained_at is None or stored.token.obtained_at > ours.token.obtained_at


class FliesTwice(GrantKeeper):
    """Step 1: whoever asks starts a flight of their own."""

    def refresh(self, order: RefreshOrder) -> None:
        """Start another one."""
        self._tasks.pop(order.source.location, None)
        super().refresh(order)

    def state(self, source: GrantWithClient, *, watcher: Key | None = None) -> refresh_state.RefreshState:
        """Tell nobody of those under way."""
        flight = super().state(source, watcher=watcher)
        return refresh_state.IDLE if isinstance(flight, refresh_state.Refreshing) else flight


class RefreshesOnDrift(Reconciler):
    """Outside the protocol: a Secret that somebody edited costs a refresh."""

    async def _publish(self, desired: DesiredSecret, seen: Observation) -> None:
        self._refresh(seen)
        await super()._publish(desired, seen)


class WritesWithoutTheLease(Reconciler):
    """Outside the protocol: a former leader that wakes up writes what it knew."""

    def _require_leadership(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Mutant:
    """A mutant, and how to build an operator of it."""

    build: Build
    rule: str


def _mutants() -> dict[str, Mutant]:
    protocols = {kind.__name__: (kind, Build(protocol=kind)) for kind in RefreshProtocol.__subclasses__()}
    keepers = {kind.__name__: (kind, Build(keeper=kind)) for kind in GrantKeeper.__subclasses__()}
    reconcilers = {kind.__name__: (kind, Build(reconciler=kind)) for kind in Reconciler.__subclasses__()}
    found = protocols | keepers | reconcilers
    return {name: Mutant(build, kind.__doc__ or "") for name, (kind, build) in found.items()}


MUTANTS = _mutants()
