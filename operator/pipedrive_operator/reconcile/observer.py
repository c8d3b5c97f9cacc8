"""Gathers, for one credential, everything that the policy decides from: the cluster as watched, Vault when it is due.

What was learned is remembered between passes (`core.memory`). Nothing is decided or written here.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from pipedrive_operator.core.decision.memory import (
    Memory,
    after_reading,
    after_refresh,
    after_return_of_vault,
    after_source_trouble,
    judged,
)
from pipedrive_operator.core.decision.observation import CONFLICT_RECHECK, Observation, Requested, Timings
from pipedrive_operator.core.decision.retry import RetryBounds
from pipedrive_operator.core.decision.sources import GrantWithClient, Rules, Source, resolve
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.names import ANNOTATION_REQUEST, Key
from pipedrive_operator.core.values.errors import InvalidSpec, Trouble, VaultDenied
from pipedrive_operator.grants import GrantKeeper
from pipedrive_operator.ports import Cache, Clock, Credentials, Leadership, Pipedrive, Secrets, Vault, Workloads


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything of the world that a pass touches."""

    cache: Cache
    vault: Vault
    pipedrive: Pipedrive
    secrets: Secrets
    workloads: Workloads
    credentials: Credentials
    leadership: Leadership
    clock: Clock


class Observer:
    """Observes credentials, and remembers."""

    def __init__(self, *, ports: Ports, keeper: GrantKeeper, rules: Rules, timings: Timings) -> None:
        """Take the ports, the keeper of grants, and the configuration as values."""
        self._ports = ports
        self._keeper = keeper
        self._rules = rules
        self._timings = timings
        self.memories: dict[Key, Memory] = {}
        self._shown: dict[Key, tuple[str, Source]] = {}
        """The uid of each credential, and what it was shown in Vault: not in its memory, which a wrong spec ends."""

    async def observe(self, credential: Credential) -> Observation:
        """Gather what the policy needs, and remember what was learned on the way. Raises ApiServerUnavailable."""
        source, problem = self._source(credential)
        memory = self._memory(credential, source)
        now = self._ports.clock.now()
        refresh: refresh_state.RefreshState = refresh_state.IDLE
        requested = _requested(credential, memory)
        if source is not None and not _is_idle(credential):
            memory = await self._read_source(memory, credential.key, source, requested=requested, now=now)
            refresh = self._flight(source, credential)
            memory = after_refresh(memory, refresh)
        memory, target = await self._look_at_target(memory, credential)
        memory = judged(memory, credential, target, now=now, timings=self._timings)
        self.memories[credential.key] = memory
        return Observation(
            now=now,
            credential=credential,
            timings=self._timings,
            problem=problem,
            namespace_is_going=memory.namespace_is_going,
            read_at=memory.read_at,
            source_failure=memory.source_failure,
            grant=memory.grant,
            token=memory.token,
            verification=memory.verification,
            accepted=memory.accepted,
            accepted_was_rejected=memory.accepted_was_rejected,
            refusals=memory.refusals,
            verify_failure=memory.verify_failure,
            refresh=refresh,
            in_escrow=isinstance(source, GrantWithClient) and self._keeper.in_escrow(source),
            target=target,
            orphans=self._orphans(credential),
            publish_failure=memory.publish_failure,
            restart_states=memory.restart_states,
            requested=requested,
        )

    def _flight(self, source: Source, credential: Credential) -> refresh_state.RefreshState:
        """Look at the refresh of a grant; one with another identity is not for who could not read the grant itself."""
        if not isinstance(source, GrantWithClient):
            return refresh_state.IDLE
        if self._keeper.is_anothers(source) and not self._has_right(credential):
            return refresh_state.IDLE
        return self._keeper.state(source, watcher=credential.key)

    def _source(self, credential: Credential) -> tuple[Source | None, InvalidSpec | None]:
        try:
            source = resolve(credential, self._rules)
            self._refuse_second_client(credential, source)
        except InvalidSpec as problem:
            return None, problem
        return source, None

    def _refuse_second_client(self, credential: Credential, source: Source) -> None:
        """Hold a grant to one client: the oldest credential that has a right to the grant decides which."""
        if not isinstance(source, GrantWithClient):
            return
        sharing = self._ports.cache.sharing_grant(source.location)
        first = next((other for other in sharing if self._concerns(other, credential, source)), credential)
        if first.uid != credential.uid and not source.has_client_of(resolve(first, self._rules)):
            message = (
                f"spec.oauth2.client: the grant at {source.location} is used by {first.key} with another client; "
                "name the same client, or keep a grant of its own for this credential"
            )
            raise InvalidSpec(message)

    def _concerns(self, other: Credential, credential: Credential, source: GrantWithClient) -> bool:
        """Tell whether one that names the same grant is to be heard: with the same identity, or if both may read it.

        To name a grant is everybody's. Who may not read it must not keep it from who may, nor hear of them.
        """
        if resolve(other, self._rules).identity == source.identity:
            return True
        return self._has_right(other) and self._has_right(credential)

    def _has_right(self, credential: Credential) -> bool:
        """Tell whether Vault has shown the credential what it names, with its own identity, when last requested."""
        shown = self._shown.get(credential.key)
        return shown is not None and shown == (credential.uid, resolve(credential, self._rules))

    def vault_returned(self, connection: str) -> frozenset[Key]:
        """Let whoever waits for a Vault look again at once, and return them: nobody else need be told."""
        back = {key: after_return_of_vault(memory, connection) for key, memory in self.memories.items()}
        self.memories.update({key: memory for key, memory in back.items() if memory is not None})
        waiting = {key for key, memory in back.items() if memory is not None}
        return frozenset(waiting) | self._keeper.vault_returned(connection)

    def forget(self, key: Key) -> None:
        """Forget a credential that is gone."""
        self.memories.pop(key, None)
        self._shown.pop(key, None)

    def forget_all(self) -> None:
        """Forget what was learned."""
        self.memories.clear()
        self._shown.clear()

    def _memory(self, credential: Credential, source: Source | None) -> Memory:
        """Return what is remembered; another source, or a deleted and recreated credential, starts anew."""
        memory = self.memories.get(credential.key)
        if memory is not None and (memory.source, memory.uid) == (source, credential.uid):
            return memory
        if isinstance(source, GrantWithClient):
            self._keeper.forget(source)
        return Memory(source=source, uid=credential.uid)

    async def _read_source(
        self, memory: Memory, key: Key, source: Source, *, requested: Requested | None, now: datetime
    ) -> Memory:
        failure = memory.source_failure
        if failure is not None and now < failure.retry_at:
            return memory
        is_due = memory.read_at is None or now >= memory.read_at + self._timings.poll_interval
        if not is_due and failure is None and requested is None:
            return memory
        try:
            document = await self._ports.vault.read(source.location, source.identity)
            self._shown[key] = memory.uid, source
            return after_reading(memory, document, now)
        except Trouble as trouble:
            if isinstance(trouble, VaultDenied):
                self._shown.pop(key, None)
            return after_source_trouble(memory, trouble, bounds=self.bounds(memory, slow_is_poll=True))

    async def _look_at_target(self, memory: Memory, credential: Credential) -> tuple[Memory, TargetSecret | None]:
        """Return the Secret under the target's name: as watched, or as read after a conflict told of a foreign one."""
        key = Key(namespace=credential.key.namespace, name=credential.target_name)
        watched = self._ports.cache.secret(key)
        if watched is not None:
            return replace(memory, foreign=None, foreign_read_at=None), watched
        if memory.foreign is None or memory.foreign.key != key or _is_idle(credential):
            return memory, None
        now = self._ports.clock.now()
        if memory.foreign_read_at is not None and now < memory.foreign_read_at + CONFLICT_RECHECK:
            return memory, memory.foreign
        memory = await self.read_foreign(memory, key)
        return memory, memory.foreign

    async def read_foreign(self, memory: Memory, key: Key) -> Memory:
        """Look at a Secret that the watch does not show. Raises ApiServerUnavailable."""
        return replace(memory, foreign=await self._ports.secrets.read(key), foreign_read_at=self._ports.clock.now())

    def _orphans(self, credential: Credential) -> tuple[TargetSecret, ...]:
        """Return the Secrets that this credential controls under a former target name."""
        return tuple(
            secret
            for secret in self._ports.cache.secrets_of(credential)
            if secret.controller_uid == credential.uid and secret.key.name != credential.target_name
        )

    def bounds(self, memory: Memory, *, slow_is_poll: bool = False) -> RetryBounds:
        """Return what bounds the next pause; where Vault or the cluster is in the way, the poll is the slow one."""
        slow = self._timings.poll_interval if slow_is_poll else self._timings.verify_interval
        expires_at = memory.accepted.token.expires_at if memory.accepted is not None else None
        return RetryBounds(now=self._ports.clock.now(), slow=slow, expires_at=expires_at)


def _is_idle(credential: Credential) -> bool:
    """Tell whether nothing outside may be touched for this credential."""
    return credential.being_deleted or (credential.spec is not None and credential.spec.suspend)


def _requested(credential: Credential, memory: Memory) -> Requested | None:
    if credential.request is None or credential.request == memory.handled_request:
        return None
    wants_refresh = credential.annotations.get(ANNOTATION_REQUEST) == "refresh"
    is_oauth2 = credential.spec is not None and credential.spec.oauth2 is not None
    return Requested.REFRESH if wants_refresh and is_oauth2 else Requested.CHECK
