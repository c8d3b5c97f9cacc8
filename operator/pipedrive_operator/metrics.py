"""The metrics, each defined in one place with its name, labels and meaning; docs/metrics.md is generated from here.

Times are absolute, in seconds since the epoch, so that an alert can tell how far away they are. Labels are few, and a
series about a credential goes with its credential, or with the leadership of the process that reported it.
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


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric, as Prometheus sees it."""

    name: str
    type: str
    labels: tuple[str, ...]
    meaning: str


REGISTRY: Final = CollectorRegistry()
DEFINITIONS: Final[list[Definition]] = []
"""All metrics, in the order in which people read of them."""
_PREFIX: Final = "pipedrive_operator_"


def _defined(name: str, kind: str, meaning: str, labels: tuple[str, ...]) -> str:
    DEFINITIONS.append(Definition(f"{_PREFIX}{name}", kind, labels, meaning))
    return f"{_PREFIX}{name}"


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    return Gauge(_defined(name, "gauge", meaning, labels), meaning, labels, registry=REGISTRY)


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return Counter(_defined(name, "counter", meaning, labels), meaning, labels, registry=REGISTRY)


def _histogram(name: str, meaning: str, *labels: str) -> Histogram:
    return Histogram(_defined(name, "histogram", meaning, labels), meaning, labels, registry=REGISTRY)


_BUILD: Final = _gauge("build_info", "Always 1; the version that runs.", "version")
_LEADER: Final = _gauge("leader", "1 while this replica acts, 0 while it stands by.")

_OF_CREDENTIAL: Final = ("namespace", "name")
_READY: Final = _gauge("credential_ready", "1 while the Secret can be used: the condition Ready.", *_OF_CREDENTIAL)
_STALLED: Final = _gauge("credential_stalled", "1 while a person must act: the condition Stalled.", *_OF_CREDENTIAL)
_REASON: Final = _gauge(
    "credential_reason",
    "Always 1; why the last pass ended, as in docs/reasons.md.",
    *_OF_CREDENTIAL,
    "reason",
)
_EXPIRATION: Final = _gauge(
    "credential_expiration_timestamp_seconds", "When the published access token expires.", *_OF_CREDENTIAL
)
_RENEWAL: Final = _gauge(
    "credential_renewal_timestamp_seconds", "When the access token is to be refreshed.", *_OF_CREDENTIAL
)
_REFRESHED: Final = _gauge(
    "credential_last_refresh_timestamp_seconds", "When the grant was last used, also while suspended.", *_OF_CREDENTIAL
)
_VERIFIED: Final = _gauge(
    "credential_last_verified_timestamp_seconds", "When Pipedrive last accepted the value.", *_OF_CREDENTIAL
)

_REFRESHES: Final = _counter(
    "refreshes_total",
    "Ended attempts to refresh a grant: fresh, refused (a person must act), unavailable (tried again), unstored.",
    "outcome",
)
_ESCROW: Final = _gauge("escrow_grants", "Refreshed grants that Vault has not taken yet.")
_ESCROW_FAILURES: Final = _counter("escrow_failures_total", "Escrow that could not be written or deleted.")
_RESTARTS: Final = _counter(
    "workload_restarts_total",
    "Workloads of spec.rollout that were looked at: restarted, current, absent, deferred, denied, failed.",
    "outcome",
)

_UNDONE: Final = _counter(
    "secret_repairs_undone_total", "Repairs of a Secret that another program undid at once, so that they were repeated."
)

_VAULT: Final = _gauge("vault_up", "1 while the Vault connection gives usable answers.", "connection")
_REQUESTS: Final = _counter(
    "requests_total",
    "Requests to an outside system (kubernetes, vault, pipedrive); the code is none without an answer.",
    "service",
    "operation",
    "code",
)
_DURATIONS: Final = _histogram(
    "request_duration_seconds", "How long requests to an outside system took.", "service", "operation"
)

