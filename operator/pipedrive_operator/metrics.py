"""The metrics: each is defined once, with its name, labels and help text; docs/metrics.md is generated from here.

Times are absolute, in seconds since the epoch, so that an alert can compute how far away they are. Labels are few. The
series of a credential are removed with the credential, or when the replica that reported them stops leading.

Every label is masked, except the names of objects and settings: masking could make two of them equal.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from pipedrive_operator import __version__
from pipedrive_operator.core.values.consent_reasons import CONSENT_EFFECTS, ConsentReason, Stage
from pipedrive_operator.core.values.mask import mask
from pipedrive_operator.series import Series

disable_created_metrics()


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric, as Prometheus sees it."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


REGISTRY: Final = CollectorRegistry()
DEFINITIONS: Final[list[Definition]] = []
"""All metrics, in the order of docs/metrics.md."""
_PREFIX: Final = "pipedrive_operator_"


def _define(name: str, type_: str, help_: str, labels: tuple[str, ...]) -> str:
    DEFINITIONS.append(Definition(f"{_PREFIX}{name}", type_, labels, help_))
    return f"{_PREFIX}{name}"


def _gauge(name: str, help_: str, *labels: str) -> Gauge:
    return Gauge(_define(name, "gauge", help_, labels), help_, labels, registry=REGISTRY)


def _series(name: str, help_: str, *labels: str) -> Series:
    return Series(_define(name, "gauge", help_, labels), help_, labels)


def _counter(name: str, help_: str, *labels: str) -> Counter:
    return Counter(_define(name, "counter", help_, labels), help_, labels, registry=REGISTRY)


def _histogram(name: str, help_: str, *labels: str) -> Histogram:
    return Histogram(_define(name, "histogram", help_, labels), help_, labels, registry=REGISTRY)


_BUILD: Final = _gauge("build_info", "Always 1. The label has the running version.", "version")
_LEADER: Final = _gauge("leader", "1 if this replica is the leader, 0 if it is a standby.")

_OF_CREDENTIAL: Final = ("namespace", "name")
_READY: Final = _series(
    "credential_ready", "1 if the condition Ready is True: the Secret can be used.", *_OF_CREDENTIAL
)
_STALLED: Final = _series(
    "credential_stalled", "1 if the condition Stalled is True: a person must act.", *_OF_CREDENTIAL
)
_REASON: Final = _series(
    "credential_reason",
    "Always 1. The label has the reason that the last pass ended with; docs/reasons.md lists all reasons.",
    *_OF_CREDENTIAL,
    "reason",
)
_EXPIRATION: Final = _series(
    "credential_expiration_timestamp_seconds", "When the published access token expires.", *_OF_CREDENTIAL
)
_RENEWAL: Final = _series(
    "credential_renewal_timestamp_seconds", "When the access token is due for a refresh.", *_OF_CREDENTIAL
)
_REFRESHED: Final = _series(
    "credential_last_refresh_timestamp_seconds",
    "When the grant was last refreshed, including while the credential is suspended.",
    *_OF_CREDENTIAL,
)
_VERIFIED: Final = _series(
    "credential_last_verified_timestamp_seconds", "When Pipedrive last accepted the token.", *_OF_CREDENTIAL
)

_OF_CREDENTIALS: Final = (_READY, _STALLED, _REASON, _EXPIRATION, _RENEWAL, _REFRESHED, _VERIFIED)

_REFRESHES: Final = _counter(
    "refreshes_total",
    "Refreshes of grants by outcome: fresh, refused (a person must act), unavailable (will be retried), "
    "unstored (not in Vault yet).",
    "outcome",
)
_ESCROW: Final = _gauge("escrow_grants", "Refreshed grants in escrow, which Vault has not stored yet.")
_ESCROW_FAILURES: Final = _counter("escrow_failures_total", "Failed attempts to write or delete an escrow.")
_RESTARTS: Final = _counter(
    "workload_restarts_total",
    "Checked workloads of spec.rollout by outcome: restarted, current, absent, deferred, denied, failed.",
    "outcome",
)

_UNDONE_REPAIRS: Final = _counter(
    "secret_repairs_undone_total",
    "Repairs of a Secret, and removals of its copies, that another program undid at once, so that they were repeated.",
)

_INSECURE: Final = _gauge(
    "insecure_connection",
    "1 for each connection that sends tokens over plain HTTP to another machine, as the setting insecure allows.",
    "connection",
)
_OUTDATED_RULES: Final = _gauge(
    "crd_rules_outdated", "1 if the served CRD lacks rules of this version; the operator enforces them itself."
)
_VAULT: Final = _gauge("vault_up", "1 if the Vault connection returns usable responses.", "connection")
_REQUESTS: Final = _counter(
    "requests_total",
    "Requests to kubernetes, vault and pipedrive; the code is none if there was no response.",
    "service",
    "operation",
    "code",
)
_DURATIONS: Final = _histogram(
    "request_duration_seconds", "Duration of requests to kubernetes, vault and pipedrive.", "service", "operation"
)

_PASSES: Final = _counter(
    "passes_total",
    "Passes by the reason that they ended with. Without one: postponed (the API server or the Lease is unavailable) "
    "or defect (a defect in the operator).",
    "reason",
)
_DEPTH: Final = _gauge("queue_depth", "Credentials that are due and wait for a worker.")
_OLDEST: Final = _gauge("queue_oldest_age_seconds", "For how long the longest waiting credential has been due.")
_WATCH: Final = _gauge(
    "watch_age_seconds", "Time since the last response to a watch, for the watch that has been silent the longest."
)
_RESYNC: Final = _gauge("last_resync_timestamp_seconds", "When all objects were last listed.")

_CONSENTS: Final = _counter(
    "consents_total",
    "Answers and links of consents that have ended, by the reason of the condition Complete.",
    "reason",
)
_FRONT: Final = _counter(
    "consent_front_responses_total", "Responses of the consent front by the page that they show.", "page", "code"
)

_OUTCOMES: Final = ("fresh", "refused", "unavailable", "unstored")
_BUILD.labels(version=__version__).set(1)
for _outcome in _OUTCOMES:  # `increase` misses the first count of a counter that did not exist before
    _REFRESHES.labels(outcome=_outcome)
for _reason in ("defect", "postponed"):
    _PASSES.labels(reason=_reason)
for _ending in ConsentReason:
    if CONSENT_EFFECTS[_ending].stage is not Stage.BUSY and _ending is not ConsentReason.WAITING:
        _CONSENTS.labels(reason=_ending)


class Measurement:
    """A request in progress, as a context manager. Its adapter sets `code` when there is a response."""

    __slots__ = ("_operation", "_service", "_started", "code")

    def __init__(self, service: str, operation: str) -> None:
        """Measure a request from the beginning of a `with` block to its end."""
        self._service = service
        self._operation = operation
        self.code = "none"

    def __enter__(self) -> Self:
        """Start the clock."""
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        """Count the request, whether or not it succeeded."""
        _requests(self._service, self._operation, self.code).inc()
        _durations(self._service, self._operation).observe(time.perf_counter() - self._started)


def count_consent(reason: ConsentReason) -> None:
    """Count how an answer or a link of a consent has ended."""
    _CONSENTS.labels(reason=reason).inc()


def count_front_response(page: str, code: int) -> None:
    """Count a response of the consent front."""
    _FRONT.labels(page=page, code=str(int(code))).inc()


def request(service: str, operation: str) -> Measurement:
    """Count and time one request to `vault`, `pipedrive` or `kubernetes`."""
    return Measurement(service, operation)


# The client library validates and looks up the labels at each call. The functions below do so once for each series;
# the library keeps every series until the process ends anyway.


@cache
def _requests(service: str, operation: str, code: str) -> Counter:
    return _REQUESTS.labels(service=service, operation=operation, code=mask(code))


@cache
def _durations(service: str, operation: str) -> Histogram:
    return _DURATIONS.labels(service=service, operation=operation)


@cache
def _passes(reason: str) -> Counter:
    return _PASSES.labels(reason=mask(reason))


@cache
def _vault(connection: str) -> Gauge:
    return _VAULT.labels(connection)


_reasons: dict[tuple[str, str], str] = {}
"""The reason of each credential that has a series."""


def show_credential(
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
    """Set the series of a credential; a time that is None has no series."""
    reason = mask(reason)
    _READY.set(ready, namespace, name)
    _STALLED.set(stalled, namespace, name)
    if _reasons.get((namespace, name)) != reason:
        _remove_reason(namespace, name)
        _reasons[namespace, name] = reason
        _REASON.set(1, namespace, name, reason)
    times = {_EXPIRATION: expires_at, _RENEWAL: renewal_at, _REFRESHED: refreshed_at, _VERIFIED: verified_at}
    for gauge, moment in times.items():
        if moment is None:
            gauge.remove(namespace, name)
        else:
            gauge.set(moment.timestamp(), namespace, name)


def remove_credential(namespace: str, name: str) -> None:
    """Remove the series of a deleted credential."""
    _remove_reason(namespace, name)
    for gauge in (_READY, _STALLED, _EXPIRATION, _RENEWAL, _REFRESHED, _VERIFIED):
        gauge.remove(namespace, name)


def clear_leader_series() -> None:
    """Remove what only the leader reports: the new leader reports it now, and old values here would contradict it."""
    for series in _OF_CREDENTIALS:
        series.clear()
    _reasons.clear()
    _ESCROW.set(0)


def _remove_reason(namespace: str, name: str) -> None:
    reason = _reasons.pop((namespace, name), None)
    if reason is not None:
        _REASON.remove(namespace, name, reason)


def count_pass(reason: str) -> None:
    """Count a pass of the reconciler by its reason."""
    _passes(reason).inc()


def count_refresh(outcome: str) -> None:
    """Count a refresh of a grant by its outcome."""
    _REFRESHES.labels(outcome=mask(outcome)).inc()


def count_restart(outcome: str) -> None:
    """Count a workload that was checked for a restart, by the outcome."""
    _RESTARTS.labels(outcome=mask(outcome)).inc()


def count_undone_repair() -> None:
    """Count a repair of a Secret that had to be repeated at once."""
    _UNDONE_REPAIRS.inc()


def show_leader(*, leads: bool) -> None:
    """Show whether this replica is the leader."""
    _LEADER.set(leads)


def show_vault(connection: str, *, is_up: bool) -> None:
    """Show whether a Vault connection returns usable responses."""
    _vault(connection).set(is_up)


def show_insecure(connections: Iterable[str]) -> None:
    """Show which connections send tokens unencrypted."""
    for connection in connections:
        _INSECURE.labels(connection).set(1)


def show_outdated_rules(*, are_outdated: bool) -> None:
    """Show whether the served CRD lacks rules of this version."""
    _OUTDATED_RULES.set(are_outdated)


def show_escrow(count: int) -> None:
    """Show how many grants are in escrow."""
    _ESCROW.set(count)


def count_escrow_failure() -> None:
    """Count an escrow that could not be written or deleted."""
    _ESCROW_FAILURES.inc()


def show_resync(at: datetime) -> None:
    """Show when all objects were last listed."""
    _RESYNC.set(at.timestamp())


_sampled: dict[Gauge, Callable[[], float]] = {}
"""The gauges whose values are read when the metrics are requested."""


def show_queue(depth: Callable[[], float], oldest_age: Callable[[], float]) -> None:
    """Read these functions at each `sample`."""
    _sampled.update({_DEPTH: depth, _OLDEST: oldest_age})


def show_watch(age: Callable[[], float]) -> None:
    """Read this function at each `sample`."""
    _sampled[_WATCH] = age


def sample() -> None:
    """Read what is measured only on request. Call it in the event loop, whose data the functions read."""
    for gauge, read in _sampled.items():
        gauge.set(read())


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format. It may be called in any thread."""
    return b"".join([generate_latest(REGISTRY), *(series.render() for series in _OF_CREDENTIALS)])
