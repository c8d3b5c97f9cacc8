"""What the watches have seen last and what we wrote since, and which credentials a change concerns.

No request is made here, and nothing is decided about a credential: a change only names the keys to look at.
An object is replaced by a newer one alone; resourceVersions are compared as numbers
(https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeVar

from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.publication.target import TargetSecret, read_target
from pipedrive_operator.core.resource.credential import Credential, read_credential
from pipedrive_operator.core.resource.names import KIND, LABEL_CREDENTIAL, Key

NOTHING: Final[frozenset[Key]] = frozenset()
DELETED: Final = "DELETED"


class _Object(Protocol):
    @property
    def key(self) -> Key: ...

    @property
    def resource_version(self) -> str: ...


ObjectT = TypeVar("ObjectT", bound=_Object)


class Cache:
    """Implements `ports.Cache`.

    A method that takes in what the cluster holds returns the keys of the credentials to look at.
    """

    def __init__(self, locate: Callable[[Credential], VaultLocation | None]) -> None:
        """Start empty; `locate` tells where a credential's grant is, None where it has none."""
        self._locate = locate
        self._credentials = _Store[Credential]()
        self._announced: dict[Key, Credential] = {}
        """As last returned to be looked at: the answer to our own write may hold an edit that was not."""
        self._secrets = _Store[TargetSecret]()
        self._by_grant = _Index[VaultLocation]()
        self._by_target = _Index[Key]()
        self._by_credential = _Index[Key]()

    @property
    def synced(self) -> bool:
        """Whether both kinds were listed completely at least once."""
        return self._credentials.listed and self._secrets.listed

    @property
    def keys(self) -> Collection[Key]:
        """The keys of all credentials."""
        return self._credentials.objects.keys()

    def credential(self, key: Key) -> Credential | None:
        """Return a credential."""
        return self._credentials.objects.get(key)

    def sharing_grant(self, location: VaultLocation) -> Sequence[Credential]:
        """Return the credentials whose grant is at that location, the oldest first."""
        sharing = self._known(self._by_grant.get(location))
        return sorted((self._credentials.objects[key] for key in sharing), key=_age)

    def secret(self, key: Key) -> TargetSecret | None:
        """Return a Secret that carries our label."""
        return self._secrets.objects.get(key)

    def secrets_of(self, credential: Credential) -> Sequence[TargetSecret]:
        """Return the Secrets labelled for a credential, by name."""
        return [self._secrets.objects[key] for key in sorted(self._by_credential.get(credential.key))]

    def keep_credential(self, credential: Credential) -> None:
        """Remember a credential as we wrote it, unless something newer was seen."""
        if self._credentials.keep(credential):
            self._by_grant.put(credential.key, self._locate(credential))
            self._by_target.put(credential.key, _target(credential))

    def keep_secret(self, target: TargetSecret) -> None:
        """Remember a Secret as we wrote it, unless something newer was seen."""
        if self._secrets.keep(target):
            self._by_credential.put(target.key, _labelled(target))

    def forget_credential(self, key: Key, resource_version: int) -> frozenset[Key]:
        """Forget a credential that was gone at that version; return it and those that shared with it."""
        known = self.credential(key)
        if not self._credentials.drop(key, resource_version) or known is None:
            return NOTHING
        concerned = self._sharing(known)
        self._announced.pop(key, None)
        self._by_grant.put(key, None)
        self._by_target.put(key, None)
        return concerned | {key}

    def forget_secret(self, key: Key, resource_version: int) -> frozenset[Key]:
        """Forget a Secret that was gone at that version; return the credentials that it concerns."""
        known = self.secret(key)
        if not self._secrets.drop(key, resource_version) or known is None:
            return NOTHING
        self._by_credential.put(key, None)
        return self._concerned(known)

    def see_credential(self, event_type: str | None, body: Mapping[str, Any]) -> frozenset[Key]:
        """Take in a credential from the watch, or (with None) from a list.

        A new status alone is nothing to look at; a new generation, annotation or deletion is.
        """
        seen = read_credential(body)
        if event_type == DELETED:
            return self.forget_credential(seen.key, int(seen.resource_version))
        before = self._announced.get(seen.key)
        if before is not None and not _is_newer(seen, before):
            return NOTHING
        self.keep_credential(seen)
        kept = self.credential(seen.key)
        if kept is None:
            return NOTHING
        self._announced[seen.key] = kept
        if before is None:
            return self._sharing(seen) | {seen.key}
        if _substance(before) == _substance(seen):
            return NOTHING
        return self._sharing(before) | self._sharing(seen) | {seen.key}

    def see_secret(self, event_type: str | None, body: Mapping[str, Any]) -> frozenset[Key]:
        """Take in a Secret from the watch, or (with None) from a list.

        What we wrote ourselves is nothing to look at.
        """
        seen = read_target(body)
        if event_type == DELETED:
            return self.forget_secret(seen.key, int(seen.resource_version))
        before = self.secret(seen.key)
        self.keep_secret(seen)
        if self.secret(seen.key) is not seen:
            return NOTHING
        return self._concerned(seen) | (self._concerned(before) if before else NOTHING)

    def prune_credentials(self, listed: Collection[Key], as_of: int) -> frozenset[Key]:
        """Forget the credentials that a complete list of that version lacks; return the keys to look at."""
        gone = self._credentials.prune(listed, as_of)
        return NOTHING.union(*(self.forget_credential(key, as_of) for key in gone))

    def prune_secrets(self, listed: Collection[Key], as_of: int) -> frozenset[Key]:
        """Forget the Secrets that a complete list of that version lacks; return the keys to look at."""
        gone = self._secrets.prune(listed, as_of)
        return NOTHING.union(*(self.forget_secret(key, as_of) for key in gone))

    def _sharing(self, credential: Credential) -> frozenset[Key]:
        """Return who wants the same grant or Secret: the change of one may settle their conflict."""
        location = self._locate(credential)
        grant = self._by_grant.get(location) if location else ()
        return self._known(grant) | self._known(self._by_target.get(_target(credential)))

    def _concerned(self, target: TargetSecret) -> frozenset[Key]:
        """Return the credentials that own a Secret, are named on it, or want its name."""
        owners = [
            Key(namespace=target.key.namespace, name=owner["name"])
            for owner in target.owner_references
            if owner.get("kind") == KIND
        ]
        labelled = _labelled(target)
        return self._known([*owners, *([labelled] if labelled else []), *self._by_target.get(target.key)])

    def _known(self, keys: Iterable[Key]) -> frozenset[Key]:
        return frozenset(keys) & self._credentials.objects.keys()


