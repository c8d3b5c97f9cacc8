"""The memories of all credentials: what happened to a credential is recorded here. Lost with the process.

How an event changes a memory is decided in `core/decision/memory.py`.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol

from pipedrive_operator.core.decision import memory as changes
from pipedrive_operator.core.decision.memory import Memory
from pipedrive_operator.core.decision.retry import RetryBounds
from pipedrive_operator.core.decision.timings import Timings
from pipedrive_operator.core.decision.writes import WriteKind, Writes, after_conflict, after_failed_write, after_write
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.publication.rollout import RestartState
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import SecretContended, SecretWriteDenied, Trouble
from pipedrive_operator.ports import Clock


class Memories:
    """What this process knows of each credential."""

    def __init__(self, *, clock: Clock, timings: Timings) -> None:
        """Start with nothing remembered."""
        self._clock = clock
        self._timings = timings
        self._memories: dict[Key, Memory] = {}
        self._observed: dict[Key, list[_Change]] = {}
        """What was recorded about a credential while a pass observes it."""

    def get(self, key: Key) -> Memory | None:
        """Return the memory of a credential; None before its first pass."""
        return self._memories.get(key)

    def begin(self, key: Key) -> Memory | None:
        """Begin an observation: return the memory of a credential, and collect what others record until `keep`."""
        self._observed[key] = []
        return self._memories.get(key)

    def keep(self, key: Key, memory: Memory) -> Memory:
        """Replace a memory by what an observation has found, with what others recorded meanwhile; return it."""
        for change in self._observed.pop(key, ()):
            memory = change(memory) or memory
        self._memories[key] = memory
        return memory

    def forget(self, key: Key) -> None:
        """Forget a credential that is gone."""
        self._memories.pop(key, None)
        self._observed.pop(key, None)

    def forget_all(self) -> None:
        """Forget everything."""
        self._memories.clear()
        self._observed.clear()

    def note_verification(self, key: Key, token: Token, account: Account) -> None:
        """Record which account a token belongs to, if it is still the credential's token."""
        now = self._clock.now()
        self._record(
            key,
            lambda memory: (
                changes.after_verification(memory, token, account, now) if _has_token(memory, token) else None
            ),
        )

    def note_failed_verification(self, key: Key, token: Token, trouble: Trouble) -> None:
        """Record that Pipedrive rejected a token or gave no usable answer, if it is still the credential's token."""

        def change(memory: Memory) -> Memory | None:
            if not _has_token(memory, token):
                return None
            return changes.after_failed_verification(memory, token, trouble, bounds=self.bounds(memory))

        self._record(key, change)

    def note_failed_write(self, key: Key, kind: WriteKind, trouble: SecretWriteDenied, *, subject: str) -> None:
        """Record that a Secret could not be written; `subject` identifies what should be written."""
        self._change_writes(key, kind, partial(after_failed_write, trouble=trouble, subject=subject))

    def note_conflict(self, key: Key, kind: WriteKind, trouble: SecretContended, *, subject: str) -> None:
        """Record that a Secret had changed since it was read, so that it was not written."""
        self._change_writes(key, kind, partial(after_conflict, trouble=trouble, subject=subject))

    def note_write(self, key: Key, kind: WriteKind, describe: Callable[[int], str], *, subject: str) -> None:
        """Record a write; `describe` returns what is reported if writes like it are undone so many times in a row."""
        self._change_writes(key, kind, partial(after_write, describe=describe, subject=subject))

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
        return self._record_for_all(lambda memory: changes.after_return_of_vault(memory, connection))

    def note_exchange(self, location: VaultLocation) -> frozenset[Key]:
        """Make a read of a grant due at once for all credentials that share it; return them."""
        return self._record_for_all(lambda memory: changes.after_exchange(memory, location))

    def bounds(self, memory: Memory, *, slow_is_poll: bool = False) -> RetryBounds:
        """Return the bounds of the next pause; a failure of Vault or the cluster is retried at the poll interval."""
        slow = self._timings.poll_interval if slow_is_poll else self._timings.verify_interval
        expires_at = memory.accepted.token.expires_at if memory.accepted is not None else None
        return RetryBounds(now=self._clock.now(), slow=slow, expires_at=expires_at)

    def _record_for_all(self, change: "_Change") -> frozenset[Key]:
        return frozenset(key for key in {*self._memories, *self._observed} if self._record(key, change))

    def _record(self, key: Key, change: "_Change") -> bool:
        """Change a memory, also the one that an observation will replace it by; return whether that may change it."""
        is_observed = key in self._observed
        if is_observed:
            self._observed[key].append(change)
        memory = self._memories.get(key)
        changed = change(memory) if memory is not None else None
        if changed is not None:
            self._memories[key] = changed
        return is_observed or changed is not None

    def _change_writes(self, key: Key, kind: WriteKind, change: "_ChangeOfWrites") -> None:
        memory = self._memories[key]
        self._change(key, **{kind: change(getattr(memory, kind), bounds=self.bounds(memory))})

    def _change(self, key: Key, **changed: object) -> None:
        self._memories[key] = replace(self._memories[key], **changed)  # type: ignore[arg-type]


class _ChangeOfWrites(Protocol):
    def __call__(self, writes: Writes, *, bounds: RetryBounds) -> Writes: ...


_Change = Callable[[Memory], Memory | None]
"""Returns a changed memory; None if it stays as it is."""


def _has_token(memory: Memory, token: Token) -> bool:
    return memory.token is not None and memory.token.value == token.value
