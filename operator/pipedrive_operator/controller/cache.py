"""The latest objects from the watches and from our own writes, and which credentials a change affects.

No request is made here, and nothing is decided about a credential: a change only yields the keys to reconcile.
"""

from bisect import bisect, bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from pipedrive_operator.controller.store import DELETED, NOTHING, Store, is_newer
from pipedrive_operator.core.decision.sources import GrantUser, GrantWithClient, Source
from pipedrive_operator.core.grant.document import VaultIdentity, VaultLocation
from pipedrive_operator.core.publication.target import TargetSecret, read_target
from pipedrive_operator.core.resource.credential import AnyCredential, Credential, Seniority, read_credential
from pipedrive_operator.core.resource.names import KIND, LABEL_CREDENTIAL, Key
from pipedrive_operator.core.values.errors import InvalidSpec

_NO_RANK: Final[Seniority] = (datetime.min.replace(tzinfo=UTC), "")


class Cache:
    """Implements `ports.Cache`.

    A method that receives an object from the cluster returns the keys of the credentials to reconcile.
    """

    def __init__(self, resolve: Callable[[AnyCredential], Source]) -> None:
        """Start empty; `resolve` returns a source or raises `InvalidSpec`, and is called once per change."""
        self._resolve = resolve
        self._credentials = Store[AnyCredential]()
        self._sources: dict[Key, Source | InvalidSpec] = {}
        self._announced: dict[Key, _Announced] = {}
        """Each credential as last returned for a pass: our own write may return an edit that no pass has seen."""
        self._secrets = Store[TargetSecret]()
        self._by_grant = _Index[VaultLocation]()
        self._by_access = _Index[tuple[VaultLocation, VaultIdentity]]()
        self._by_target = _Index[Key]()
        self._by_credential = _Index[Key]()
        self._changed_grants: dict[VaultLocation, Seniority] = {}
        """The grants whose sharers must be reconciled, each with the oldest credential that has changed."""
        self._changed_targets: set[Key] = set()

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

    def grant_user(self, key: Key) -> GrantUser | None:
        """Return a credential with its source; None if it names no grant, or does not exist."""
        credential, source = self.credential(key), self._sources.get(key)
        if not isinstance(credential, Credential) or not isinstance(source, GrantWithClient):
            return None
        return GrantUser(credential=credential, source=source)

    def oldest_sharer(self, location: VaultLocation, identity: VaultIdentity) -> GrantUser | None:
        """Return the oldest credential whose grant is at that location and is read with that Vault identity."""
        oldest = self._by_access.first((location, identity))
        return None if oldest is None else self.grant_user(oldest)

    def secret(self, key: Key) -> TargetSecret | None:
        """Return a Secret that carries our label."""
        return self._secrets.objects.get(key)

    def secrets_of(self, credential: AnyCredential) -> Sequence[TargetSecret]:
        """Return the Secrets labelled for a credential, sorted by name."""
        return [self._secrets.objects[key] for key in sorted(self._by_credential.get(credential.key))]

    def keep_credential(self, credential: AnyCredential) -> None:
        """Keep a credential as we wrote it, unless a newer one is known."""
        known = self.credential(credential.key)
        if not self._credentials.keep(credential):
            return
        if known is None or not _names_the_same(known, credential):
            source = self._sources[credential.key] = self._resolved(credential)
            access = (source.location, source.identity) if isinstance(source, GrantWithClient) else None
            self._by_grant.put(credential.key, access[0] if access else None, credential.seniority)
            self._by_access.put(credential.key, access, credential.seniority)
            self._by_target.put(credential.key, _target(credential))

    def keep_secret(self, target: TargetSecret) -> None:
        """Keep a Secret as we wrote it, unless a newer one is known."""
        if self._secrets.keep(target):
            self._by_credential.put(target.key, _labelled(target))

    def forget_credential(self, key: Key, resource_version: int) -> frozenset[Key]:
        """Forget a credential that was gone at that version, and return it."""
        known = self.credential(key)
        if not self._credentials.drop(key, resource_version) or known is None:
            return NOTHING
        self._note_sharers(self._describe(known))
        self._announced.pop(key, None)
        self._sources.pop(key, None)
        self._by_grant.put(key, None)
        self._by_access.put(key, None)
        self._by_target.put(key, None)
        return frozenset({key})

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
        seen = self._credentials.known(body) or read_credential(body)
        if event_type == DELETED:
            return self.forget_credential(seen.key, int(seen.resource_version))
        before = self._announced.get(seen.key)
        if before is not None and not is_newer(seen, before):
            return NOTHING
        self.keep_credential(seen)
        kept = self.credential(seen.key)
        if kept is None:
            return NOTHING
        announced = self._announced[seen.key] = self._describe(kept)
        if before is not None and before.without_status == announced.without_status:
            return NOTHING
        if before is None or before.shared != announced.shared:
            self._note_sharers(*(one for one in (before, announced) if one is not None))
        return frozenset({seen.key})

    def see_secret(self, event_type: str | None, body: Mapping[str, Any]) -> frozenset[Key]:
        """Receive a Secret from the watch, or (with None) from a list. Our own write needs no pass."""
        known = self._secrets.known(body)
        if known is not None and event_type != DELETED:
            return NOTHING
        seen = known or read_target(body)
        if event_type == DELETED:
            return self.forget_secret(seen.key, int(seen.resource_version))
        before = self.secret(seen.key)
        self.keep_secret(seen)
        if self.secret(seen.key) is not seen:
            return NOTHING
        return self._affected(seen) | (self._affected(before) if before else NOTHING)

    def take_sharers(self) -> frozenset[Key]:
        """Return, once, the credentials that a change of another one concerns: they share its grant or its Secret.

        They are collected here because a flood of changes of one grant would otherwise visit all its users each time.
        """
        by_grant = [key for at, oldest in self._changed_grants.items() for key in self._by_grant.after(at, oldest)]
        by_target = [key for target in self._changed_targets for key in self._by_target.get(target)]
        self._changed_grants.clear()
        self._changed_targets.clear()
        return self._known([*by_grant, *by_target])

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
            return problem.as_value()

    def _describe(self, credential: AnyCredential) -> "_Announced":
        source = self._sources.get(credential.key)
        return _Announced(
            key=credential.key,
            resource_version=credential.resource_version,
            without_status=_without_status(credential),
            shared=_Shared(
                seniority=credential.seniority,
                being_deleted=credential.being_deleted,
                source=None if isinstance(source, InvalidSpec) else source,
                target=self._by_target.value(credential.key),
            ),
        )

    def _note_sharers(self, *changed: "_Announced") -> None:
        """Note whose conflict a change may cause or end: those who want the same Secret or the same grant.

        The oldest user of a grant decides about its client, so a change never concerns an older one: a credential that
        joins a grant later cannot keep its users busy.
        """
        for announced in changed:
            shared = announced.shared
            if isinstance(shared.source, GrantWithClient):
                location = shared.source.location
                oldest = self._changed_grants.get(location, shared.seniority)
                self._changed_grants[location] = min(oldest, shared.seniority)
            if shared.target is not None and self._by_target.has_other(shared.target, {announced.key}):
                self._changed_targets.add(shared.target)

    def _affected(self, target: TargetSecret) -> frozenset[Key]:
        """Return the credentials that own a Secret or that its label names, and note those whose target it is."""
        owners = [
            Key(namespace=target.key.namespace, name=owner["name"])
            for owner in target.owner_references
            if owner.get("kind") == KIND
        ]
        labelled = _labelled(target)
        affected = self._known([*owners, *([labelled] if labelled else [])])
        if self._by_target.has_other(target.key, affected):
            self._changed_targets.add(target.key)
        return affected

    def _known(self, keys: Iterable[Key]) -> frozenset[Key]:
        return frozenset(keys) & self._credentials.objects.keys()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shared:
    """What a credential may share with others: its grant and its Secret. Other changes concern no other credential."""

    seniority: Seniority
    being_deleted: bool
    source: Source | None
    target: Key | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Announced:
    """What the last pass that was asked for could see of a credential."""

    key: Key
    resource_version: str
    without_status: tuple[object, ...]
    shared: _Shared