_PASSES: Final = _counter("passes_total", "Passes by the reason that they ended with; defect is one of ours.", "reason")
_DEPTH: Final = _gauge("queue_depth", "Credentials that are due and wait for a worker.")
_OLDEST: Final = _gauge("queue_oldest_age_seconds", "How long the one that waits longest is overdue.")
_WATCH: Final = _gauge("watch_age_seconds", "How long the more silent of the watches has had no answer.")
_RESYNC: Final = _gauge("last_resync_timestamp_seconds", "When everything was last listed.")

_OUTCOMES: Final = ("fresh", "refused", "unavailable", "unstored")
_BUILD.labels(version=__version__).set(1)
for _outcome in _OUTCOMES:  # a counter that appears with its first count hides that count from `increase`
    _REFRESHES.labels(outcome=_outcome)
_PASSES.labels(reason="defect")


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


_reasons: dict[tuple[str, str], str] = {}
"""The reason that each credential has a series for."""


def credential_reported(
    namespace: str,
    name: str,
    *,
    reason: str,
    ready: bool,
    stalled: bool,
    expires_at: datetime | None,
    renewal_at: datetime | None,
    refreshed_at: datetime | None,
    verified_at: datetime | None,
) -> None:
    """Show how a credential stands; a time that there is none of has no series."""
    _READY.labels(namespace, name).set(ready)
    _STALLED.labels(namespace, name).set(stalled)
    if _reasons.get((namespace, name)) != reason:
        _drop_reason(namespace, name)
        _reasons[namespace, name] = reason
        _REASON.labels(namespace, name, reason).set(1)
    times = {_EXPIRATION: expires_at, _RENEWAL: renewal_at, _REFRESHED: refreshed_at, _VERIFIED: verified_at}
    for gauge, moment in times.items():
        if moment is None:
            gauge.remove(namespace, name)
        else:
            gauge.labels(namespace, name).set(moment.timestamp())


def credential_gone(namespace: str, name: str) -> None:
    """Drop the series of a credential."""
    _drop_reason(namespace, name)
    for gauge in (_READY, _STALLED, _EXPIRATION, _RENEWAL, _REFRESHED, _VERIFIED):
        gauge.remove(namespace, name)


def tenure_ended() -> None:
    """Drop what only the leader knows: another replica tells of it now, and this one would contradict it for ever."""
    for gauge in (_READY, _STALLED, _REASON, _EXPIRATION, _RENEWAL, _REFRESHED, _VERIFIED):
        gauge.clear()
    _reasons.clear()
    _ESCROW.set(0)


def _drop_reason(namespace: str, name: str) -> None:
    reason = _reasons.pop((namespace, name), None)
    if reason is not None:
        _REASON.remove(namespace, name, reason)


def pass_finished(reason: str) -> None:
    """Count a pass of the reconciler."""
    _PASSES.labels(reason=reason).inc()


def refresh_ended(outcome: str) -> None:
    """Count how an attempt to refresh a grant ended."""
    _REFRESHES.labels(outcome=outcome).inc()


def workload_looked_at(outcome: str) -> None:
    """Count what came of a workload that was behind."""
    _RESTARTS.labels(outcome=outcome).inc()


def repair_undone() -> None:
    """Count a repair of a Secret that had to be repeated at once."""
    _UNDONE.inc()


def leads(*, does: bool) -> None:
    """Show whether this replica acts."""
    _LEADER.set(does)


def vault_answers(connection: str, *, does: bool) -> None:
    """Show whether a Vault connection gives usable answers."""
    _VAULT.labels(connection).set(does)


def escrow_holds(count: int) -> None:
    """Show how many grants are in escrow."""
    _ESCROW.set(count)


def escrow_failed() -> None:
    """Count an escrow that could not be written or deleted."""
    _ESCROW_FAILURES.inc()


def resynced(at: datetime) -> None:
    """Show when everything was last listed."""
    _RESYNC.set(at.timestamp())


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
