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
    orphan_announcement,
    report,
    report_unreadable,
    rollout_announcement,
)
from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.decision.timings import Timings
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.publication.rollout import RestartPacing, first_records
from pipedrive_operator.core.publication.secret import DesiredSecret, differences, differs, manifest, patch, release
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.credential import AnyCredential, UnreadableCredential, write_status
from pipedrive_operator.core.resource.names import ANNOTATION_REVISION, Key
from pipedrive_operator.core.resource.spec import DeletionPolicy
from pipedrive_operator.core.resource.status import Status
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.conditions import ConditionStatus, ConditionType, Reason
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    FenceClosed,
    NamespaceBeingDeleted,
    RepairPostponed,
    ReportDenied,
    SecretChanged,
    SecretExists,
    SecretWriteDenied,
)
from pipedrive_operator.fairness.budget import Budget
from pipedrive_operator.grants import GrantKeeper, RefreshOrder
from pipedrive_operator.ports import Event
from pipedrive_operator.reconcile.observer import Observer, Ports
from pipedrive_operator.reconcile.restarter import Restarter
from pipedrive_operator.reconcile.verifier import Verifier

MOST_ACTIONS: Final = 5
"""No correct pass needs more (publish, publish again after a conflict, restart, refresh, verify)."""
REPAIRS_PER_SECOND: Final = 10
REPAIR_BURST: Final = 200
"""How many Secrets of a namespace are repaired: a tenant that edits its own must not keep the API server busy."""


