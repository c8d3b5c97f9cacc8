"""The PipedriveCredential resource as types: the one definition that reading, the CRD and the documentation share.

Only here, in the shapes, in the workloads and in the settings is pydantic known. No decision is made here, and nothing
is fetched.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from pydantic import (
    TypeAdapter,
    ValidationError,
)

from pipedrive_operator.core.resource.names import ANNOTATION_REQUESTED_AT, LONGEST_REQUEST, Key
from pipedrive_operator.core.resource.spec import Spec
from pipedrive_operator.core.resource.status import Status
from pipedrive_operator.core.values.errors import InvalidSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """One resource as it was last seen."""

    key: Key
    uid: str
    generation: int
    resource_version: str
    created_at: datetime
    being_deleted: bool
    annotations: Mapping[str, str]
    spec: Spec | None
    """None where the resource cannot be read; `problem` then says why."""
    problem: str | None
    status: Status

    @property
    def target_name(self) -> str:
        """The name of the Secret to publish to."""
        target = self.spec.target if self.spec else None
        return (target and target.name) or self.key.name

    @property
    def request(self) -> str | None:
        """The check or refresh that a person asked for and that was not handled yet."""
        requested = self.annotations.get(ANNOTATION_REQUESTED_AT, "")[:LONGEST_REQUEST] or None
        return requested if requested != self.status.last_handled_request else None


T = TypeVar("T")
SPEC: Final = TypeAdapter(Spec)
STATUS: Final = TypeAdapter(Status)


def read_credential(body: Mapping[str, Any]) -> Credential:
    """Read a resource as the API server serves it.

    A resource that an older CRD let through is not refused: `spec` is None and `problem` names the field.
    """
    metadata = body["metadata"]
    spec, problem = _read_spec(body.get("spec") or {})
    return Credential(
        key=Key(namespace=metadata["namespace"], name=metadata["name"]),
        uid=metadata["uid"],
        generation=metadata.get("generation", 0),
        resource_version=metadata["resourceVersion"],
        created_at=datetime.fromisoformat(metadata["creationTimestamp"]),
        being_deleted="deletionTimestamp" in metadata,
        annotations=metadata.get("annotations") or {},
        spec=spec,
        problem=problem,
        status=_read_status(body.get("status") or {}),
    )


def write_status(status: Status) -> dict[str, Any]:
    """Write a status as the API server takes it; what is absent is None, so that a merge patch removes it."""
    written: dict[str, Any] = STATUS.dump_python(status, mode="json", by_alias=True)
    return written


def _read_spec(raw: Mapping[str, Any]) -> tuple[Spec | None, str | None]:
    try:
        spec = SPEC.validate_python(raw)
        _require_one_kind(spec)
    except ValidationError as error:
        first = error.errors()[0]
        return None, f"spec.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    except InvalidSpec as error:
        return None, error.message
    return spec, None


def _require_one_kind(spec: Spec) -> None:
    if (spec.oauth2 is None) == (spec.api_token is None):
        raise InvalidSpec("spec: exactly one of oauth2 and apiToken must be set")


def _read_status(raw: Mapping[str, Any]) -> Status:
    try:
        return STATUS.validate_python(raw)
    except ValidationError:
        return Status()