ValueT = TypeVar("ValueT", bound=Hashable)


class _Index(Generic[ValueT]):
    """The keys of the objects that have a value in common, in the order of their ranks."""

    def __init__(self) -> None:
        self._keys: defaultdict[ValueT, list[tuple[Seniority, Key]]] = defaultdict(list)
        self._values: dict[Key, tuple[ValueT, Seniority]] = {}

    def get(self, value: ValueT) -> list[Key]:
        """Return the keys of a value."""
        return [key for _, key in self._keys.get(value, ())]

    def has_other(self, value: ValueT, known: Collection[Key]) -> bool:
        """Return whether a value has other keys than a few known ones, without visiting them all."""
        return any(key not in known for _, key in self._keys.get(value, ()))

    def first(self, value: ValueT) -> Key | None:
        """Return the key of a value that has the lowest rank."""
        keys = self._keys.get(value)
        return keys[0][1] if keys else None

    def after(self, value: ValueT, rank: Seniority) -> list[Key]:
        """Return the keys of a value that have a higher rank."""
        keys = self._keys.get(value, [])
        return [key for _, key in keys[bisect(keys, rank, key=itemgetter(0)) :]]

    def value(self, key: Key) -> ValueT | None:
        """Return the value of a key."""
        value, _ = self._values.get(key, (None, None))
        return value

    def put(self, key: Key, value: ValueT | None, rank: Seniority = _NO_RANK) -> None:
        """Set or, with None, remove the value of a key."""
        if key in self._values:
            old, old_rank = self._values.pop(key)
            keys = self._keys[old]
            del keys[bisect_left(keys, (old_rank, key))]
            if not keys:
                del self._keys[old]
        if value is not None:
            self._values[key] = (value, rank)
            insort(self._keys[value], (rank, key))


def _names_the_same(one: AnyCredential, other: AnyCredential) -> bool:
    """Return whether two versions of a credential name the same source and target, as every new status does."""
    if not isinstance(one, Credential) or not isinstance(other, Credential):
        return False
    return (one.seniority, one.spec) == (other.seniority, other.spec)


def _without_status(credential: AnyCredential) -> tuple[object, ...]:
    """Return everything that a pass depends on: of the status, only what other parts of the operator write."""
    reported_at = credential.status.uninstall_reported_at
    return credential.uid, credential.generation, credential.being_deleted, credential.annotations, reported_at


def _target(credential: AnyCredential) -> Key | None:
    if not isinstance(credential, Credential):
        return None
    return Key(namespace=credential.key.namespace, name=credential.target_name)


def _labelled(target: TargetSecret) -> Key | None:
    name = target.labels.get(LABEL_CREDENTIAL)
    return Key(namespace=target.key.namespace, name=name) if name else None
