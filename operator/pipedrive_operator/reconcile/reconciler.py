"""Brings one credential's Secret and status to where they should be: observe, decide, act, and in the end report.

The order of writes lives here. A grant is stored before its token is published (`grants/`), the Secret is
written before workloads are restarted for it, all of that before the status tells of it, and a new Secret
before the one under a former name goes; so a crash after any write is healed by the next pass. No decision is
made here, and no clock, framework or library of the outside is known.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from pipedrive_operator.core.decision.decision import Action, Decision
from pipedrive_operator.core.decision.memory import after_look, after_refusal, after_verification, after_write_refusal
from pipedrive_operator.core.decision.observation import Observation, Timings
from pipedrive_operator.core.decision.policy import decide
from pipedrive_operator.core.decision.report import announcement, report, rollout_announcement
from pipedrive_operator.core.decision.sources import GrantWithClient, Rules
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.publication.rollout import RestartPacing, first_notes
from pipedrive_operator.core.publication.secret import DesiredSecret, differs, manifest, patch, release
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.credential import write_status
from pipedrive_operator.core.resource.names import ANNOTATION_REVISION, Key
from pipedrive_operator.core.resource.spec import DeletionPolicy
from pipedrive_operator.core.resource.status import Status
from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.conditions import ConditionStatus, ConditionType
from pipedrive_operator.core.values.errors import (
    FenceClosed,
    NamespaceBeingDeleted,
    SecretChanged,
    SecretExists,
    SecretWriteDenied,
    Trouble,
)
from pipedrive_operator.grants import GrantKeeper, RefreshOrder
from pipedrive_operator.reconcile.observer import Observer, Ports
from pipedrive_operator.reconcile.restarter import Restarter

MOST_ACTIONS: Final = 5
"""No honest pass needs more (verify, publish, publish again after a conflict, restart, refresh); another is a loop."""


class TooManyActionsError(Exception):
    """A pass that does not come to rest: a defect of the policy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a pass came to, for whoever schedules and counts."""

    until: datetime | None = None
    """When to look again without being asked."""
    reason: str | None = None
    """None where the credential is on its way out, and nothing is reported of it any more."""
    ready: bool = False
    stalled: bool = False
    expires_at: datetime | None = None
    renewal_at: datetime | None = None
    refreshed_at: datetime | None = None
    verified_at: datetime | None = None
    restarts: tuple[str, ...] = ()
    """What came of each workload that was looked at."""
    actions: tuple[str, ...] = ()


class Reconciler:
    """Reconciles credentials, one call a pass; calls for the same key must not overlap."""

    def __init__(self, *, ports: Ports, keeper: GrantKeeper, rules: Rules, timings: Timings) -> None:
        """Take the ports, the keeper of grants, and the configuration as values."""
        self._ports = ports
        self._keeper = keeper
        self._timings = timings
        self._restarter = Restarter(workloads=ports.workloads, leadership=ports.leadership, clock=ports.clock)
        self._observer = Observer(ports=ports, keeper=keeper, rules=rules, timings=timings)
        self._memories = self._observer.memories

    def forget_all(self) -> None:
        """Forget what was learned: another process may have led since, and published something newer."""
        self._observer.forget_all()
        self._keeper.forget_all()

    def vault_returned(self, connection: str) -> frozenset[Key]:
        """Return the credentials to look at now that a Vault serves again."""
        return self._observer.vault_returned(connection)

    async def reconcile(self, key: Key) -> Outcome | None:
        """Make a pass; None where the credential is gone.

        Raises:
            ApiServerUnavailable: try the pass again.
            FenceClosed: this process no longer leads; whoever does may have published something newer.
            TooManyActionsError: a defect.
        """
        done: list[str] = []
        looked_at: list[WorkloadReference] = []
        while len(done) <= MOST_ACTIONS:
            credential = self._ports.cache.credential(key)
            if credential is None:
                self._observer.forget(key)
                return None
            seen = await self._observer.observe(credential)
            self._require_leadership()
            decision = decide(seen)
            if decision is None:
                return Outcome(actions=tuple(done))
            if decision.action is Action.WAIT:
                status = await self._report(seen, decision)
                return _outcome(seen, decision, status, done=done, looked_at=looked_at)
            done.append(decision.action.name.lower())
            looked_at += seen.workloads_due if decision.action is Action.RESTART else ()
            await self._act(decision, seen)
        message = f"the pass for {key} did not come to rest after {', '.join(done)}"
        raise TooManyActionsError(message)

    def _require_leadership(self) -> None:
        if self._ports.leadership.remaining() <= 0:
            raise FenceClosed("this process does not lead any more")

    async def _act(self, decision: Decision, seen: Observation) -> None:
        match decision.action:
            case Action.REFRESH:
                self._refresh(seen)
            case Action.VERIFY if decision.token is not None:
                await self._verify(decision.token, seen)
            case Action.PUBLISH if seen.desired is not None:
                await self._publish(seen.desired, seen)
            case Action.RESTART if seen.published_revision is not None and seen.timings.restarts is not None:
                await self._restart(seen, seen.published_revision, seen.timings.restarts)
            case Action.VERIFY | Action.PUBLISH | Action.RESTART | Action.WAIT:
                message = f"{decision.action.name} without its object"
                raise ValueError(message)

    def _refresh(self, seen: Observation) -> None:
        memory = self._memories[seen.credential.key]
        if not isinstance(memory.source, GrantWithClient):
            return
        self._handle_request(seen)
        order = RefreshOrder(
            source=memory.source,
            requester=seen.credential.key,
            lineage=seen.grant.lineage if seen.grant is not None else "",
            replaces=seen.token.value.digest() if seen.token is not None and not seen.in_escrow else None,
            slow=self._timings.verify_interval,
            poll=self._timings.poll_interval,
            is_requested=seen.requested is not None,
            expires_at=seen.accepted.token.expires_at if seen.accepted is not None else None,
        )
        self._keeper.refresh(order)

    async def _verify(self, token: Token, seen: Observation) -> None:
        key = seen.credential.key
        self._handle_request(seen)
        try:
            if seen.is_oauth2:
                account = await self._ports.pipedrive.identify_access_token(token)
            else:
                account = await self._ports.pipedrive.identify_api_token(token.value)
        except Trouble as trouble:
            memory = self._memories[key]
            self._memories[key] = after_refusal(memory, token, trouble, bounds=self._observer.bounds(memory))
        else:
            self._memories[key] = after_verification(self._memories[key], token, account, self._ports.clock.now())

    async def _publish(self, desired: DesiredSecret, seen: Observation) -> None:
        key = seen.credential.key
        try:
            if differs(seen.target, desired):
                await self._note_what_workloads_have(desired, seen)
                await self._write(desired, seen.target)
            await self._clear_orphans(seen)
        except SecretExists:
            self._memories[key] = await self._observer.read_foreign(self._memories[key], desired.key)
        except SecretChanged:
            await self._look_again(seen)
        except NamespaceBeingDeleted:
            self._memories[key] = replace(self._memories[key], namespace_is_going=True)
        except SecretWriteDenied as trouble:
            memory = self._memories[key]
            self._memories[key] = after_write_refusal(
                memory, trouble, subject=desired.digest, bounds=self._observer.bounds(memory, slow_is_poll=True)
            )

    async def _write(self, desired: DesiredSecret, target: TargetSecret | None) -> None:
        if target is None:
            written = await self._ports.secrets.create(manifest(desired))
        else:
            written = await self._ports.secrets.patch(desired.key, patch(target, desired))
        self._ports.cache.keep_secret(written)

    async def _note_what_workloads_have(self, desired: DesiredSecret, seen: Observation) -> None:
        """Note what the Secret holds before it is overwritten, where an earlier process died before noting it."""
        held = seen.target.annotations.get(ANNOTATION_REVISION) if seen.target is not None else None
        notes = first_notes(seen.credential, held, desired.revision) if seen.timings.restarts is not None else None
        if notes is not None:
            status = write_status(Status(rollout=notes))
            written = await self._ports.credentials.patch_status(seen.credential.key, {"rollout": status["rollout"]})
            if written is not None:
                self._ports.cache.keep_credential(written)

    async def _restart(self, seen: Observation, published: str, pace: RestartPacing) -> None:
        key = seen.credential.key
        for reference in seen.workloads_due:
            standing = await self._restarter.restart(seen.credential, reference, published, pace)
            self._memories[key] = after_look(self._memories[key], standing)

    async def _look_again(self, seen: Observation) -> None:
        """Read what was changed under our hands: the watch will tell too, but later."""
        for stale in (*seen.orphans, *((seen.target,) if seen.target is not None else ())):
            found = await self._ports.secrets.read(stale.key)
            if found is None:
                self._forget(stale)
            else:
                self._ports.cache.keep_secret(found)

    def _forget(self, gone: TargetSecret) -> None:
        self._ports.cache.forget_secret(gone.key, int(gone.resource_version))

    async def _clear_orphans(self, seen: Observation) -> None:
        """Take away the Secrets under former names, now that the new one is there; with `Retain`, let go of them."""
        target = seen.credential.spec.target if seen.credential.spec is not None else None
        for orphan in seen.orphans:
            if target is not None and target.deletion_policy is DeletionPolicy.RETAIN:
                freed = await self._ports.secrets.patch(orphan.key, release(orphan, seen.credential))
                self._ports.cache.keep_secret(freed)
            else:
                await self._ports.secrets.delete(orphan)
                self._forget(orphan)

    async def _report(self, seen: Observation, decision: Decision) -> Status:
        credential = seen.credential
        status = report(seen, decision, handled_request=self._memories[credential.key].handled_request)
        if status == credential.status:
            return status
        written = await self._ports.credentials.patch_status(credential.key, write_status(status))
        if written is None:
            return status
        self._ports.cache.keep_credential(written)
        for event in (announcement(credential.status, status), rollout_announcement(seen)):
            if event is not None:
                await self._ports.credentials.record_event(credential, event)
        return status

    def _handle_request(self, seen: Observation) -> None:
        """Note that what a person asked for is being done, so that it is done once."""
        key = seen.credential.key
        if seen.requested is not None:
            self._memories[key] = replace(self._memories[key], handled_request=seen.credential.request)


def _outcome(
    seen: Observation,
    decision: Decision,
    status: Status,
    *,
    done: Sequence[str],
    looked_at: Collection[WorkloadReference],
) -> Outcome:
    """Sum a pass up. What the status has outlasts the process, so that an outage after a restart shows all the same."""
    ready = status.condition(ConditionType.READY)
    return Outcome(
        until=decision.until,
        reason=decision.reason,
        ready=ready is not None and ready.status is ConditionStatus.TRUE,
        stalled=status.condition(ConditionType.STALLED) is not None,
        expires_at=status.expires_at,
        renewal_at=status.renewal_time,
        refreshed_at=status.last_refresh_time,
        verified_at=seen.verification.at if seen.verification is not None else None,
        restarts=tuple(one.result for one in seen.restart_states if one.reference in looked_at),
        actions=tuple(done),
    )
