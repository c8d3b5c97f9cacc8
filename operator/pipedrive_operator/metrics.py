"""The metrics, each in one place with its name and labels. Times are absolute, in seconds since the epoch.

    pipedrive_operator_build_info{version}                                        always 1
    pipedrive_operator_credential_ready{namespace,name}                           1 while Ready is True
    pipedrive_operator_credential_expiration_timestamp_seconds{namespace,name}    of the published token
    pipedrive_operator_credential_renewal_timestamp_seconds{namespace,name}       when it is to be refreshed
    pipedrive_operator_credential_last_verified_timestamp_seconds{namespace,name} when Pipedrive accepted it
    pipedrive_operator_passes_total{reason}                                       passes, by how they ended
    pipedrive_operator_refreshes_total{outcome}                                   changes of a grant's refresh
    pipedrive_operator_requests_total{service,operation,code}                     to an outside system
    pipedrive_operator_request_duration_seconds{service,operation}                how long they took
    pipedrive_operator_queue_depth                                                keys that wait for a worker
    pipedrive_operator_queue_oldest_age_seconds                                   how long the first one waits
    pipedrive_operator_watch_age_seconds                                          since the last answer
    pipedrive_operator_leader                                                     1 while this replica acts
    pipedrive_operator_escrow_grants                                              grants that Vault has not taken
    pipedrive_operator_escrow_failures_total                                      escrow that could not be written

A series about a credential goes with its credential.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from pipedrive_operator import __version__

disable_created_metrics()

REGISTRY: Final = CollectorRegistry()
_OF_CREDENTIAL: Final = ("namespace", "name")


def _gauge(name: str, documentation: str, labels: tuple[str, ...] = ()) -> Gauge:
    return Gauge(f"pipedrive_operator_{name}", documentation, labels, registry=REGISTRY)


_BUILD: Final = _gauge("build_info", "The version that runs.", ("version",))
_READY: Final = _gauge("credential_ready", "Whether the Secret can be used.", _OF_CREDENTIAL)
_EXPIRATION: Final = _gauge(
    "credential_expiration_timestamp_seconds", "When the published token expires.", _OF_CREDENTIAL
)
_RENEWAL: Final = _gauge("credential_renewal_timestamp_seconds", "When it is to be refreshed.", _OF_CREDENTIAL)
_VERIFIED: Final = _gauge(
    "credential_last_verified_timestamp_seconds", "When Pipedrive last accepted it.", _OF_CREDENTIAL
)
_PASSES: Final = Counter("pipedrive_operator_passes", "Passes by how they ended.", ("reason",), registry=REGISTRY)
_REFRESHES: Final = Counter(
    "pipedrive_operator_refreshes", "Changes of a grant's refresh.", ("outcome",), registry=REGISTRY
)
_REQUESTS: Final = Counter(
    "pipedrive_operator_requests",
    "Requests to an outside system.",
    ("service", "operation", "code"),
    registry=REGISTRY,
)
_DURATIONS: Final = Histogram(
    "pipedrive_operator_request_duration_seconds",
    "How long requests to an outside system took.",
    ("service", "operation"),
    registry=REGISTRY,
)
_DEPTH: Final = _gauge("queue_depth", "Keys that wait for a worker.")
_OLDEST: Final = _gauge("queue_oldest_age_seconds", "How long the first of them waits.")
_WATCH: Final = _gauge("watch_age_seconds", "Seconds since the watches' last answer.")

_LEADER: Final = _gauge("leader", "Whether this replica acts.")
_ESCROW: Final = _gauge("escrow_grants", "Refreshed grants that Vault has not taken yet.")
_ESCROW_FAILURES: Final = Counter(
    "pipedrive_operator_escrow_failures", "Escrow that could not be written or deleted.", registry=REGISTRY
)

_BUILD.labels(version=__version__).set(1)


@dataclass(slots=True)
class Request:
    """One request under way; its adapter sets `code` once there is an answer."""

    code: str = "none"


@contextmanager
def request(service: str, operation: str) -> Iterator[Request]:
    """Count and time one request to `vault`, `pipedrive` or `kubernetes`."""
    under_way, started = Request(), time.perf_counter()
    try:
        yield under_way
    finally:
        _REQUESTS.labels(service=service, operation=operation, code=under_way.code).inc()
        _DURATIONS.labels(service=service, operation=operation).observe(time.perf_counter() - started)


def credential_reported(
    namespace: str,
    name: str,
    *,
    ready: bool,
    expires_at: datetime | None,
    renewal_at: datetime | None,
    verified_at: datetime | None,
) -> None:
    """Show how a credential stands; a time that there is none of has no series."""
    _READY.labels(namespace, name).set(ready)
    for gauge, moment in ((_EXPIRATION, expires_at), (_RENEWAL, renewal_at), (_VERIFIED, verified_at)):
        if moment is None:
            gauge.remove(namespace, name)
        else:
            gauge.labels(namespace, name).set(moment.timestamp())


def credential_gone(namespace: str, name: str) -> None:
    """Drop the series of a credential."""
    for gauge in (_READY, _EXPIRATION, _RENEWAL, _VERIFIED):
        gauge.remove(namespace, name)


def pass_finished(reason: str) -> None:
    """Count a pass of the reconciler."""
    _PASSES.labels(reason=reason).inc()


def refresh_changed(outcome: str) -> None:
    """Count a change of a grant's refresh."""
    _REFRESHES.labels(outcome=outcome).inc()


def leads(*, does: bool) -> None:
    """Show whether this replica acts."""
    _LEADER.set(does)


def escrow_holds(count: int) -> None:
    """Show how many grants are in escrow."""
    _ESCROW.set(count)


def escrow_failed() -> None:
    """Count an escrow that could not be written or deleted."""
    _ESCROW_FAILURES.inc()


def show_queue(depth: Callable[[], float], oldest_age: Callable[[], float]) -> None:
    """Ask the queue when the metrics are asked for."""
    _DEPTH.set_function(depth)
    _OLDEST.set_function(oldest_age)


def show_watch(age: Callable[[], float]) -> None:
    """Ask the watch when the metrics are asked for."""
    _WATCH.set_function(age)


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