class _Store(Generic[ObjectT]):
    """The newest objects of a kind, and how recently the missing ones were seen to be gone."""

    def __init__(self) -> None:
        self.objects: dict[Key, ObjectT] = {}
        self.listed = False
        self._gone: dict[Key, int] = {}
        """So that a list or an answer of ours, older than a deletion, brings nothing back."""

    def keep(self, seen: ObjectT) -> bool:
        """Remember an object, and tell whether it is newer than what was known."""
        known = self.objects.get(seen.key)
        if known is not None and not _is_newer(seen, known):
            return False
        if int(seen.resource_version) <= self._gone.get(seen.key, -1):
            return False
        self.objects[seen.key] = seen
        self._gone.pop(seen.key, None)
        return True

    def drop(self, key: Key, resource_version: int) -> bool:
        """Forget an object as of a resourceVersion, unless it was seen since."""
        known = self.objects.get(key)
        if known is not None and int(known.resource_version) > resource_version:
            return False
        self.objects.pop(key, None)
        self._gone[key] = max(resource_version, self._gone.get(key, -1))
        return True

    def prune(self, listed: Collection[Key], as_of: int) -> list[Key]:
        """Return what a complete list lacks, and forget the deletions that no later list can contradict."""
        self.listed = True
        self._gone = {key: version for key, version in self._gone.items() if version > as_of}
        return [key for key in self.objects if key not in listed]


ValueT = TypeVar("ValueT", bound=Hashable)


class _Index(Generic[ValueT]):
    """The keys of the objects that have a value in common."""

    def __init__(self) -> None:
        self._keys: defaultdict[ValueT, set[Key]] = defaultdict(set)
        self._values: dict[Key, ValueT] = {}

    def get(self, value: ValueT) -> Collection[Key]:
        """Return the keys of a value."""
        return self._keys.get(value, ())

    def put(self, key: Key, value: ValueT | None) -> None:
        """Give a key another value, or none."""
        old = self._values.pop(key, None)
        if old is not None:
            self._keys[old].discard(key)
            if not self._keys[old]:
                del self._keys[old]
        if value is not None:
            self._values[key] = value
            self._keys[value].add(key)


def _is_newer(one: _Object, other: _Object) -> bool:
    return int(one.resource_version) > int(other.resource_version)


def _age(credential: Credential) -> tuple[datetime, str]:
    return credential.created_at, credential.uid


def _substance(credential: Credential) -> tuple[object, ...]:
    """Return what a look depends on: all but the status."""
    return credential.uid, credential.generation, credential.being_deleted, credential.annotations


def _target(credential: Credential) -> Key:
    return Key(namespace=credential.key.namespace, name=credential.target_name)


def _labelled(target: TargetSecret) -> Key | None:
    name = target.labels.get(LABEL_CREDENTIAL)
    return Key(namespace=target.key.namespace, name=name) if name else None
