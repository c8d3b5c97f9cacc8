"""A Secret as it was seen in the cluster, and which credential it belongs to."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.metadata import read_metadata, read_strings
from pipedrive_operator.core.resource.names import ANNOTATION_ADOPT, ANNOTATION_DIGEST, LABEL_CREDENTIAL, Key

_OUR_MARK: Final = f"metadata.annotations.{ANNOTATION_DIGEST}"
"""Set by this operator alone, so that the manager of this field is the operator's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSecret:
    """One Secret. Its data stay in base64, as the API server serves them, and out of logs."""

    key: Key
    uid: str
    resource_version: str
    type: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    owner_references: tuple[Mapping[str, Any], ...]
    being_deleted: bool
    data: Mapping[str, str] = field(repr=False)
    managers: Mapping[str, str] = field(default_factory=dict)
    """For each label, annotation or data key that another program set last: its path, and the program's name."""

    @property
    def controller(self) -> Mapping[str, Any] | None:
        """The reference to the owner that controls the Secret; None if nothing does."""
        return next((owner for owner in self.owner_references if owner.get("controller")), None)

    @property
    def controller_uid(self) -> str | None:
        """The uid of the owner that controls the Secret; None if nothing does."""
        return None if self.controller is None else str(self.controller["uid"])


def read_target(body: Mapping[str, Any]) -> TargetSecret:
    """Read a Secret as the API server serves it. Raises ApiServerUnavailable if it cannot be read."""
    metadata = read_metadata(body)
    return TargetSecret(
        key=metadata.key,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        type=str(body.get("type", "Opaque")),
        labels=metadata.labels,
        annotations=metadata.annotations,
        owner_references=metadata.owner_references,
        being_deleted=metadata.being_deleted,
        data=read_strings(body, "data"),
        managers=_other_managers(metadata.managed_fields),
    )


def belongs_to(target: TargetSecret | None, credential: Credential) -> bool:
    """Return whether the Secret exists and the credential controls it, or it is labelled for it and uncontrolled."""
    if target is None:
        return False
    if target.controller_uid is not None:
        return target.controller_uid == credential.uid
    return target.labels.get(LABEL_CREDENTIAL) == credential.key.name


def may_be_adopted(target: TargetSecret, credential: Credential) -> bool:
    """Return whether the Secret's owner has annotated it for this credential and nothing controls it."""
    return target.controller_uid is None and target.annotations.get(ANNOTATION_ADOPT) == credential.key.name


def _other_managers(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return which fields others manage (https://kubernetes.io/docs/reference/using-api/server-side-apply/).

    The operator's own fields are left out, which is nearly all of them: a cache of Secrets stays small.
    """
    managed = {path: str(entry.get("manager")) for entry in entries for path in _paths(entry.get("fieldsV1"))}
    ours = managed.get(_OUR_MARK)
    return {path: manager for path, manager in managed.items() if manager != ours}


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
