"""Decides whether failures concern the server, or only the documents that failed. Pure.

A server that fails on one document looks like a server that fails: Vault responds with status 500 to a document that is
too large. Tenants write the documents, so failures in one namespace alone do not count against the server. A tenant may
have several namespaces, so what keeps failing counts once: a bad document cannot accuse the server again and again.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pipedrive_operator.fairness.slots import EVERYBODY

SUSPECT_PATHS: Final = 3
"""How many paths must fail, while none succeeds, until the server is considered to be at fault."""
SUSPECT_NAMESPACES: Final = 2
"""How many namespaces must be affected. The operator's own requests count as one."""
SILENCE: Final = 30.0
"""In seconds: if nothing has succeeded for so long, what keeps failing counts again, since all of it may be good."""
MOST_COUNTED: Final = 10_000
"""How many failing accesses are remembered; beyond that, the oldest are forgotten and count again."""


class Access(NamedTuple):
    """Who does what at which path. One of them may fail while the others succeed: Vault reads what it cannot write."""

    namespace: str
    caller: str
    method: str
    path: str


@dataclass(slots=True)
class Suspicion:
    """The failures since the last success."""

    _namespaces: set[str] = field(default_factory=set)
    """The namespaces that have used the server."""
    _affected: set[str] = field(default_factory=set)
    _paths: set[str] = field(default_factory=set)
    _successes: int = 0
    _last_success: float = float("-inf")
    """On our monotonic clock."""
    _counted: dict[Access, int] = field(default_factory=dict)
    """What has failed since it last succeeded itself, with the number of successes before that failure.

    The oldest comes first. An outage and its end change nothing here.
    """

    def note_use(self, namespace: str) -> None:
        """Note that a namespace uses the server."""
        if namespace != EVERYBODY:
            self._namespaces.add(namespace)

    def note_failure(self, access: Access, now: float) -> bool:
        """Note a failure, and return whether the failures together concern the server; then start over.

        `now` is a time on our monotonic clock.
        """
        if self.has_counted(access) and now < self._last_success + SILENCE:
            return False
        if not self.has_counted(access):
            self._count(access)
        self._affected.add(access.namespace)
        self._paths.add(access.path)
        is_alone = len(self._namespaces) < SUSPECT_NAMESPACES
        if len(self._paths) < SUSPECT_PATHS or (len(self._affected) < SUSPECT_NAMESPACES and not is_alone):
            return False
        self._start_over()
        return True

    def has_counted(self, access: Access) -> bool:
        """Return whether a failure of this access was counted, and it has not succeeded since."""
        return access in self._counted

    def keeps_failing(self, access: Access) -> bool:
        """Return whether another access has succeeded since the failure that counted: the document may be bad."""
        return self._counted.get(access, self._successes) < self._successes

    def note_success(self, access: Access, now: float) -> None:
        """Forget the failures, because the server works; the next failure of this access counts."""
        self._counted.pop(access, None)
        self._successes += 1
        self._last_success = now
        self._start_over()

    def _start_over(self) -> None:
        self._affected.clear()
        self._paths.clear()

    def _count(self, access: Access) -> None:
        self._counted[access] = self._successes
        if len(self._counted) > MOST_COUNTED:
            del self._counted[next(iter(self._counted))]
