"""Limits the requests to one Vault server: few at a time, none while the server is known to be down.

Namespaces share the slots fairly. A failure that may be about one document makes only that path of that caller wait.
The circuit breaker of the server opens when a failure concerns the server, or when paths of several namespaces begin to
fail and none succeeds (`suspicion.py`). While it is open, what has failed in the outage shares one pause, and what kept
failing before it shares another: probes of bad documents must not delay those of good ones. Every request is counted in
the metrics here. What a response means is decided in errors.py.
"""

from collections.abc import Callable
from typing import Final

from pipedrive_operator import metrics
from pipedrive_operator.adapters.vault.errors import Extent, FailedRequest, failure
from pipedrive_operator.adapters.vault.http.circuit_breaker import CircuitBreaker
from pipedrive_operator.adapters.vault.http.suspicion import Access, Suspicion
from pipedrive_operator.adapters.vault.request_and_response import ResponseMissing, Send, VaultRequest, VaultResponse
from pipedrive_operator.core.values.errors import VaultAway, VaultUnavailable
from pipedrive_operator.fairness.slots import FairSlots, served_namespace
from pipedrive_operator.ports import Clock

MOST_REQUESTS: Final = 32
"""How many requests are open at once: a restart with ten thousand credentials must not overload Vault.

A namespace gets half of them at most.
"""
MOST_PAUSED_PATHS: Final = 10_000
"""How many paths are remembered as failing; beyond that, the oldest are forgotten and tried again."""

Subject = tuple[str, str]
"""A caller and a path."""


class RequestLimiter:
    """The limiter of one server."""

    def __init__(self, name: str, send: Send, clock: Clock, on_return: Callable[[], None] = lambda: None) -> None:
        """Limit `send`, which sends to the connection of that name; `on_return` is called when an outage ends."""
        self._on_return = on_return
        self._name = name
        self._send = send
        self._clock = clock
        self._slots = FairSlots(MOST_REQUESTS)
        self._server = CircuitBreaker(f"vault {name}")
        self._paths: dict[Subject, CircuitBreaker] = {}
        self._newly_paused: set[Subject] = set()
        """The paths whose pause began after the last success: if an outage follows, it began before them."""
        self._probes, self._doubtful_probes = self._new_probes()
        self._suspicion = Suspicion()

    async def send(self, request: VaultRequest, *, caller: str = "") -> VaultResponse:
        """Send a request, and return the response of a working Vault, which may be a refusal.

        `caller` names the Vault identity: a quota that one identity exceeds must not delay another.

        Raises:
            VaultUnavailable: no usable response now, or none a moment ago; it carries the time until the next try.
            VaultAway: the same, while the circuit is open: `on_return` is called when it closes.
        """
        try:
            return await self._send_in_turn(request, caller)
        except VaultUnavailable as error:
            if self._server.is_closed:
                raise
            raise VaultAway(error.message, retry_after=error.retry_after) from error

    async def _send_in_turn(self, request: VaultRequest, caller: str) -> VaultResponse:
        subject = (caller, request.path)
        access = Access(served_namespace(), caller, request.method, request.path)
        self._suspicion.note_use(access.namespace)
        async with self._slots.slot():
            # Only now: requests that waited for a slot must notice an outage that began meanwhile.
            path, now = self._breaker_of(subject, access), self._clock.monotonic()
            with path.attempt(now) as path_admission, self._server.attempt(now) as server_admission:
                outcome = await self._outcome(request)
                if isinstance(outcome, VaultResponse):
                    self._paths.pop(subject, None)
                    self._suspicion.note_success(access, self._clock.monotonic())
                    self._succeeded(server_admission)
                    return outcome
                if self._concerns_server(outcome, access):
                    self._show(works=False)
                    raise self._server.failed(server_admission, outcome.error, self._clock.monotonic())
                if outcome.extent is Extent.PATH:
                    self._succeeded(server_admission)
                self._remember(subject, path)
                raise path.failed(path_admission, outcome.error, self._clock.monotonic())

    async def _outcome(self, request: VaultRequest) -> VaultResponse | FailedRequest:
        try:
            with metrics.request("vault", request.operation) as counted:
                response = await self._send(request)
                counted.code = str(response.status)
        except VaultUnavailable as error:
            return FailedRequest(Extent.UNCLEAR if isinstance(error, ResponseMissing) else Extent.SERVER, error)
        return failure(response, self._name) or response

    def _breaker_of(self, subject: Subject, access: Access) -> CircuitBreaker:
        """Return what makes a path wait: its own pause, or during an outage one that it shares."""
        if self._server.is_closed or not self._suspicion.has_counted(access):
            return self._paths.get(subject) or CircuitBreaker(" ".join(subject))
        return self._doubtful_probes if self._suspicion.keeps_failing(access) else self._probes

    def _concerns_server(self, outcome: FailedRequest, access: Access) -> bool:
        if outcome.extent is Extent.UNCLEAR:
            return self._suspicion.note_failure(access, self._clock.monotonic())
        return outcome.extent is Extent.SERVER

    def _succeeded(self, admission: int) -> None:
        if self._server.succeeded(admission):
            self._end_outage()
        if self._server.is_closed:
            self._newly_paused.clear()
        self._show(works=self._server.is_closed)

    def _end_outage(self) -> None:
        """Wake all credentials, also those whose path failed in the outage. What failed before it keeps its pause."""
        for subject in self._newly_paused:
            self._paths.pop(subject, None)
        self._probes, self._doubtful_probes = self._new_probes()
        self._on_return()

    def _remember(self, subject: Subject, path: CircuitBreaker) -> None:
        if path in (self._probes, self._doubtful_probes):
            return
        if subject not in self._paths:
            self._newly_paused.add(subject)
        self._paths[subject] = path
        if len(self._paths) > MOST_PAUSED_PATHS:
            oldest = next(iter(self._paths))
            del self._paths[oldest]
            self._newly_paused.discard(oldest)

    def _new_probes(self) -> tuple[CircuitBreaker, CircuitBreaker]:
        return CircuitBreaker(f"probes of vault {self._name}"), CircuitBreaker(f"doubtful probes of vault {self._name}")

    def _show(self, *, works: bool) -> None:
        metrics.show_vault(self._name, is_up=works)
