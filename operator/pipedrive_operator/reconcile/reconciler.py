"""Brings one credential's Secret and status to where they should be: observe, decide, act, and finally report.

The order of writes lives here. A grant is stored before its token is published (`grants/`), the Secret is written
before workloads are restarted for it, all of that before the status reports it, and a new Secret before the one under a
former name is deleted. A crash after any write is therefore repaired by the next pass. No decision is made here, and
no clock, framework or client library is used.
"""

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pipedrive_operator.core.decision.decision import Action, Decision
from pipedrive_operator.core.decision.observation import Observation
from pipedrive_operator.core.decision.policy import decide
from pipedrive_operator.core.decision.report import (
    announcement,
    has_expired,
    report,
    report_unreadable,
    rollout_announcement,
)
from pipedrive_operator.core.decision.sources import GrantWithClient, Source
from pipedrive_operator.core.decision.timings import Timings
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.publication.rollout import RestartPacing
from pipedrive_operator.core.resource.credential import AnyCredential, UnreadableCredential, write_status
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Status
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.conditions import ConditionStatus, ConditionType, Reason
from pipedrive_operator.core.values.errors import (
    FenceClosed,
    InvalidSpec,
    ReportDenied,
)
from pipedrive_operator.grants import GrantKeeper, RefreshOrder
from pipedrive_operator.ports import Event
from pipedrive_operator.reconcile.observer import Observer, Ports
from pipedrive_operator.reconcile.publisher import Publisher
from pipedrive_operator.reconcile.restarter import Restarter
from pipedrive_operator.reconcile.verifier import Verifier

MOST_REPETITIONS: Final = 3
"""How often a pass does the same thing. Whatever changes faster than that must not keep other actions from their turn,
and a pass without an end would occupy a worker."""
DENIED_STATUS_RETRY: Final = timedelta(minutes=1)
"""After how long at most a status that was denied is written again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a pass, for scheduling and metrics."""

    until: datetime | None = None
    """When to reconcile again without an event; None if only an event does."""
    decided_at: datetime | None = None
    """When that was decided. The wall clock may be turned while the pass goes on."""
    reason: str | None = None
    """None if the credential is being deleted, so that nothing is reported about it any more."""
    ready: bool = False
    stalled: bool = False
    expires_at: datetime | None = None
    renewal_at: datetime | None = None
    refreshed_at: datetime | None = None
    verified_at: datetime | None = None
    restarts: tuple[str, ...] = ()
    """The result for each workload that was handled."""
    actions: tuple[str, ...] = ()
    is_verifying: bool = False
    """Whether the pass ended at a verification, whose end causes the next one, and nothing new was reported."""
    has_undone_repair: bool = False
    """Whether the pass had to repeat a repair that was undone at once."""


