"""A Secret as it was seen in the cluster, and which credential it belongs to.

It holds digests of the data instead of the data, and a bounded part of everything else. Anyone who can label a Secret
puts it into the cache of every replica, and a Secret may have a megabyte of data, labels or annotations.
"""

import hashlib
import json
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.metadata import read_metadata, read_strings
from pipedrive_operator.core.resource.names import (
    ANNOTATION_ADOPT,
    ANNOTATION_DIGEST,
    ANNOTATION_MANAGED,
    ANNOTATION_REVISION,
    FIELD_MANAGER,
    LABEL_CREDENTIAL,
    Key,
)
from pipedrive_operator.core.values.text import shorten

ANOTHER_RELEASE: Final = "another release of this operator"
MOST_NAMED: Final = 3
"""How many writers of a Secret a message names."""
MOST_ENTRIES: Final = 64
"""How many labels, annotations, data keys or owners of a Secret are kept. A credential asks for 32 of each at most."""
LONGEST_ANNOTATION: Final = 512
"""In characters: a longer annotation is kept as its beginning and a digest."""
_LONGEST_LIST: Final = 65536
"""In characters: the annotation that lists what is ours is never longer than this."""
_OUR_MARK: Final = f"metadata.annotations.{ANNOTATION_DIGEST}"
"""The path of the digest of our data, which each write of a release of this operator sets."""
_OUR_ANNOTATIONS: Final = (ANNOTATION_ADOPT, ANNOTATION_DIGEST, ANNOTATION_MANAGED, ANNOTATION_REVISION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Managed:
    """What the operator noted as its own part of a Secret when it wrote it."""

    data: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSecret:
    """One Secret."""

    key: Key
    uid: str
    resource_version: str
    type: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    """Long values are as `bounded` returns them."""
    owner_references: tuple[Mapping[str, Any], ...]
    being_deleted: bool
    data: Mapping[str, str] = field(repr=False)
    """The digest of each value."""
    managed: Managed = Managed()
    is_untouched: bool = False
    """Whether our keys hold what we last published, by the digest in the Secret's annotation."""
    managers: Mapping[str, str] = field(default_factory=dict)
    """For each label, annotation or data key that another program set last: its path, and the program's name."""
    is_managed: bool = False
    """Whether the operator's field manager set our mark: then it also set each field that `managers` does not list."""
    has_too_many_owners: bool = False
    """Whether owners were left out. A patch would have to write all of them back, so such a Secret is not ours."""

    @property
    def controller(self) -> Mapping[str, Any] | None:
        """The reference to the owner that controls the Secret; None if nothing does."""
        return next((owner for owner in self.owner_references if owner.get("controller")), None)

    @property
    def controller_uid(self) -> str | None:
        """The uid of the owner that controls the Secret; None if nothing does."""
        return None if self.controller is None else str(self.controller["uid"])

    def setter(self, path: str) -> str | None:
        """Return who set a field to something that this release did not write; None if that is not known."""
        if path in self.managers:
            return self.managers[path]
        return ANOTHER_RELEASE if self.is_managed and path in _values(self) else None


def read_target(body: Mapping[str, Any]) -> TargetSecret:
    """Read a Secret as the API server serves it. Raises ApiServerUnavailable if it cannot be read."""
    metadata = read_metadata(body)
    data = read_strings(body, "data")
    managed = _read_managed(metadata.annotations.get(ANNOTATION_MANAGED, ""))
    annotations = _few(metadata.annotations, (*managed.annotations, *_OUR_ANNOTATIONS))
    labels = _few(metadata.labels, (*managed.labels, LABEL_CREDENTIAL))
    kept = _few(data, managed.data)
    owners = metadata.owner_references
    managers = _managers(metadata.managed_fields, _values_of(labels, annotations, kept))
    return TargetSecret(
        key=metadata.key,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        type=sys.intern(str(body.get("type", "Opaque"))),
        labels=labels,
        annotations={name: bounded(value) for name, value in annotations.items()},
        owner_references=_few_owners(owners),
        being_deleted=metadata.being_deleted,
        data={name: digest_of(value) for name, value in kept.items()},
        managed=managed,
        is_untouched=_is_untouched(data, managed, metadata.annotations),
        managers={path: manager for path, manager in managers.items() if manager != FIELD_MANAGER},
        is_managed=managers.get(_OUR_MARK) == FIELD_MANAGER,
        has_too_many_owners=len(owners) > MOST_ENTRIES,
    )


def writers_between(before: TargetSecret, after: TargetSecret) -> list[str]:
    """Return who set the fields that differ between two versions of a Secret, as far as that is known."""
    old, new = _values(before), _values(after)
    setters = {after.setter(path) for path, value in new.items() if old.get(path) != value}
    return sorted(setter for setter in setters if setter is not None)[:MOST_NAMED]


def has_lost_its_label(target: TargetSecret) -> bool:
    """Return whether the operator wrote a Secret that now lacks its label: nothing else says whose Secret it is."""
    is_marked = {ANNOTATION_DIGEST, ANNOTATION_MANAGED} <= target.annotations.keys()
    return is_marked and LABEL_CREDENTIAL not in target.labels and target.controller is None


def belongs_to(target: TargetSecret | None, credential: Credential) -> bool:
    """Return whether the Secret exists and the credential controls it, or it is labelled for it and uncontrolled."""
    if target is None or target.has_too_many_owners:
        return False
    if target.controller_uid is not None:
        return target.controller_uid == credential.uid
    return target.labels.get(LABEL_CREDENTIAL) == credential.key.name


def may_be_adopted(target: TargetSecret, credential: Credential) -> bool:
    """Return whether the Secret's owner has annotated it for this credential and nothing controls it."""
    if target.has_too_many_owners:
        return False
    return target.controller_uid is None and target.annotations.get(ANNOTATION_ADOPT) == credential.key.name


def digest_of(value: str) -> str:
    """Return the digest of a value of a Secret's data, as the API server serves it."""
    return hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()


def data_digest(data: Mapping[str, str]) -> str:
    """Return the digest of data keys and values."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def bounded(value: str) -> str:
    """Return an annotation as it is kept: a long one as its beginning and a digest, which can still be compared."""
    return value if len(value) <= LONGEST_ANNOTATION else f"{shorten(value, LONGEST_ANNOTATION - 64)}{digest_of(value)}"


def _few(entries: Mapping[str, str], ours: Collection[str]) -> dict[str, str]:
    """Return all entries, or only ours if there are too many: only ours can drift."""
    if len(entries) <= MOST_ENTRIES:
        return dict(entries)
    return {name: entries[name] for name in ours if name in entries}


def _few_owners(owners: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
    if len(owners) <= MOST_ENTRIES:
        return owners
    return tuple(owner for owner in owners if owner.get("controller"))[:1]


def _is_untouched(data: Mapping[str, str], managed: Managed, annotations: Mapping[str, str]) -> bool:
    ours = {key: data[key] for key in managed.data if key in data}
    return annotations.get(ANNOTATION_DIGEST) == data_digest(ours)


def _read_managed(annotation: str) -> Managed:
    """Read the annotation that lists what is ours; anything that is not such a list counts as empty."""
    try:
        noted = json.loads(annotation) if len(annotation) <= _LONGEST_LIST else {}
    except (ValueError, RecursionError):
        noted = {}
    lists = noted if isinstance(noted, dict) else {}
    return Managed(**{part: _strings(lists.get(part)) for part in ("data", "labels", "annotations")})


def _strings(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MOST_ENTRIES:
        return ()
    return tuple(sys.intern(item) for item in value if isinstance(item, str))


def _managers(entries: Iterable[Mapping[str, Any]], kept: Collection[str]) -> dict[str, str]:
    """Return who manages these fields (https://kubernetes.io/docs/reference/using-api/server-side-apply/)."""
    return {
        path: str(entry.get("manager")) for entry in entries for path in _paths(entry.get("fieldsV1")) if path in kept
    }


def _values(target: TargetSecret) -> dict[str, str]:
    return _values_of(target.labels, target.annotations, target.data)


def _values_of(labels: Mapping[str, str], annotations: Mapping[str, str], data: Mapping[str, str]) -> dict[str, str]:
    """Return what is kept of a Secret, by the path of each field."""
    parts = {"metadata.labels": labels, "metadata.annotations": annotations, "data": data}
    return {f"{part}.{key}": value for part, values in parts.items() for key, value in values.items()}


def _paths(fields: object) -> Iterator[str]:
    metadata = _mapping(_mapping(fields).get("f:metadata"))
    parts = {
        "metadata.labels": metadata.get("f:labels"),
        "metadata.annotations": metadata.get("f:annotations"),
        "data": _mapping(fields).get("f:data"),
    }
    for part, keys in parts.items():
        for key in _mapping(keys):
            if key != ".":
                yield f"{part}.{key.removeprefix('f:')}"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
