"""What the resource says of workloads: which are to be restarted, and what each was last restarted for. Types only.

What a restart depends on is decided in `rollout.py`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field
from pydantic.config import JsonDict

from pipedrive_operator.core.resource.shapes import CONFIG, ObjectName

_BY_KIND_AND_NAME: Final[JsonDict] = {
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["kind", "name"],
}
"""Each workload once."""
_MOST: Final = 16


class WorkloadKind(StrEnum):
    """What can be restarted."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadReference:
    """A workload of the credential's namespace."""

    __pydantic_config__ = CONFIG
    kind: WorkloadKind
    """The workload's kind, of the API group apps."""
    name: ObjectName
    """The workload's name. The workload has to carry the annotation pipedrive-operator.io/allow-rollout with the
    credential's name."""

    def __str__(self) -> str:
        """Write it for people."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Which workloads are restarted when what is published has changed."""

    __pydantic_config__ = CONFIG
    targets: Annotated[
        tuple[WorkloadReference, ...], Field(min_length=1, max_length=_MOST, json_schema_extra=_BY_KIND_AND_NAME)
    ]
    """The workloads to restart, as kubectl rollout restart does."""
    on_refresh: bool = False
    """Restart for each refreshed access token too, which is about hourly. Without it, access_token and expires_at may
    change without a restart. Default: false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadStatus:
    """What a workload of spec.rollout was last restarted for."""

    __pydantic_config__ = CONFIG
    kind: WorkloadKind
    """The workload's kind."""
    name: Annotated[str, Field(max_length=253)]
    """The workload's name."""
    revision: Annotated[str, Field(max_length=64)]
    """The revision of the published values that the workload was restarted for, or that was there at the first look:
    two digests, of what a refresh leaves as it is, and of everything."""


WorkloadStatuses = Annotated[tuple[WorkloadStatus, ...], Field(max_length=_MOST, json_schema_extra=_BY_KIND_AND_NAME)]