class Reconciler:
    """Reconciles credentials, one pass per call. Calls for the same key must not overlap."""

    def __init__(
        self, *, ports: Ports, keeper: GrantKeeper, timings: Timings, on_verification: Callable[[Key], None]
    ) -> None:
        """Take the ports, the keeper of grants and the timings.

        `on_verification` receives each credential that needs a pass because a verification has ended.
        """
        self._ports = ports
        self._keeper = keeper
        self._timings = timings
        self._restarter = Restarter(workloads=ports.workloads, leadership=ports.leadership, clock=ports.clock)
        self._observer = Observer(ports=ports, keeper=keeper, timings=timings)
        self._memories = self._observer.memories
        self._publisher = Publisher(
            ports=ports, memories=self._memories, can_read_foreign=self._observer.can_read_foreign
        )
        self._verifier = Verifier(pipedrive=ports.pipedrive, memories=self._memories, on_result=on_verification)

    def forget_all(self) -> None:
        """Forget everything: another process may have led since, and published something newer."""
        self._verifier.cancel_all()
        self._observer.forget_all()
        self._keeper.forget_all()

    async def aclose(self) -> None:
        """End what is in progress outside the passes and can be repeated."""
        await self._verifier.aclose()

    def vault_returned(self, connection: str) -> frozenset[Key]:
        """Return the credentials to reconcile now that a Vault is available again."""
        return self._observer.vault_returned(connection)

    def source(self, credential: AnyCredential) -> Source | InvalidSpec:
        """Return the source of a credential, or why it cannot be used: its spec, or an older user of the same grant."""
        return self._observer.source(credential)

    def exchange_ended(self, location: VaultLocation) -> frozenset[Key]:
        """Return the credentials to reconcile now that an exchange, which may have changed the grant, has ended."""
        return self._memories.note_exchange(location)

    async def reconcile(self, key: Key) -> Outcome | None:
        """Run a pass; return None if the credential is gone.

        Raises:
            ApiServerUnavailable: the pass must be repeated.
            FenceClosed: this process no longer leads; the one that does may have published something newer.
        """
        started = self._ports.clock.now()
        done: list[Action] = []
        restarted: list[WorkloadReference] = []
        while True:
            credential = self._ports.cache.credential(key)
            if credential is None:
                self._verifier.cancel(key)
                self._observer.forget(key)
                return None
            if isinstance(credential, UnreadableCredential):
                return await self._report_unreadable(credential)
            seen = await self._observer.observe(credential, _spent(done))
            self._require_leadership()
            decision = decide(seen)
            if decision is None:
                return Outcome(actions=_names(done))
            if decision.action is Action.WAIT:
                status, decision = await self._report(seen, decision)
                return _outcome(seen, decision, status, started=started, done=done, restarted=restarted)
            done.append(decision.action)
            if decision.action is Action.VERIFY and decision.token is not None:
                self._verify(decision.token, seen)
                is_news, status = has_expired(seen), credential.status
                if is_news:
                    status, decision = await self._report(seen, decision)
                outcome = _outcome(seen, decision, status, started=started, done=done, restarted=restarted)
                return replace(outcome, is_verifying=not is_news)
            restarted += seen.workloads_due if decision.action is Action.RESTART else ()
            await self._act(decision, seen)

    def _require_leadership(self) -> None:
        if self._ports.leadership.remaining() <= 0:
            raise FenceClosed("this process no longer leads")

    async def _act(self, decision: Decision, seen: Observation) -> None:
        match decision.action:
            case Action.REFRESH:
                self._refresh(seen)
            case Action.PUBLISH if seen.desired is not None:
                await self._publisher.publish(seen.desired, seen)
            case Action.RESTART if seen.published_revision is not None and seen.timings.restarts is not None:
                await self._restart(seen, seen.published_revision, seen.timings.restarts)
            case Action.VERIFY | Action.PUBLISH | Action.RESTART | Action.WAIT:
                message = f"{decision.action.name} without its object"
                raise ValueError(message)

    def _refresh(self, seen: Observation) -> None:
        memory = seen.memory
        if not isinstance(memory.source, GrantWithClient):
            return
        self._note_request_handled(seen)
        digest = memory.token.value.digest() if memory.token is not None else None
        order = RefreshOrder(
            source=memory.source,
            requester=seen.credential.key,
            lineage=memory.grant.lineage if memory.grant is not None else "",
            access_digest=digest,
            replaces=None if _only_settles(seen) else digest,
            slow=self._timings.verify_interval,
            poll=self._timings.poll_interval,
            is_requested=seen.requested is not None,
            expires_at=memory.accepted.token.expires_at if memory.accepted is not None else None,
        )
        self._keeper.refresh(order)

    def _verify(self, token: Token, seen: Observation) -> None:
        self._note_request_handled(seen)
        self._verifier.start(seen.credential.key, token, is_oauth2=seen.is_oauth2)

    async def _restart(self, seen: Observation, published: str, pacing: RestartPacing) -> None:
        for reference in seen.workloads_due:
            state = await self._restarter.restart(seen.credential, reference, published, pacing)
            self._memories.note_restart(seen.credential.key, state)

    async def _report(self, seen: Observation, decision: Decision) -> tuple[Status, Decision]:
        """Write the status; return it with the decision, whose wait ends soon if the status was denied."""
        memory = self._memories.get(seen.credential.key)
        status = report(seen, decision, handled_request=memory.handled_request if memory is not None else None)
        events = (announcement(seen.credential.status, status), rollout_announcement(seen))
        if await self._write_status(seen.credential, status, [event for event in events if event is not None]):
            return status, decision
        retry_at = seen.now + DENIED_STATUS_RETRY
        return status, replace(decision, until=min(decision.until or retry_at, retry_at))

    async def _report_unreadable(self, credential: UnreadableCredential) -> Outcome:
        """Report that the spec cannot be read; nothing else can be done for the credential."""
        self._require_leadership()
        if credential.being_deleted:
            return Outcome()
        now = self._ports.clock.now()
        status = report_unreadable(credential, now)
        event = announcement(credential.status, status)
        is_written = await self._write_status(credential, status, [event] if event is not None else [])
        return Outcome(
            until=now + (self._timings.poll_interval if is_written else DENIED_STATUS_RETRY),
            decided_at=now,
            reason=Reason.INVALID_SPEC,
            stalled=True,
            expires_at=status.expires_at,
            renewal_at=status.renewal_time,
            refreshed_at=status.last_refresh_time,
        )

    async def _write_status(self, credential: AnyCredential, status: Status, events: Sequence[Event]) -> bool:
        """Write a status that has changed, and record the Events about it; return False if the status was denied."""
        if status == credential.status:
            return True
        patch = write_status(status)
        if status.uninstall_reported_at == credential.status.uninstall_reported_at:
            del patch["uninstallReportedAt"]  # another replica may have noted a report that this one has not seen
        try:
            written = await self._ports.credentials.patch_status(credential.key, patch)
        except ReportDenied:  # the adapter logs it
            return False
        if written is not None:
            self._ports.cache.keep_credential(written)
            with suppress(ReportDenied):
                for event in events:
                    await self._ports.credentials.record_event(credential, event)
        return True

    def _note_request_handled(self, seen: Observation) -> None:
        if seen.requested is not None:
            reported_at = seen.credential.status.uninstall_reported_at
            self._memories.note_request_handled(seen.credential.key, seen.credential.request, reported_at)