class TooManyActionsError(Exception):
    """A pass that never decided to wait: a defect of the policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of a pass, for scheduling and metrics."""

    until: datetime | None = None
    """When to reconcile again without an event; None if only an event does."""
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
    """Whether the pass ended at a verification, whose end causes the next one; nothing new was reported."""
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
        self._repairs = Budget(per_second=REPAIRS_PER_SECOND, burst=REPAIR_BURST)
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

    def grant_replaced(self, location: VaultLocation) -> frozenset[Key]:
        """Return the credentials to reconcile now that a consent has replaced the grant at a location."""
        return self._memories.note_consent(location)

    async def reconcile(self, key: Key) -> Outcome | None:
        """Run a pass; return None if the credential is gone.

        Raises:
            ApiServerUnavailable: the pass must be repeated.
            FenceClosed: this process no longer leads; the one that does may have published something newer.
            TooManyActionsError: a defect.
        """
        done: list[str] = []
        restarted: list[WorkloadReference] = []
        while len(done) <= MOST_ACTIONS:
            credential = self._ports.cache.credential(key)
            if credential is None:
                self._verifier.cancel(key)
                self._observer.forget(key)
                return None
            if isinstance(credential, UnreadableCredential):
                return await self._report_unreadable(credential)
            seen = await self._observer.observe(credential)
            self._require_leadership()
            decision = decide(seen)
            if decision is None:
                return Outcome(actions=tuple(done))
            if decision.action is Action.WAIT:
                status = await self._report(seen, decision)
                return _outcome(seen, decision, status, done=done, restarted=restarted)
            done.append(decision.action.name.lower())
            if decision.action is Action.VERIFY and decision.token is not None:
                self._verify(decision.token, seen)
                outcome = _outcome(seen, decision, credential.status, done=done, restarted=restarted)
                return replace(outcome, is_verifying=True)
            restarted += seen.workloads_due if decision.action is Action.RESTART else ()
            await self._act(decision, seen)
        message = f"the pass for {key} did not end after {', '.join(done)}"
        raise TooManyActionsError(message)

    def _require_leadership(self) -> None:
        if self._ports.leadership.remaining() <= 0:
            raise FenceClosed("this process no longer leads")

    async def _act(self, decision: Decision, seen: Observation) -> None:
        match decision.action:
            case Action.REFRESH:
                self._refresh(seen)
            case Action.PUBLISH if seen.desired is not None:
                await self._publish(seen.desired, seen)
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
        order = RefreshOrder(
            source=memory.source,
            requester=seen.credential.key,
            lineage=memory.grant.lineage if memory.grant is not None else "",
            replaces=memory.token.value.digest() if memory.token is not None and not _only_settles(seen) else None,
            slow=self._timings.verify_interval,
            poll=self._timings.poll_interval,
            is_requested=seen.requested is not None,
            expires_at=memory.accepted.token.expires_at if memory.accepted is not None else None,
        )
        self._keeper.refresh(order)

    def _verify(self, token: Token, seen: Observation) -> None:
        self._note_request_handled(seen)
        self._verifier.start(seen.credential.key, token, is_oauth2=seen.is_oauth2)

    async def _publish(self, desired: DesiredSecret, seen: Observation) -> None:
        key = seen.credential.key
        try:
            if differs(seen.target, desired):
                self._pace_repair(desired, seen)
                await self._record_revision_before(desired, seen)
                await self._write(desired, seen.target)
                undone = "; ".join(differences(seen.target, desired)) if seen.target is not None else "it was deleted"
                self._memories.note_write(key, subject=desired.digest, undone=undone)
            await self._remove_orphans(seen)
        except SecretExists:
            await self._look_at_foreign(desired, key)
        except SecretChanged:
            await self._read_again(seen)
        except NamespaceBeingDeleted:
            self._memories.note_terminating_namespace(key)
        except SecretWriteDenied as trouble:
            self._memories.note_failed_write(key, trouble, subject=desired.digest)
        except ApiServerUnavailable as error:
            unwritten = SecretWriteDenied(f"Secret {desired.key.name} could not be written: {error}. It is tried again")
            self._memories.note_failed_write(key, unwritten, subject=desired.digest)

    async def _look_at_foreign(self, desired: DesiredSecret, key: Key) -> None:
        """Read the Secret whose name is taken, or try again later if the namespace has used up its budget for that."""
        if self._observer.can_read_foreign(key.namespace):
            self._memories.note_foreign_secret(key, await self._ports.secrets.read(desired.key))
            return
        message = (
            f"Secret {desired.key.name} already exists, like those of many other credentials of this namespace. The "
            "operator looks at them one after another"
        )
        self._memories.note_failed_write(key, SecretWriteDenied(message), subject=desired.digest)

    def _pace_repair(self, desired: DesiredSecret, seen: Observation) -> None:
        """Postpone a repair if the namespace has used up its budget; once postponed, a repair has its turn.

        Raises:
            RepairPostponed: the repair waits for its turn.
        """
        memory = seen.memory
        failure = memory.publish_failure
        has_turn = (
            failure is not None and failure.subject == desired.digest and type(failure.trouble) is RepairPostponed
        )
        if memory.published != desired.digest or has_turn:
            return
        wait = self._repairs.reserve(seen.credential.key.namespace, self._ports.clock.monotonic())
        if wait > 0:
            message = (
                f"Secret {desired.key.name} was changed or deleted, like many others of this namespace in a short "
                "time. The operator repairs them one after another. Find the program that changes them, and stop it"
            )
            raise RepairPostponed(message, retry_after=timedelta(seconds=wait))

    async def _write(self, desired: DesiredSecret, target: TargetSecret | None) -> None:
        """Create or patch the Secret, and check that the API server stored what was sent.

        Raises:
            SecretWriteDenied: mutating admission changed what was written, and would change it again at once.
        """
        if target is None:
            written = await self._ports.secrets.create(manifest(desired))
        else:
            written = await self._ports.secrets.patch(desired.key, patch(target, desired))
        self._ports.cache.keep_secret(written)
        if differs(written, desired):
            message = (
                f"The API server did not store Secret {desired.key.name} as the operator wrote it, so an admission "
                f"policy or webhook of the cluster changes it: {'; '.join(differences(written, desired))}. Exempt the "
                "Secret from that policy or webhook, or set spec.target to what it enforces"
            )
            raise SecretWriteDenied(message)

    async def _record_revision_before(self, desired: DesiredSecret, seen: Observation) -> None:
        """Record the revision that is about to be overwritten, if an earlier process died before recording it."""
        if seen.timings.restarts is None:
            return
        current = seen.target.annotations.get(ANNOTATION_REVISION) if seen.target is not None else None
        records = first_records(seen.credential, current, desired.revision)
        if records is not None:
            status = write_status(Status(rollout=records))
            with suppress(ReportDenied):  # a policy against statuses must not keep the Secret from being published
                written = await self._ports.credentials.patch_status(
                    seen.credential.key, {"rollout": status["rollout"]}
                )
                if written is not None:
                    self._ports.cache.keep_credential(written)

    async def _restart(self, seen: Observation, published: str, pacing: RestartPacing) -> None:
        for reference in seen.workloads_due:
            state = await self._restarter.restart(seen.credential, reference, published, pacing)
            self._memories.note_restart(seen.credential.key, state)

    async def _read_again(self, seen: Observation) -> None:
        """Read what someone else changed in the meantime: the watch will deliver it too, but later."""
        for stale in (*seen.orphans, *((seen.target,) if seen.target is not None else ())):
            found = await self._ports.secrets.read(stale.key)
            if found is None:
                self._forget(stale)
            else:
                self._ports.cache.keep_secret(found)

    def _forget(self, gone: TargetSecret) -> None:
        self._ports.cache.forget_secret(gone.key, int(gone.resource_version))

    async def _remove_orphans(self, seen: Observation) -> None:
        """Delete the Secrets under former names once the new one exists; with `Retain`, release them instead."""
        target = seen.credential.spec.target
        for orphan in seen.orphans:
            if target is not None and target.deletion_policy is DeletionPolicy.RETAIN:
                released = await self._ports.secrets.patch(orphan.key, release(orphan, seen.credential))
                self._ports.cache.keep_secret(released)
            else:
                await self._ports.secrets.delete(orphan)
                self._forget(orphan)
                with suppress(ApiServerUnavailable):  # the deletion has succeeded, whether or not it can be announced
                    event = orphan_announcement(seen.credential, orphan)
                    await self._ports.credentials.record_event(seen.credential, event)

    async def _report(self, seen: Observation, decision: Decision) -> Status:
        memory = self._memories.get(seen.credential.key)
        status = report(seen, decision, handled_request=memory.handled_request if memory is not None else None)
        events = (announcement(seen.credential.status, status), rollout_announcement(seen))
        await self._write_status(seen.credential, status, [event for event in events if event is not None])
        return status

    async def _report_unreadable(self, credential: UnreadableCredential) -> Outcome:
        """Report that the spec cannot be read; nothing else can be done for the credential."""
        self._require_leadership()
        if credential.being_deleted:
            return Outcome()
        status = report_unreadable(credential, self._ports.clock.now())
        event = announcement(credential.status, status)
        await self._write_status(credential, status, [event] if event is not None else [])
        return Outcome(
            reason=Reason.INVALID_SPEC,
            stalled=True,
            expires_at=status.expires_at,
            renewal_at=status.renewal_time,
            refreshed_at=status.last_refresh_time,
        )

    async def _write_status(self, credential: AnyCredential, status: Status, events: Sequence[Event]) -> None:
        """Write a status that has changed, and record the Events about it."""
        if status == credential.status:
            return
        with suppress(ReportDenied):  # the adapter logs it, and the next pass tries again
            patch = write_status(status)
            if status.uninstall_reported_at == credential.status.uninstall_reported_at:
                del patch["uninstallReportedAt"]  # another replica may have noted a report that this one has not seen
            written = await self._ports.credentials.patch_status(credential.key, patch)
            if written is None:
                return
            self._ports.cache.keep_credential(written)
            for event in events:
                await self._ports.credentials.record_event(credential, event)

    def _note_request_handled(self, seen: Observation) -> None:
        if seen.requested is not None:
            reported_at = seen.credential.status.uninstall_reported_at
            self._memories.note_request_handled(seen.credential.key, seen.credential.request, reported_at)


def _only_settles(seen: Observation) -> bool:
    """Return whether a refresh settles what waits in escrow or as a candidate, and the access token can stay."""
    is_due = seen.renewal is not None and seen.renewal.at <= seen.now
    return seen.in_escrow or (seen.memory.has_candidate and not is_due and seen.requested is None)


def _outcome(
    seen: Observation,
    decision: Decision,
    status: Status,
    *,
    done: Sequence[str],
    restarted: Collection[WorkloadReference],
) -> Outcome:
    """Summarise a pass. Times come from the status, which survives the process: an outage after a restart shows too."""
    ready, verification = status.condition(ConditionType.READY), seen.memory.verification
    return Outcome(
        until=decision.until,
        reason=decision.reason,
        ready=ready is not None and ready.status is ConditionStatus.TRUE,
        stalled=status.condition(ConditionType.STALLED) is not None,
        expires_at=status.expires_at,
        renewal_at=status.renewal_time,
        refreshed_at=status.last_refresh_time,
        verified_at=verification.at if verification is not None else None,
        restarts=tuple(state.result for state in seen.memory.restart_states if state.reference in restarted),
        actions=tuple(done),
        has_undone_repair="publish" in done and seen.memory.repairs > 0,
    )
