"""A Lease of Kubernetes as a value (coordination.k8s.io/v1)."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who holds it, and what it says of time; its times are for people, and are not compared between machines."""

    holder: str
    duration: timedelta
    acquired_at: datetime | None = None
    renewed_at: datetime | None = None
    transitions: int = 0
    resource_version: str | None = field(default=None)
    """What it was read at; a write names it, so that only one of two writers wins."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A Lease as we first saw it like this, on our own monotonic clock."""

    lease: Lease
    since: float