def _only_settles(seen: Observation) -> bool:
    """Return whether a refresh settles what waits in escrow or as a candidate, and the access token can stay."""
    if seen.is_unresolved or seen.requested is not None:
        return False
    is_due = seen.renewal is not None and seen.renewal.at <= seen.now
    return seen.in_escrow or (seen.memory.has_candidate and not is_due)


def _spent(done: Sequence[Action]) -> frozenset[Action]:
    return frozenset(action for action in done if done.count(action) >= MOST_REPETITIONS)


def _names(done: Sequence[Action]) -> tuple[str, ...]:
    return tuple(action.name.lower() for action in done)


def _outcome(
    seen: Observation,
    decision: Decision,
    status: Status,
    *,
    started: datetime,
    done: Sequence[Action],
    restarted: Collection[WorkloadReference],
) -> Outcome:
    """Summarise a pass. Times come from the status, which survives the process: an outage after a restart shows too."""
    histories = (seen.memory.publication, seen.memory.removal)
    ready, verification = status.condition(ConditionType.READY), seen.memory.verification
    return Outcome(
        until=decision.until,
        decided_at=seen.now,
        reason=decision.reason,
        ready=ready is not None and ready.status is ConditionStatus.TRUE,
        stalled=status.condition(ConditionType.STALLED) is not None,
        expires_at=status.expires_at,
        renewal_at=status.renewal_time,
        refreshed_at=status.last_refresh_time,
        verified_at=verification.at if verification is not None else None,
        restarts=tuple(state.result for state in seen.memory.restart_states if state.reference in restarted),
        actions=_names(done),
        has_undone_repair=any(writes.was_undone_since(started) for writes in histories),
    )
