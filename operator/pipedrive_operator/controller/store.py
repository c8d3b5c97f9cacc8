"""The newest objects of one kind, from a watch, from lists and from our own writes, in whichever order they arrive.

An object is replaced only by a newer one; resourceVersions are compared as numbers
(https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
"""

from collections.abc import Collection, Mapping
from typing import Any, Final, Generic, Protocol, TypeVar

from pipedrive_operator.core.resource.metadata import read_key
from pipedrive_operator.core.resource.names import Key

NOTHING: Final[frozenset[Key]] = frozenset()
DELETED: Final = "DELETED"
"""The type of the event of a watch that reports a deletion."""


class Versioned(Protocol):
    """An object of the API server."""

    @property
    def key(self) -> Key:
        """Its namespace and name."""

    @property
    def resource_version(self) -> str:
        """A number that each write makes larger."""


ObjectT = TypeVar("ObjectT", bound=Versioned)


class Store(Generic[ObjectT]):
    """The newest objects of a kind, and at which version each missing one was known to be gone."""

    def __init__(self) -> None:
        """Start empty."""
        self.objects: dict[Key, ObjectT] = {}
        self.listed = False
        self._gone: dict[Key, int] = {}
        """Keeps a list or an answer that is older than a deletion from bringing the object back."""

    def known(self, body: Mapping[str, Any]) -> ObjectT | None:
        """Return an object if this version of it was read before: from a list, or from the answer to our own write.

        Raises ApiServerUnavailable.
        """
        known = self.objects.get(read_key(body))
        return (
            known if known is not None and known.resource_version == body["metadata"].get("resourceVersion") else None
        )

    def keep(self, seen: ObjectT) -> bool:
        """Keep an object, and return whether it is newer than the known one."""
        known = self.objects.get(seen.key)
        if known is not None and not is_newer(seen, known):
            return False
        if int(seen.resource_version) <= self._gone.get(seen.key, -1):
            return False
        self.objects[seen.key] = seen
        self._gone.pop(seen.key, None)
        return True

    def drop(self, key: Key, resource_version: int) -> bool:
        """Forget an object as of a resourceVersion, unless a newer one was seen; return whether it is forgotten."""
        known = self.objects.get(key)
        if known is not None and int(known.resource_version) > resource_version:
            return False
        self.objects.pop(key, None)
        self._gone[key] = max(resource_version, self._gone.get(key, -1))
        return True

    def prune(self, listed: Collection[Key], as_of: int) -> list[Key]:
        """Return the keys that a complete list lacks, and forget the deletions that it covers."""
        self.listed = True
        self._gone = {key: version for key, version in self._gone.items() if version > as_of}
        return [key for key in self.objects if key not in listed]


def is_newer(one: Versioned, other: Versioned) -> bool:
    """Return whether an object was written after another."""
    return int(one.resource_version) > int(other.resource_version)
