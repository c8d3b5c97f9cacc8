"""The workloads in a resource: which to restart, and what each was last restarted for. Types only.

Whether a workload is restarted is decided in `core/publication/rollout.py`.
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
"""A list in which each workload occurs once."""
_MOST: Final = 16


class WorkloadKind(StrEnum):
    """The kinds of workload that can be restarted."""

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
    """The workload's name. The workload must have the annotation pipedrive-operator.io/allow-rollout with the
    credential's name."""

    def __str__(self) -> str:
        """Format it for people."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """Which workloads to restart when the published values change."""

    __pydantic_config__ = CONFIG
    targets: Annotated[
        tuple[WorkloadReference, ...], Field(min_length=1, max_length=_MOST, json_schema_extra=_BY_KIND_AND_NAME)
    ]
    """The workloads to restart, as kubectl rollout restart does."""
    on_refresh: bool = False
    """Restart after each refresh too, which is about hourly. Otherwise, changes of access_token and expires_at restart
    nothing. Default: false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadStatus:
    """What a workload of spec.rollout was last restarted for."""

    __pydantic_config__ = CONFIG
    kind: WorkloadKind
    """The workload's kind."""
    name: Annotated[str, Field(max_length=253)]
    """The workload's name."""
    revision: Annotated[str, Field(max_length=64)]
    """The revision of the published values that the workload was last restarted for, or that was published when it was
    first recorded: a digest of what a refresh leaves unchanged, and a digest of everything."""


WorkloadStatuses = Annotated[tuple[WorkloadStatus, ...], Field(max_length=_MOST, json_schema_extra=_BY_KIND_AND_NAME)]
