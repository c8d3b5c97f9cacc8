"""Gathers everything that the policy decides from: the cluster as watched, and Vault when a read is due.

Nothing is decided or written here.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pipedrive_operator.core.decision.consent_hints import pending_uninstall
from pipedrive_operator.core.decision.decision import Action
from pipedrive_operator.core.decision.memory import (
    Memory,
    after_judging,
    after_reading,
    after_refresh,
    poll_time,
    updated,
    was_turned_back,
    without_pauses,
)
from pipedrive_operator.core.decision.memory import after_source_failure as after_failure
from pipedrive_operator.core.decision.observation import Observation, Requested
from pipedrive_operator.core.decision.sources import GrantWithClient, Source
from pipedrive_operator.core.decision.timings import CONFLICT_RECHECK, Timings
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.credential import AnyCredential, Credential
from pipedrive_operator.core.resource.names import ANNOTATION_REQUEST, Key
from pipedrive_operator.core.resource.spec import OAuth2
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    InvalidSpec,
    Trouble,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.fairness.budget import Budget
from pipedrive_operator.grants import GrantKeeper
from pipedrive_operator.grants.documents import LONGEST_LAG
from pipedrive_operator.grants.turns import Turns
from pipedrive_operator.ports import (
    Cache,
    Clock,
    ConsentCache,
    Credentials,
    Leadership,
    Pipedrive,
    Secrets,
    Vault,
    Workloads,
)
from pipedrive_operator.reconcile.memories import Memories
from pipedrive_operator.reconcile.sharing import GrantSharing

REQUESTS_PER_SECOND: Final = 10
REQUEST_BURST: Final = 100
"""How many requests by annotation are acted on for each namespace. A later one is acted on when it is its turn."""

FOREIGN_READS_PER_SECOND: Final = 5
FOREIGN_READ_BURST: Final = 50
"""How many Secrets without our label are read for each namespace: one may have a megabyte, and thousands of credentials
may name the same one as their target."""

_LAGS: Final = (
    "A server of Vault lags: it shows an older version of {location} than this process has seen, and is asked again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All the ports that a pass uses."""

    cache: Cache
    vault: Vault
    pipedrive: Pipedrive
    secrets: Secrets
    workloads: Workloads
    credentials: Credentials
    leadership: Leadership
    clock: Clock
    consents: ConsentCache | None = None
    """None if consents are not handled."""


