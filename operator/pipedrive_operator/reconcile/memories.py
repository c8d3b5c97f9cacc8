"""The memories of all credentials: what happened to a credential is recorded here. Lost with the process.

How an event changes a memory is decided in `core/decision/memory.py`.
"""

from dataclasses import replace
from datetime import datetime

from pipedrive_operator.core.decision import memory as changes
from pipedrive_operator.core.decision.memory import Memory
from pipedrive_operator.core.decision.retry import RetryBounds
from pipedrive_operator.core.decision.timings import Timings
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.publication.rollout import RestartState
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import SecretWriteDenied, Trouble
from pipedrive_operator.ports import Clock


class Memories:
    """What this process knows of each credential."""

    def __init__(self, *, clock: Clock, timings: Timings) -> None:
        """Start with nothing remembered."""
        self._clock = clock
        self._timings = timings
        self._memories: dict[Key, Memory] = {}

    def get(self, key: Key) -> Memory | None:
        """Return the memory of a credential; None before its first pass."""
        return self._memories.get(key)

    def keep(self, key: Key, memory: Memory) -> None:
        """Replace the memory of a credential by what an observation has found."""
        self._memories[key] = memory

    def forget(self, key: Key) -> None:
        """Forget a credential that is gone."""
        self._memories.pop(key, None)

    def forget_all(self) -> None:
        """Forget everything."""
        self._memories.clear()

    def note_verification(self, key: Key, token: Token, account: Account) -> None:
        """Record which account a token belongs to, if it is still the credential's token."""
        if (memory := self._with_token(key, token)) is not None:
            self._memories[key] = changes.after_verification(memory, token, account, self._clock.now())

    def note_failed_verification(self, key: Key, token: Token, trouble: Trouble) -> None:
        """Record that Pipedrive rejected a token or gave no usable answer, if it is still the credential's token."""
        if (memory := self._with_token(key, token)) is not None:
            self._memories[key] = changes.after_failed_verification(memory, token, trouble, bounds=self.bounds(memory))

    def note_failed_write(self, key: Key, trouble: SecretWriteDenied, *, subject: str) -> None:
        """Record that a Secret could not be written; `subject` is the digest of the desired Secret."""
        memory, bounds = self._memories[key], self.bounds(self._memories[key])
        self._memories[key] = changes.after_failed_write(memory, trouble, subject=subject, bounds=bounds)

    def note_write(self, key: Key, *, subject: str, undone: str) -> None:
        """Record that a Secret was written; `undone` says what the write had to repair."""
        memory = self._memories[key]
        self._memories[key] = changes.after_write(memory, subject, undone, bounds=self.bounds(memory))

    def note_foreign_secret(self, key: Key, found: TargetSecret | None) -> None:
        """Record the Secret that exists under the target's name without our label; None if it is gone."""
        self._change(key, foreign=found, foreign_read_at=self._clock.now())

    def note_terminating_namespace(self, key: Key) -> None:
        """Record that nothing can be created in the namespace any more."""
        self._change(key, namespace_is_terminating=True)

    def note_restart(self, key: Key, state: RestartState) -> None:
        """Record what was done about a workload."""
        self._memories[key] = changes.after_restart(self._memories[key], state)

    def note_request_handled(self, key: Key, request: str | None, uninstall: datetime | None) -> None:
        """Record that a person's request, and a reported uninstall, are acted on, so that this happens once."""
        self._change(key, handled_request=request, handled_uninstall=uninstall)

    def note_return_of_vault(self, connection: str) -> frozenset[Key]:
        """Make the reads that failed while a Vault was unavailable due at once; return their credentials."""
        changed = {key: changes.after_return_of_vault(memory, connection) for key, memory in self._memories.items()}
        waiting = {key: memory for key, memory in changed.items() if memory is not None}
        self._memories.update(waiting)
        return frozenset(waiting)

    def note_consent(self, location: VaultLocation) -> frozenset[Key]:
        """Make a read of a grant due at once for all credentials that share it; return them."""
        sharing = {
            key: changes.after_consent(memory)
            for key, memory in self._memories.items()
            if memory.source is not None and memory.source.location == location
        }
        self._memories.update(sharing)
        return frozenset(sharing)

    def bounds(self, memory: Memory, *, slow_is_poll: bool = False) -> RetryBounds:
        """Return the bounds of the next pause; a failure of Vault or the cluster is retried at the poll interval."""
        slow = self._timings.poll_interval if slow_is_poll else self._timings.verify_interval
        expires_at = memory.accepted.token.expires_at if memory.accepted is not None else None
        return RetryBounds(now=self._clock.now(), slow=slow, expires_at=expires_at)

    def _with_token(self, key: Key, token: Token) -> Memory | None:
        """Return the memory of a credential that has this token; None if it has another token, or is forgotten."""
        memory = self._memories.get(key)
        return memory if memory is not None and memory.token is not None and memory.token.value == token.value else None

    def _change(self, key: Key, **changed: object) -> None:
        self._memories[key] = replace(self._memories[key], **changed)  # type: ignore[arg-type]
