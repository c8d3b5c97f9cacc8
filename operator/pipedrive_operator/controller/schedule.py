"""Decides which credential is reconciled next. Pure: times are passed in, as monotonic seconds.

Between namespaces it is fair: they take turns, and none occupies all workers. Within a namespace the earliest deadline
comes first. A deadline is fixed when a pass is requested, so no flood of later requests can push it back. Deadlines of
different namespaces are never compared: a tenant could choose them.
"""

import heapq
import itertools
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pipedrive_operator.core.resource.credential import AnyCredential, Credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import ConditionStatus, ConditionType
from pipedrive_operator.fairness.queue import FairQueue

LONGEST_SLACK: Final = 30.0
"""Seconds that a scheduled pass can wait while credentials of its namespace that were changed go first."""
FIRST_SLACK: Final = 600.0
"""Seconds that the first pass of a leader can wait at most: ten thousand take a minute or two."""
MOST_REPLACED: Final = 1000
"""How many replaced requests are kept until they are removed together: each removal visits all requests."""
_SHARE_OF_LIFETIME: Final = 1 / 4
"""How much of the time until the published value expires a scheduled pass can wait."""


def slack(until: datetime, expires_at: datetime | None) -> float:
    """Return for how many seconds a pass that is due at `until` can wait, given when the published value expires."""
    if expires_at is None or expires_at <= until:
        return LONGEST_SLACK
    return min(LONGEST_SLACK, (expires_at - until).total_seconds() * _SHARE_OF_LIFETIME)


def first_slack(credential: AnyCredential | None, now: datetime) -> float:
    """Return for how many seconds the first pass of a leader can wait, going by what the last one has reported.

    What is not ready, has changed since, or was requested cannot wait. The rest comes in the order of the renewals.
    """
    if not isinstance(credential, Credential) or credential.being_deleted or credential.request is not None:
        return 0.0
    ready = credential.status.condition(ConditionType.READY)
    if ready is None or ready.status is not ConditionStatus.TRUE or ready.observed_generation != credential.generation:
        return 0.0
    renewal = credential.status.renewal_time
    wait = FIRST_SLACK if renewal is None else (renewal - now).total_seconds()
    return min(max(0.0, wait), FIRST_SLACK)


@dataclass(frozen=True, slots=True)
class _Request:
    """When a pass is due, and by when it should start."""

    due: float
    deadline: float


class Schedule:
    """The passes that are requested. A key is handed out to one worker at a time."""

    def __init__(self, workers: int) -> None:
        """Start empty; `workers` passes can be in progress at the same time."""
        self._requests: dict[Key, _Request] = {}
        self._later: list[tuple[float, int, Key]] = []
        """Requests that are not due, as a heap. One that was replaced stays here, and is skipped."""
        self._ready = FairQueue[Key](workers)
        self._in_progress: set[Key] = set()
        self._order = itertools.count()

    def add(self, key: Key, due: float, deadline: float, *, since: float = -math.inf, until: float = math.inf) -> bool:
        """Request a pass, and return whether this changes anything: of two requests, the earlier times apply.

        A request that was due before `since`, or is due after `until`, is replaced instead.
        """
        wanted, known = _Request(due, deadline), self._requests.get(key)
        if known is not None and not since <= known.due <= until and key not in self._in_progress:
            self._ready.withdraw(key)
        elif known is not None:
            wanted = _Request(min(known.due, due), min(known.deadline, deadline))
        if wanted == known:
            return False
        self._requests[key] = wanted
        if key not in self._in_progress:
            self._push(key, wanted)
        return True

    def take(self, now: float) -> Key | None:
        """Return the key whose pass is next, and mark it as in progress; None if no pass may start now."""
        self._promote(now)
        key = self._ready.take()
        if key is not None:
            del self._requests[key]
            self._in_progress.add(key)
        return key

    def done(self, key: Key) -> None:
        """End the pass of a key. If another one was requested in the meantime, it can start now."""
        self._in_progress.discard(key)
        self._ready.release(key)
        if (request := self._requests.get(key)) is not None:
            self._push(key, request)

    def next_due(self) -> float | None:
        """Return when the next request that is not due yet becomes due."""
        return self._later[0][0] if self._later else None

    def waiting_since(self, now: float) -> list[float]:
        """Return since when each key that is due waits for a worker."""
        self._promote(now)
        return [
            request.due
            for key, request in self._requests.items()
            if request.due <= now and key not in self._in_progress
        ]

    def _push(self, key: Key, request: _Request) -> None:
        if len(self._later) > MOST_REPLACED + 2 * len(self._requests):
            self._later = [entry for entry in self._later if self._is_current(entry)]
            heapq.heapify(self._later)
        heapq.heappush(self._later, (request.due, next(self._order), key))

    def _is_current(self, entry: tuple[float, int, Key]) -> bool:
        request = self._requests.get(entry[2])
        return request is not None and request.due == entry[0]

    def _promote(self, now: float) -> None:
        """Let what has become due wait for its turn."""
        while self._later and self._later[0][0] <= now:
            *_, key = heapq.heappop(self._later)
            request = self._requests.get(key)
            if request is not None and request.due <= now and key not in self._in_progress:
                self._ready.put(key, (key.namespace,), rank=request.deadline)