class Observer:
    """Observes credentials, and remembers what it has found."""

    def __init__(self, *, ports: Ports, keeper: GrantKeeper, timings: Timings) -> None:
        """Take the ports, the keeper of grants and the timings."""
        self._ports = ports
        self._keeper = keeper
        self._timings = timings
        self._sharing = GrantSharing(ports.cache)
        self._requests = Budget(per_second=REQUESTS_PER_SECOND, burst=REQUEST_BURST)
        self._foreign_reads = Budget(per_second=FOREIGN_READS_PER_SECOND, burst=FOREIGN_READ_BURST)
        self._turns = Turns(ports.clock)
        self.memories = Memories(clock=ports.clock, timings=timings)

    async def observe(self, credential: Credential, spent: frozenset[Action] = frozenset()) -> Observation:
        """Gather what the policy needs, and remember what was found; `spent` is what the pass has used up."""
        found = self.source(credential)
        source, problem = (None, found) if isinstance(found, InvalidSpec) else (found, None)
        now = self._ports.clock.now()
        memory = self._memory(credential, source, now)
        refresh: refresh_state.RefreshState = refresh_state.IDLE
        memory, requested = self._paced(memory, credential.key.namespace, _requested(credential, memory), now)
        if source is not None and not _is_idle(credential):
            memory = await self._read_source(memory, credential, source, requested=requested, now=now)
            refresh = self._refresh_state(source, credential)
            memory = after_refresh(memory, refresh)
        memory, target = await self._find_target(memory, credential)
        memory = updated(memory, allowed_consents=self._allowed_consents(credential))
        memory = after_judging(memory, credential, target, now=now, timings=self._timings)
        memory = self.memories.keep(credential.key, memory)
        return Observation(
            now=now,
            credential=credential,
            timings=self._timings,
            memory=memory,
            problem=problem,
            refresh=refresh,
            in_escrow=isinstance(source, GrantWithClient) and self._keeper.has_escrow(source),
            target=target,
            orphans=self._orphans(credential),
            requested=requested,
            can_connect=self._ports.consents is not None,
            spent=spent,
        )

    def _allowed_consents(self, credential: Credential) -> frozenset[str]:
        """Return the uids of the consents for this credential that allow another company than the pinned one."""
        consents = self._ports.consents
        return consents.allowing_change(credential.key) if consents is not None else frozenset()

    def source(self, credential: AnyCredential) -> Source | InvalidSpec:
        """Return the source of a credential, or why it cannot be used: its spec, or an older user of the same grant."""
        source = self._ports.cache.source(credential.key)
        if isinstance(source, InvalidSpec) or not isinstance(credential, Credential):
            return source
        try:
            self._sharing.require_same_client(credential, source)
        except InvalidSpec as problem:
            return problem
        return source

    def vault_returned(self, connection: str) -> frozenset[Key]:
        """Make what waited for a Vault due at once; return the credentials to reconcile and no others."""
        return self.memories.note_return_of_vault(connection) | self._keeper.vault_returned(connection)

    def forget(self, key: Key) -> None:
        """Forget a credential that is gone."""
        self._release(self.memories.get(key))
        self.memories.forget(key)
        self._sharing.forget(key)

    def forget_all(self) -> None:
        """Forget everything."""
        self.memories.forget_all()
        self._sharing.forget_all()

    def _memory(self, credential: Credential, source: Source | None, now: datetime) -> Memory:
        """Return what is remembered; another source, or a recreated credential, starts with an empty memory.

        After the wall clock was turned back, each pause that is remembered would last that much longer.
        """
        memory = self.memories.begin(credential.key)
        if memory is not None and (memory.source, memory.uid) == (source, credential.uid):
            return without_pauses(memory, now) if was_turned_back(memory, now) else memory
        self._release(memory)
        if isinstance(source, GrantWithClient) and self._is_oldest(credential, source):
            self._keeper.forget(source)
        return Memory(source=source, uid=credential.uid)

    def _release(self, memory: Memory | None) -> None:
        """Have the keeper forget a grant that no credential uses any more.

        Otherwise someone who names another path each time would leave a grant in memory for each.
        """
        source = memory.source if memory is not None else None
        if isinstance(source, GrantWithClient) and not self._is_used(source):
            self._keeper.release(source)

    def _is_oldest(self, credential: Credential, source: GrantWithClient) -> bool:
        """Return whether no older credential uses a grant: one that joins its users must not end their pauses."""
        oldest = self._ports.cache.oldest_sharer(source.location, source.identity)
        return oldest is None or oldest.credential.key == credential.key

    def _is_used(self, source: GrantWithClient) -> bool:
        return self._ports.cache.oldest_sharer(source.location, source.identity) is not None

    def _refresh_state(self, source: Source, credential: Credential) -> refresh_state.RefreshState:
        """Return the state of the grant's refresh.

        A credential that cannot read the grant learns nothing about a refresh under another Vault identity.
        """
        if not isinstance(source, GrantWithClient):
            return refresh_state.IDLE
        if self._keeper.is_refreshed_by_another(source) and not self._sharing.can_read(credential, source):
            return refresh_state.IDLE
        return self._keeper.state(source, watcher=credential.key)

    def _paced(
        self, memory: Memory, namespace: str, requested: Requested | None, now: datetime
    ) -> tuple[Memory, Requested | None]:
        """Return the request if it is its turn, and remember the turn otherwise: each one costs reads and calls."""
        if requested is None:
            return updated(memory, request_turn_at=None), None
        turn = memory.request_turn_at
        if turn is None:
            turn = now + timedelta(seconds=self._requests.reserve(namespace, self._ports.clock.monotonic()))
        return updated(memory, request_turn_at=turn), requested if now >= turn else None

    async def _read_source(
        self, memory: Memory, credential: Credential, source: Source, *, requested: Requested | None, now: datetime
    ) -> Memory:
        failure = memory.source_failure
        if failure is not None and now < failure.retry_at:
            return memory
        due_at = poll_time(memory, self._timings)
        is_due = due_at is None or now >= due_at
        if not is_due and failure is None and requested is None:
            return memory
        began = self._ports.clock.monotonic()
        try:
            document = await self._ports.vault.read(source.location, source.identity)
            self._sharing.note_read(credential, source)
            is_older = not self._keeper.note_read(source, document)
            if is_older and memory.answered_at is None:
                raise VaultUnavailable(_LAGS.format(location=source.location), retry_after=LONGEST_LAG)
            if document is not None and is_older and document.version < memory.version:
                return updated(memory, read_at=now, source_failure=None)
            memory = after_reading(memory, document, now)
            return memory if is_older else self._answered(memory, began)
        except Trouble as trouble:
            if isinstance(trouble, VaultDenied):
                self._sharing.note_denial(credential.key)
            if not isinstance(trouble, VaultUnavailable):
                memory = self._answered(memory, began)
            turn = self._turns.after(trouble, source.location.connection)
            bounds = replace(self.memories.bounds(memory, slow_is_poll=True), turn=turn)
            return after_failure(memory, trouble, bounds=bounds)

    def _answered(self, memory: Memory, began: float) -> Memory:
        """Note that Vault has answered a read that began at a time on our monotonic clock."""
        return updated(memory, asked_at=began, answered_at=self._ports.clock.monotonic())

    async def _find_target(self, memory: Memory, credential: Credential) -> tuple[Memory, TargetSecret | None]:
        """Return the Secret under the target's name: the watched one, or a foreign one that a conflict revealed."""
        key = Key(namespace=credential.key.namespace, name=credential.target_name)
        watched = self._ports.cache.secret(key)
        if watched is not None:
            return updated(memory, foreign=None, foreign_read_at=None), watched
        if memory.foreign is None or memory.foreign.key != key or _is_idle(credential):
            return memory, None
        now = self._ports.clock.now()
        if memory.foreign_read_at is not None and now < memory.foreign_read_at + CONFLICT_RECHECK:
            return memory, memory.foreign
        if not self.can_read_foreign(key.namespace):
            return memory, memory.foreign
        memory = updated(memory, foreign_read_at=now)
        with suppress(ApiServerUnavailable):  # a refresh that is due does not wait until this Secret can be read
            memory = updated(memory, foreign=await self._ports.secrets.read(key))
        return memory, memory.foreign

    def can_read_foreign(self, namespace: str) -> bool:
        """Return whether a Secret without our label may be read now; this uses the budget of its namespace."""
        return self._foreign_reads.take(namespace, self._ports.clock.monotonic())

    def _orphans(self, credential: Credential) -> tuple[TargetSecret, ...]:
        """Return the Secrets that the credential controls under a former target name."""
        return tuple(
            secret
            for secret in self._ports.cache.secrets_of(credential)
            if secret.controller_uid == credential.uid
            and secret.key.name != credential.target_name
            and not secret.has_too_many_owners
        )


def _is_idle(credential: Credential) -> bool:
    """Return whether nothing outside the cluster may be called for this credential."""
    return credential.being_deleted or credential.spec.suspend


def _requested(credential: Credential, memory: Memory) -> Requested | None:
    if (reported_at := pending_uninstall(credential, memory.grant)) not in {None, memory.handled_uninstall}:
        return Requested.REFRESH if reported_at is not None else None
    if credential.request is None or credential.request == memory.handled_request:
        return None
    wants_refresh = credential.annotations.get(ANNOTATION_REQUEST) == "refresh"
    return Requested.REFRESH if wants_refresh and isinstance(credential.access, OAuth2) else Requested.CHECK
