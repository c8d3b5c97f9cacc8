"""Decides whether failures concern the server, or only the documents that failed. Pure.

A server that fails on one document looks like a server that fails: Vault responds with status 500 to a document that is
too large. Tenants write the documents, so failures in one namespace alone do not count against the server.
"""

from dataclasses import dataclass, field
from typing import Final

from pipedrive_operator.fairness.slots import EVERYBODY

SUSPECT_PATHS: Final = 3
"""How many paths must fail, while none succeeds, until the server is considered to be at fault."""
SUSPECT_NAMESPACES: Final = 2
"""How many namespaces must be affected. The operator's own requests count as one."""


@dataclass(slots=True)
class Suspicion:
    """The failures since the last success."""

    _namespaces: set[str] = field(default_factory=set)
    """The namespaces that have used the server."""
    _affected: set[str] = field(default_factory=set)
    _paths: set[str] = field(default_factory=set)

    def note_use(self, namespace: str) -> None:
        """Note that a namespace uses the server."""
        if namespace != EVERYBODY:
            self._namespaces.add(namespace)

    def note_failure(self, namespace: str, path: str) -> bool:
        """Note a failure, and return whether the failures together concern the server; then start over."""
        self._affected.add(namespace)
        self._paths.add(path)
        is_alone = len(self._namespaces) < SUSPECT_NAMESPACES
        if len(self._paths) < SUSPECT_PATHS or (len(self._affected) < SUSPECT_NAMESPACES and not is_alone):
            return False
        self.clear()
        return True

    def clear(self) -> None:
        """Forget the failures, because a request has succeeded."""
        self._affected.clear()
        self._paths.clear()
