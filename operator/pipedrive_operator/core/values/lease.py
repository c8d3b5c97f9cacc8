"""A Kubernetes Lease as a value (coordination.k8s.io/v1)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Its holder and times. The times are for people; they are never compared between machines."""

    holder: str
    duration: timedelta
    acquired_at: datetime | None = None
    renewed_at: datetime | None = None
    transitions: int = 0
    resource_version: str | None = field(default=None)
    """The version that was read. A write names it, so that only one of two writers succeeds."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A Lease, and when we first saw this version of it, on our own monotonic clock."""

    lease: Lease
    since: float
