"""The latest objects from the watches and from our own writes, and which credentials a change affects.

No request is made here, and nothing is decided about a credential: a change only yields the keys to reconcile.
An object is replaced only by a newer one; resourceVersions are compared as numbers
(https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions).
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, Protocol, TypeVar

from pipedrive_operator.core.decision.sources import GrantUser, GrantWithClient, Source
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.publication.target import TargetSecret, read_target
from pipedrive_operator.core.resource.credential import AnyCredential, Credential, read_credential
from pipedrive_operator.core.resource.names import KIND, LABEL_CREDENTIAL, Key
from pipedrive_operator.core.values.errors import InvalidSpec

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

    A method that receives an object from the cluster returns the keys of the credentials to reconcile.
    """

    def __init__(self, resolve: Callable[[AnyCredential], Source]) -> None:
        """Start empty; `resolve` returns a source or raises `InvalidSpec`, and is called once per change."""
        self._resolve = resolve
        self._credentials = _Store[AnyCredential]()
        self._sources: dict[Key, Source | InvalidSpec] = {}
        self._announced: dict[Key, _Announced] = {}
        """Each credential as last returned for a pass: our own write may return an edit that no pass has seen."""
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

    def credential(self, key: Key) -> AnyCredential | None:
        """Return a credential."""
        return self._credentials.objects.get(key)

    def source(self, key: Key) -> Source | InvalidSpec:
        """Return the source of a credential that is cached, or what is wrong with its spec."""
        return self._sources[key]

    def sharing_grant(self, location: VaultLocation) -> Sequence[GrantUser]:
        """Return the credentials whose grant is at that location, the oldest first."""
        sharing = (self._grant_user(key) for key in self._by_grant.get(location))
        return sorted((user for user in sharing if user is not None), key=_age)

    def secret(self, key: Key) -> TargetSecret | None:
        """Return a Secret that carries our label."""
        return self._secrets.objects.get(key)

    def secrets_of(self, credential: AnyCredential) -> Sequence[TargetSecret]:
        """Return the Secrets labelled for a credential, sorted by name."""
        return [self._secrets.objects[key] for key in sorted(self._by_credential.get(credential.key))]

    def keep_credential(self, credential: AnyCredential) -> None:
        """Keep a credential as we wrote it, unless a newer one is known."""
        if self._credentials.keep(credential):
            source = self._sources[credential.key] = self._resolved(credential)
            self._by_grant.put(credential.key, source.location if isinstance(source, GrantWithClient) else None)
            self._by_target.put(credential.key, _target(credential))

    def keep_secret(self, target: TargetSecret) -> None:
        """Keep a Secret as we wrote it, unless a newer one is known."""
        if self._secrets.keep(target):
            self._by_credential.put(target.key, _labelled(target))

    def forget_credential(self, key: Key, resource_version: int) -> frozenset[Key]:
        """Forget a credential that was gone at that version; return it and those that share its grant or Secret."""
        known = self.credential(key)
        if not self._credentials.drop(key, resource_version) or known is None:
            return NOTHING
        affected = self._sharing(self._describe(known))
        self._announced.pop(key, None)
        self._sources.pop(key, None)
        self._by_grant.put(key, None)
        self._by_target.put(key, None)
        return affected | {key}

    def forget_secret(self, key: Key, resource_version: int) -> frozenset[Key]:
        """Forget a Secret that was gone at that version; return the credentials that this affects."""
        known = self.secret(key)
        if not self._secrets.drop(key, resource_version) or known is None:
            return NOTHING
        self._by_credential.put(key, None)
        return self._affected(known)

    def see_credential(self, event_type: str | None, body: Mapping[str, Any]) -> frozenset[Key]:
        """Receive a credential from the watch, or (with None) from a list.

        A new status alone needs no pass; a new generation, annotation or deletion does.
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
        announced = self._announced[seen.key] = self._describe(kept)
        if before is None:
            return self._sharing(announced) | {seen.key}
        if before.without_status == _without_status(seen):
            return NOTHING
        return self._sharing(before) | self._sharing(announced) | {seen.key}

    def see_secret(self, event_type: str | None, body: Mapping[str, Any]) -> frozenset[Key]:
        """Receive a Secret from the watch, or (with None) from a list. Our own write needs no pass."""
        seen = read_target(body)
        if event_type == DELETED:
            return self.forget_secret(seen.key, int(seen.resource_version))
        before = self.secret(seen.key)
        self.keep_secret(seen)
        if self.secret(seen.key) is not seen:
            return NOTHING
        return self._affected(seen) | (self._affected(before) if before else NOTHING)

    def prune_credentials(self, listed: Collection[Key], as_of: int) -> frozenset[Key]:
        """Forget the credentials that a complete list of that version lacks; return the keys to reconcile."""
        gone = self._credentials.prune(listed, as_of)
        return NOTHING.union(*(self.forget_credential(key, as_of) for key in gone))

    def prune_secrets(self, listed: Collection[Key], as_of: int) -> frozenset[Key]:
        """Forget the Secrets that a complete list of that version lacks; return the keys to reconcile."""
        gone = self._secrets.prune(listed, as_of)
        return NOTHING.union(*(self.forget_secret(key, as_of) for key in gone))

    def _resolved(self, credential: AnyCredential) -> Source | InvalidSpec:
        try:
            return self._resolve(credential)
        except InvalidSpec as problem:
            return problem

    def _grant_user(self, key: Key) -> GrantUser | None:
        credential, source = self.credential(key), self._sources.get(key)
        if not isinstance(credential, Credential) or not isinstance(source, GrantWithClient):
            return None
        return GrantUser(credential=credential, source=source)

    def _describe(self, credential: AnyCredential) -> "_Announced":
        return _Announced(
            key=credential.key,
            resource_version=credential.resource_version,
            without_status=_without_status(credential),
            grant=self._by_grant.value(credential.key),
            target=self._by_target.value(credential.key),
        )

    def _sharing(self, announced: "_Announced") -> frozenset[Key]:
        """Return the credentials that want the same grant or Secret: a change of one may end their conflict."""
        by_grant = self._by_grant.get(announced.grant) if announced.grant else ()
        by_target = self._by_target.get(announced.target) if announced.target else ()
        return self._known([*by_grant, *by_target])

    def _affected(self, target: TargetSecret) -> frozenset[Key]:
        """Return the credentials that own a Secret, that its label names, or whose target it is."""
        owners = [
            Key(namespace=target.key.namespace, name=owner["name"])
            for owner in target.owner_references
            if owner.get("kind") == KIND
        ]
        labelled = _labelled(target)
        return self._known([*owners, *([labelled] if labelled else []), *self._by_target.get(target.key)])

    def _known(self, keys: Iterable[Key]) -> frozenset[Key]:
        return frozenset(keys) & self._credentials.objects.keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Announced:
    """What the last pass that was asked for could see of a credential."""

    key: Key
    resource_version: str
    without_status: tuple[object, ...]
    grant: VaultLocation | None
    target: Key | None


class _Store(Generic[ObjectT]):
    """The newest objects of a kind, and at which version each missing one was known to be gone."""

    def __init__(self) -> None:
        self.objects: dict[Key, ObjectT] = {}
        self.listed = False
        self._gone: dict[Key, int] = {}
        """Keeps a list or an answer that is older than a deletion from bringing the object back."""

    def keep(self, seen: ObjectT) -> bool:
        """Keep an object, and return whether it is newer than the known one."""
        known = self.objects.get(seen.key)
        if known is not None and not _is_newer(seen, known):
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


ValueT = TypeVar("ValueT", bound=Hashable)


class _Index(Generic[ValueT]):
    """The keys of the objects that have a value in common."""

    def __init__(self) -> None:
        self._keys: defaultdict[ValueT, set[Key]] = defaultdict(set)
        self._values: dict[Key, ValueT] = {}

    def get(self, value: ValueT) -> Collection[Key]:
        """Return the keys of a value."""
        return self._keys.get(value, ())

    def value(self, key: Key) -> ValueT | None:
        """Return the value of a key."""
        return self._values.get(key)

    def put(self, key: Key, value: ValueT | None) -> None:
        """Set or, with None, remove the value of a key."""
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


def _age(user: GrantUser) -> tuple[datetime, str]:
    return user.credential.created_at, user.credential.uid


def _without_status(credential: AnyCredential) -> tuple[object, ...]:
    """Return everything that a pass depends on except the status."""
    return credential.uid, credential.generation, credential.being_deleted, credential.annotations


def _target(credential: AnyCredential) -> Key | None:
    if not isinstance(credential, Credential):
        return None
    return Key(namespace=credential.key.namespace, name=credential.target_name)


def _labelled(target: TargetSecret) -> Key | None:
    name = target.labels.get(LABEL_CREDENTIAL)
    return Key(namespace=target.key.namespace, name=name) if name else None
