"""Steps 3 and 4 of docs/refresh-protocol.md: the intents of other holders, and our own.

An intent is the only thing that keeps two processes from sending the same refresh token. What is sent, and what becomes
of the result, is decided in `protocol.py` and `storing.py`.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

from pipedrive_operator.core.grant.candidate import (
    has_intent,
    lineages_of,
    marks_of,
    read_candidate,
    with_candidate,
    without_intent,
)
from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.intent import Intent, Sighting, Unanswered, one_more, unanswered_after
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.errors import (
    CheckAndSetConflict,
    FenceClosed,
    RefreshUncertain,
    SourceMissing,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.fairness.budget import Budget
from pipedrive_operator.fairness.slots import served_namespace
from pipedrive_operator.grants.documents import GrantDocuments
from pipedrive_operator.grants.recent import Recent
from pipedrive_operator.grants.values import ClaimedGrant, ReadGrant, UncertainRefresh
from pipedrive_operator.ports import Clock, Leadership, Process

INTENT_POLL: Final = timedelta(seconds=2)
"""How often another holder's intent is read again while waiting for it to disappear."""

INTENT_POLLS_PER_SECOND: Final = 20
"""How often the intents of all grants of a namespace are read again: a tenant could forge one in each document."""

LONGEST_CONFLICT_PAUSE: Final = timedelta(seconds=8)
"""The longest pause after a conflict: a standby of Vault may serve an old version for some time."""

SHORTEST_UNKNOWN_PAUSE: Final = timedelta(minutes=1)
"""The shortest pause after a refresh of unknown outcome, however short the time-out: Pipedrive may process it still."""

MOMENT: Final = timedelta(seconds=1)
"""How old Vault's last answer about a grant may be when something irreversible is done because of it.

After a longer time, as when this process was stopped or Pipedrive was slow, the grant is read again.
"""

RECHECKS: Final = 2
"""How often a grant is read again before its token is sent, if each read takes longer than a moment itself."""

OLDEST_CHECK: Final = timedelta(seconds=5)
"""How old the last of these answers may be, so that a slow Vault does not keep a grant from being refreshed."""


