"""The PipedriveCredential resource as the API server serves it, read into types. No decision is made here.

The types of this package are the one definition that reading, the CRD and the documentation share. Within `core`,
pydantic is used in this package alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from pipedrive_operator.core.resource.metadata import read_metadata
from pipedrive_operator.core.resource.names import (
    ANNOTATION_REQUEST,
    ANNOTATION_REQUESTED_AT,
    LONGEST_REQUESTED_AT,
    Key,
)
from pipedrive_operator.core.resource.spec import ApiToken, OAuth2, Spec
from pipedrive_operator.core.resource.status import Status
from pipedrive_operator.core.values.errors import ApiServerUnavailable, InvalidSpec

Seniority = tuple[datetime, str]
"""When a resource was created, and its uid, which decides between those of the same second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """The part of a resource that can be read whatever its spec says."""

    key: Key
    uid: str
    generation: int
    resource_version: str
    created_at: datetime
    being_deleted: bool
    annotations: Mapping[str, str]
    """Those that request something."""
    status: Status

    @property
    def seniority(self) -> Seniority:
        """The order by age."""
        return self.created_at, self.uid


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableCredential(Resource):
    """A resource that an older CRD accepted and whose spec this version cannot read."""

    problem: str
    """Which field is wrong, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential(Resource):
    """A resource as it was last seen."""

    spec: Spec
    access: OAuth2 | ApiToken
    """The one of `spec.oauth2` and `spec.apiToken` that is set: it says what is published."""

    @property
    def target_name(self) -> str:
        """The name of the Secret to publish to."""
        return (self.spec.target and self.spec.target.name) or self.key.name

    @property
    def request(self) -> str | None:
        """The request for a check or a refresh that was not handled yet: a value of the annotation."""
        requested = self.annotations.get(ANNOTATION_REQUESTED_AT, "")[:LONGEST_REQUESTED_AT] or None
        return requested if requested != self.status.last_handled_request else None


AnyCredential = Credential | UnreadableCredential
SPEC: Final = TypeAdapter(Spec)
STATUS: Final = TypeAdapter(Status)


def read_credential(body: Mapping[str, Any]) -> AnyCredential:
    """Read a resource as the API server serves it. Raises ApiServerUnavailable if its metadata cannot be read."""
    metadata = read_metadata(body)
    if metadata.creation_timestamp is None:
        message = f"the API server returned credential {metadata.key} without a creationTimestamp"
        raise ApiServerUnavailable(message)
    common: dict[str, Any] = {
        "key": metadata.key,
        "uid": metadata.uid,
        "generation": metadata.generation,
        "resource_version": metadata.resource_version,
        "created_at": metadata.creation_timestamp,
        "being_deleted": metadata.being_deleted,
        "annotations": _requests(metadata.annotations),
        "status": _read_status(body.get("status") or {}),
    }
    try:
        spec = SPEC.validate_python(body.get("spec") or {})
        return Credential(**common, spec=spec, access=_access(spec))
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"spec.{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        return UnreadableCredential(**common, problem=problem)
    except InvalidSpec as error:
        return UnreadableCredential(**common, problem=error.message)


def write_status(status: Status) -> dict[str, Any]:
    """Write a status as the API server takes it; an absent field is None, so that a merge patch removes it."""
    written: dict[str, Any] = STATUS.dump_python(status, mode="json", by_alias=True)
    return written


def _requests(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return the annotations that mean something to the operator, shortened. Others may be large and change often."""
    names = (ANNOTATION_REQUESTED_AT, ANNOTATION_REQUEST)
    return {name: annotations[name][:LONGEST_REQUESTED_AT] for name in names if name in annotations}


def _access(spec: Spec) -> OAuth2 | ApiToken:
    match spec:
        case Spec(oauth2=OAuth2() as oauth2, api_token=None):
            return oauth2
        case Spec(oauth2=None, api_token=ApiToken() as api_token):
            return api_token
        case _:
            raise InvalidSpec("spec: exactly one of oauth2 and apiToken must be set")


def _read_status(raw: Mapping[str, Any]) -> Status:
    try:
        return STATUS.validate_python(raw)
    except ValidationError:
        return Status()
