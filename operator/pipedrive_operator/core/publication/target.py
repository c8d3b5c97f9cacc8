"""A Secret as it was seen in the cluster, and which credential it belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.names import ANNOTATION_ADOPT, LABEL_CREDENTIAL, Key


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

    @property
    def controller_uid(self) -> str | None:
        """The uid of the owner that controls the Secret; None if nothing does."""
        return next((str(owner["uid"]) for owner in self.owner_references if owner.get("controller")), None)


def read_target(body: Mapping[str, Any]) -> TargetSecret:
    """Read a Secret as the API server serves it."""
    metadata = body["metadata"]
    return TargetSecret(
        key=Key(namespace=metadata["namespace"], name=metadata["name"]),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        type=body.get("type", "Opaque"),
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
        owner_references=tuple(metadata.get("ownerReferences") or ()),
        being_deleted="deletionTimestamp" in metadata,
        data=body.get("data") or {},
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