class IntentSteps:
    """The steps about intents; `RefreshProtocol` sets the attributes."""

    _documents: GrantDocuments
    _leadership: Leadership
    _clock: Clock
    _process: Process
    _call_timeout: timedelta
    _answer_timeout: timedelta
    """For how long the answer to a refresh is awaited."""
    _unknown_pause: timedelta
    """For how long nobody sends the same token after an unknown outcome: neither this process nor another holder."""
    _uncertain: Recent[VaultLocation, UncertainRefresh]
    """The last refresh of unknown outcome at each location."""
    _is_stopping: bool = False
    _polls: Budget
    _sightings: Recent[VaultLocation, Sighting]
    _intended: Recent[str, VaultLocation]
    """The location of each of our last intents, by the intent's id: a look at all of them would take milliseconds."""
    _resolved_intents: Recent[str, None]
    """The ids of our intents that Vault may still hold although their outcome is known."""
    _storing: set[str]
    """The ids of our intents whose results this process is storing. A document may have two locations."""
    _conflicts: Recent[VaultLocation, int]
    """How many conflicts in a row each grant has had."""

    async def wait_for_holder(self, read: ReadGrant) -> bool:
        """Step 3: wait until another holder's intent is gone; True if the grant may be used as it was read."""
        return await self.wait_for(read.grant.intent, read.location)

    async def wait_for(self, intent: Intent | None, location: VaultLocation) -> bool:
        """Wait until another holder's intent is gone; True if the document may be used as it was read."""
        if intent is None or self._is_left_over(intent, location):
            self._sightings.pop(location, None)
            return True
        if self._outlived(intent, location) and intent.refresh_id not in self._storing:
            return True
        self._require_leadership()
        turn = self._polls.reserve(served_namespace(), self._clock.monotonic())
        await self.pause_as_leader(INTENT_POLL.total_seconds() + turn)
        return False

    async def pause_as_leader(self, seconds: float) -> None:
        """Sleep, or raise FenceClosed during a long pause as soon as this process must not act any more.

        The end of the process waits for everyone who sleeps here, and how many do is up to tenants.
        """
        while seconds > INTENT_POLL.total_seconds():
            await self._clock.sleep(INTENT_POLL.total_seconds())
            seconds -= INTENT_POLL.total_seconds()
            self._require_leadership()
        await self._clock.sleep(seconds)

    async def pause_before_sending(self, seconds: float) -> None:
        """Sleep before another attempt, unless this process must not send anything any more.

        Raises:
            FenceClosed: it is shutting down, or does not lead for long enough.
        """
        self._require_leadership()
        await self._clock.sleep(seconds)

    def takes_over(self, read: ReadGrant) -> bool:
        """Step 3: return whether the intent of another holder has been there for longer than it claims to last."""
        intent = read.grant.intent
        return (
            intent is not None
            and not self._is_left_over(intent, read.location)
            and self._outlived(intent, read.location)
        )

    def _outlived(self, intent: Intent, location: VaultLocation) -> bool:
        """Return whether this process has seen the same intent for longer than its duration."""
        now, sighting = self._clock.monotonic(), self._sightings.get(location)
        if sighting is None or sighting.refresh_id != intent.refresh_id:
            sighting = self._sightings[location] = Sighting(intent.refresh_id, now)
        return sighting.outlived(intent, now)

    def new_intent(self, location: VaultLocation, *, consent: str | None = None) -> Intent:
        """Return an intent to write; `consent` is the uid of the consent whose code is about to be exchanged.

        Raises:
            FenceClosed: the fence would refuse to send anyway.
        """
        self._require_leadership()
        intent = Intent(
            refresh_id=self._process.new(),
            holder=self._process.holder,
            started_at=self._clock.now().replace(microsecond=0),
            timeout=self._unknown_pause + self._call_timeout + INTENT_POLL,
            consent=consent,
        )
        self._intended[intent.refresh_id] = location
        return intent

    async def write_intent(self, read: ReadGrant) -> ClaimedGrant:
        """Step 4: write our intent by check-and-set.

        Raises:
            CheckAndSetConflict: another holder was faster, or a person has changed the grant; nothing was written.
            FenceClosed: the fence would refuse to send anyway; nothing was written.
            VaultUnavailable: Vault did not store the intent, or cannot be read.
        """
        self._require_leadership()
        await self._require_current(read)
        began = self._clock.monotonic()
        intent = self.new_intent(read.location)
        grant = replace(read.grant, intent=intent, unanswered=self._unanswered_before(read.grant))
        beside = self.with_unanswered_renewals(read.document).values
        self.note_resolved(intent)  # nothing is sent unless Vault has acknowledged it
        try:
            document = await self._documents.write(grant, read, beside=beside)
        except VaultUnavailable:
            document, grant = await self._confirm(intent, read)
        self.note_acknowledged(intent)
        return ClaimedGrant(
            read=replace(read, document=document, grant=grant, asked_at=began, at=began),
            intent=intent,
            until=began + intent.timeout.total_seconds(),
        )

    def require_pause(self, location: VaultLocation, document: Document | None) -> None:
        """Step 3: check that the pause after our own refresh of unknown outcome is over.

        Pipedrive may be processing it still, and other holders wait for our intent. So nothing is written over it, not
        even to send another token. A person's request does not shorten the pause.

        Raises:
            RefreshUncertain: it is not, and Vault still holds the refresh token that was sent.
        """
        last = self._uncertain.get(location)
        if last is None or document is None or last.lineage not in lineages_of(document):
            return
        left = last.until - self._clock.monotonic()
        if left > 0:
            raise RefreshUncertain(last.message, retry_after=timedelta(seconds=left))

    def was_uncertain(self, location: VaultLocation, grant: Grant) -> bool:
        """Return whether the last refresh of unknown outcome by this process was of this grant."""
        last = self._uncertain.get(location)
        return last is not None and last.lineage == grant.lineage

    def note_uncertain(self, location: VaultLocation, sent: Grant, trouble: RefreshUncertain) -> RefreshUncertain:
        """Step 5: begin the pause after a refresh of unknown outcome, and return the trouble with that pause.

        Our intent stays in Vault, so that other holders wait too.
        """
        wanted = max(self._unknown_pause, trouble.retry_after or timedelta(0))
        paused = RefreshUncertain(trouble.message, retry_after=wanted)
        until = self._clock.monotonic() + self._unknown_pause.total_seconds()
        self._uncertain[location] = UncertainRefresh(lineage=sent.lineage, until=until, message=trouble.message)
        return paused

    async def verify_intent(self, claimed: ClaimedGrant) -> None:
        """Step 5: check that Vault still holds our intent if more than a moment has passed since it was written.

        In that time another holder may have stored its result over our intent, which spends the token; this process
        may have been stopped meanwhile. Each check starts again if it took longer than a moment itself.

        Raises:
            CheckAndSetConflict: the grant has changed since.
            FenceClosed: Vault answers too slowly, or this process was stopped again.
            VaultUnavailable, VaultDenied, SourceMissing: Vault cannot be read.
        """
        await self.verify(claimed.read.at, lambda: self._documents.holds(claimed.read))

    async def verify(self, at: float, holds: Callable[[], Awaitable[bool]]) -> None:
        """Check that Vault still `holds` what it held at a time on our monotonic clock, as `verify_intent` does."""
        for _ in range(RECHECKS):
            if self.is_a_moment_ago(at):
                return
            at = self._clock.monotonic()
            if not await holds():
                raise CheckAndSetConflict("the grant has changed since the intent was written")
        if self._clock.monotonic() - at > OLDEST_CHECK.total_seconds():
            raise FenceClosed("too much time has passed since Vault confirmed the intent")

    def is_recent(self, read: ReadGrant) -> bool:
        """Return whether a grant was read, or written, no longer than a moment ago."""
        return self.is_a_moment_ago(read.at)

    def is_a_moment_ago(self, at: float) -> bool:
        """Return whether a time on our monotonic clock is no longer ago than a moment."""
        return self._clock.monotonic() - at <= MOMENT.total_seconds()

    def require_time(self, until: float) -> None:
        """Refuse to send unless the intent, which ends at `until`, outlasts the answer, and the Lease the time-out.

        Raises:
            FenceClosed: one of them might expire during the call.
        """
        if self._clock.monotonic() + self._answer_timeout.total_seconds() >= until:
            raise FenceClosed("too much time has passed since the intent was written")
        self._require_leadership()

    async def withdraw_intent(self, claimed: ClaimedGrant) -> bool:
        """Remove our intent, because the refresh token was not spent. If Vault fails, we remember that.

        Returns whether Vault has shown that the document has changed since the intent was written.
        """
        self.note_resolved(claimed.intent)
        grant = replace(claimed.read.grant, intent=None)
        try:
            await self._require_current(claimed.read)
            await self._documents.write(grant, claimed.read)
        except CheckAndSetConflict:
            await self.remove_intent(claimed.intent, claimed.location, claimed.identity)
            return True
        except (VaultUnavailable, VaultDenied, SourceMissing):
            return False
        self._resolved_intents.pop(claimed.intent.refresh_id, None)
        return False

    async def remove_intent(self, intent: Intent, location: VaultLocation, identity: VaultIdentity) -> None:
        """Remove our intent if Vault still holds it, as beside the late result of another holder.

        If Vault fails, the intent stays until others have waited for it.
        """
        with suppress(CheckAndSetConflict, VaultUnavailable, VaultDenied, SourceMissing):
            document = await self._documents.find_document(location, identity)
            if document is not None and has_intent(document, intent):
                values = without_intent(document, intent)
                await self._documents.write_values(values, location, identity, over=document)

    async def _require_current(self, read: ReadGrant) -> None:
        await self.require_current(read.at, lambda: self._documents.may_hold(read))

    async def require_current(self, at: float, holds: Callable[[], Awaitable[bool]]) -> None:
        """Check that Vault still `holds` what it held at a time on our monotonic clock, if that is not a moment ago.

        Check-and-set alone does not show it: a Vault that was restored from a backup uses version numbers again.

        Raises:
            CheckAndSetConflict: it does not.
        """
        if not self.is_a_moment_ago(at) and not await holds():
            raise CheckAndSetConflict("Vault holds something else by now")

    async def _confirm(self, intent: Intent, read: ReadGrant) -> tuple[Document, Grant]:
        """Return the document and its grant if the intent was written although its acknowledgement was lost.

        The refresh token must be the same as well: a person who patches the document keeps our marks in it. Marks that
        belong to another refresh token are not even read (`without_former_grant`). The comparison is repeated here
        because a token is sent next.

        Raises:
            VaultUnavailable: it was not written, or Vault cannot be read.
        """
        document, grant = await self._documents.find(read.location, read.identity)
        if document is None or grant is None or (grant.intent, grant.lineage) != (intent, read.grant.lineage):
            message = "Vault did not store the intent to refresh; it is tried again"
            raise VaultUnavailable(message)
        return document, grant

    async def pause_after_another_conflict(self, location: VaultLocation) -> None:
        """Pause after one more conflict about a grant; a refresh that claims the grant ends their count."""
        conflicts = self._conflicts[location] = self._conflicts.get(location, 0) + 1
        await self.pause_after_conflict(conflicts, location)

    async def pause_after_conflict(self, conflicts: int, location: VaultLocation) -> None:
        """Pause before the next read, longer after each conflict in a row.

        A read that lags behind the writes causes a conflict each time, and thousands of them without a pause.
        """
        wanted = pause(conflicts, spread_by=str(location))
        await self._clock.sleep(min(wanted, LONGEST_CONFLICT_PAUSE).total_seconds())

    def _require_leadership(self) -> None:
        if self._is_stopping:
            raise FenceClosed("this process is shutting down")
        if self._leadership.remaining() <= self._call_timeout.total_seconds():
            raise FenceClosed("this process does not lead for long enough")

    def _is_left_over(self, intent: Intent, location: VaultLocation) -> bool:
        """Return whether an intent is left over from an earlier refresh by this process at this location.

        A document may have two locations, each with a refresh in progress.
        """
        is_ours = intent.holder == self._process.holder
        return is_ours and self._intended.get(intent.refresh_id, location) == location

    def _unanswered_before(self, grant: Grant) -> Unanswered | None:
        """Count the intent that we take over as an unanswered refresh, unless we know its outcome."""
        return self.unanswered_after(grant.intent, grant.unanswered)

    def unanswered_after(self, intent: Intent | None, unanswered: Unanswered | None) -> Unanswered | None:
        """Count an intent that is taken over as an unanswered refresh, unless its outcome is known."""
        if intent is None or self.is_resolved(intent):
            return unanswered
        return unanswered_after(unanswered, intent)

    def with_unanswered_renewals(self, document: Document) -> Document:
        """Return a document as it is when its intent is taken over: its candidate names renewals without an answer."""
        candidate = read_candidate(document)
        if candidate is None:
            return document
        named = replace(candidate, unanswered=self.unanswered_renewals(document))
        return replace(document, values=with_candidate(document.values, named))

    def unanswered_renewals(self, document: Document) -> Unanswered | None:
        """Return the unanswered refreshes of a document's candidate, with one in flight if its outcome is unknown."""
        candidate, (intent, _) = read_candidate(document), marks_of(document)
        if candidate is None or candidate.terms is None:
            return None
        if intent is None or intent.consent != candidate.terms.consent or self.is_resolved(intent):
            return candidate.unanswered
        return one_more(candidate.unanswered, intent)

    def note_resolved(self, intent: Intent) -> None:
        """Note that the outcome of our intent is known, although Vault may still hold it."""
        self._resolved_intents[intent.refresh_id] = None

    def note_acknowledged(self, intent: Intent) -> None:
        """Note that Vault holds our intent, so that its outcome is unknown from now on."""
        self._resolved_intents.pop(intent.refresh_id, None)

    def is_resolved(self, intent: Intent) -> bool:
        """Return whether an intent is ours, and its outcome is known."""
        return intent.refresh_id in self._resolved_intents
