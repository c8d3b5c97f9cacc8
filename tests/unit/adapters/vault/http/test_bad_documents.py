"""Minutes of traffic to a Vault that fails on the documents of a hostile tenant, and works for the others.

The hostile tenant has several namespaces, so that its failures look like those of a server. The honest one asks rarely,
and does not repeat a request that is refused.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator import metrics
from pipedrive_operator.adapters.vault.http.circuit_breaker import LONGEST_PROBE_PAUSE
from pipedrive_operator.adapters.vault.http.limiter import RequestLimiter
from pipedrive_operator.adapters.vault.http.suspicion import SUSPECT_PATHS
from pipedrive_operator.adapters.vault.request_and_response import VaultRequest, VaultResponse
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.errors import VaultUnavailable
from pipedrive_operator.fairness.slots import serving

READ = VaultRequest(operation="read", method="GET", path="/v1/secret/data/a")
WRITE = replace(READ, operation="write", method="POST")
OK = VaultResponse(status=200, body={})
FAILURE = VaultResponse(status=500, body={"errors": ["internal error"]})
STEP = timedelta(seconds=0.1)
HONEST_INTERVAL = 7.0
"""In seconds."""
MINUTES = 5
FEW = 6
MANY = 30
PROBES_FOR_ONE_PAUSE = SUSPECT_PATHS + 2
"""Of those that fail for the first time, and one for each shared pause."""


@dataclass
class Client:
    """Sends its requests one after the other, again and again; after a failure it waits as credentials do."""

    namespace: str
    requests: tuple[VaultRequest, ...]
    interval: float = 1.0
    """In seconds, after a success."""
    is_patient: bool = False
    """Waits for the interval also after a failure."""
    due: float = 0.0
    failures_in_a_row: int = 0
    served: int = 0
    failed: int = 0

    async def take_turn(self, limiter: RequestLimiter, now: float) -> None:
        """Send the requests until one fails."""
        try:
            with serving(self.namespace):
                for request in self.requests:
                    await limiter.send(request)
        except VaultUnavailable as error:
            self.failed += 1
            self.failures_in_a_row += 1
            backed_off = min(pause(self.failures_in_a_row, spread_by=self.namespace), LONGEST_PROBE_PAUSE)
            wait = max(error.retry_after or backed_off, backed_off).total_seconds()
            self.due = now + (self.interval if self.is_patient else wait)
        else:
            self.served += 1
            self.failures_in_a_row = 0
            self.due = now + self.interval


@dataclass
class Traffic:
    """A server, and its clients."""

    clock: TurnedClock
    clients: list[Client]
    failing: Mapping[tuple[str, str], VaultResponse] = field(default_factory=dict)
    """By method and path."""
    is_down: bool = False
    spared: set[str] = field(default_factory=set)
    """The paths that an outage does not concern."""
    sent: int = 0

    def __post_init__(self) -> None:
        """Put the limiter before the server."""
        self.limiter = RequestLimiter("default", self._respond, self.clock, self._wake_all)

    async def run(self, during: timedelta) -> None:
        """Let the clients send for that long."""
        end = self.clock.monotonic() + during.total_seconds()
        while (now := self.clock.monotonic()) < end:
            due = [client for client in self.clients if client.due <= now]
            await asyncio.gather(*(client.take_turn(self.limiter, now) for client in due))
            self.clock.turn(STEP)

    async def _respond(self, request: VaultRequest) -> VaultResponse:
        self.sent += 1
        if self.is_down and request.path not in self.spared:
            return FAILURE
        return self.failing.get((request.method, request.path), OK)

    def _wake_all(self) -> None:
        for client in self.clients:
            client.due = 0.0
            client.failures_in_a_row = 0


def path(name: str) -> str:
    """Return the path of a document."""
    return f"/v1/secret/data/{name}"


def honest() -> Client:
    """Return a tenant with one good document."""
    request = replace(READ, path=path("good"))
    return Client("honest", (request,), interval=HONEST_INTERVAL, is_patient=True, due=HONEST_INTERVAL / 2)


def hostile(namespaces: int, *requests: VaultRequest, count: int = FEW) -> list[Client]:
    """Return a client for each bad document of a tenant with so many namespaces."""
    return [
        Client(f"hostile-{number % namespaces}", tuple(replace(each, path=path(f"bad-{number}")) for each in requests))
        for number in range(count)
    ]


def bad(method: str) -> dict[tuple[str, str], VaultResponse]:
    """Return the failures of the bad documents."""
    return {(method, path(f"bad-{number}")): FAILURE for number in range(MANY)}


@pytest.mark.parametrize("namespaces", [1, 2, 3])
@pytest.mark.parametrize("method", ["GET", "POST"], ids=["reads fail", "writes fail"])
async def test_documents_that_keep_failing_hardly_concern_others(
    clock: TurnedClock, namespaces: int, method: str
) -> None:
    """Wherever they are, also if Vault reads what it cannot write: each counts against the server once."""
    tenant = honest()
    requests = (READ,) if method == "GET" else (READ, WRITE)
    traffic = Traffic(clock, [tenant, *hostile(namespaces, *requests)], bad(method))

    await traffic.run(timedelta(minutes=MINUTES))

    assert tenant.failed <= 0.1 * tenant.served


@pytest.mark.parametrize("size", [3, 60])
async def test_bad_documents_hide_neither_an_outage_nor_its_end(clock: TurnedClock, size: int) -> None:
    """A server that is down gets few requests, also in a second outage; ten seconds after it all others are served."""
    tenants = [
        Client(f"tenant-{number % 5}", (replace(READ, path=path(str(number))),), interval=30.0)
        for number in range(size)
    ]
    traffic = Traffic(clock, [*hostile(2, READ, count=MANY), *tenants], bad("GET"))
    await traffic.run(timedelta(minutes=MINUTES))

    for _ in range(2):
        traffic.is_down, before = True, traffic.sent
        await traffic.run(timedelta(minutes=MINUTES))
        assert traffic.sent - before <= PROBES_FOR_ONE_PAUSE * (timedelta(minutes=MINUTES) / LONGEST_PROBE_PAUSE)

        traffic.is_down, before_return = False, [client.served for client in tenants]
        await traffic.run(timedelta(seconds=10))
        assert all(client.served > served for client, served in zip(tenants, before_return, strict=True))


async def is_served(traffic: Traffic, name: str, request: VaultRequest = READ) -> bool:
    """Send a request for a document, and return whether Vault succeeded."""
    try:
        await traffic.limiter.send(replace(request, path=path(name)))
    except VaultUnavailable:
        return False
    return True


async def open_the_circuit(traffic: Traffic) -> None:
    """Let as many documents fail as it takes, and let the pause pass."""
    traffic.is_down = True
    for number in range(SUSPECT_PATHS):
        assert not await is_served(traffic, f"new-{number}")
    traffic.clock.turn(timedelta(seconds=1))


async def test_the_end_of_an_outage_ends_only_the_pauses_that_began_in_it(clock: TurnedClock) -> None:
    """A document that failed before is bad: the outage was not the cause."""
    traffic = Traffic(clock, [], bad("GET"))
    for _ in range(5):
        clock.turn(LONGEST_PROBE_PAUSE)
        assert not await is_served(traffic, "bad-0")
    assert await is_served(traffic, "good")

    await open_the_circuit(traffic)
    assert not await is_served(traffic, "new")
    traffic.is_down = False
    assert await is_served(traffic, "good")

    assert await is_served(traffic, "new")
    before = traffic.sent
    assert not await is_served(traffic, "bad-0")
    assert traffic.sent == before


async def test_what_has_failed_in_an_outage_shares_one_pause(clock: TurnedClock) -> None:
    """Its probes neither flood the server, nor delay the probe of what has not failed."""
    traffic = Traffic(clock, [])
    await open_the_circuit(traffic)

    before = traffic.sent
    for number in range(SUSPECT_PATHS):
        assert not await is_served(traffic, f"new-{number}")
    assert traffic.sent == before + 1

    traffic.is_down = False
    assert await is_served(traffic, "another")


async def test_documents_that_vault_reads_and_cannot_write_open_the_circuit_once(clock: TurnedClock) -> None:
    """Each write follows a read of the same path, which succeeds."""
    traffic = Traffic(clock, [], bad("POST"))
    names = [f"bad-{number}" for number in range(SUSPECT_PATHS)]
    opened = []
    for _ in range(4):
        clock.turn(LONGEST_PROBE_PAUSE)
        assert [True] * SUSPECT_PATHS == [await is_served(traffic, name) for name in names]
        assert [False] * SUSPECT_PATHS == [await is_served(traffic, name, WRITE) for name in names]
        opened.append(not await is_served(traffic, "good"))

    assert [True, False, False, False] == opened


async def test_one_bad_document_does_not_hide_an_outage_from_the_only_other_namespace(clock: TurnedClock) -> None:
    """Its failure has counted long ago, and Vault fails for everybody now."""
    [tenant] = hostile(1, READ, count=1)
    traffic = Traffic(clock, [tenant, *(_reader(number, "honest") for number in range(10))], bad("GET"))
    await traffic.run(timedelta(minutes=1))

    traffic.is_down = True
    await traffic.run(timedelta(minutes=2))

    assert not _is_shown_as_up()


async def test_one_success_in_the_middle_of_an_outage_does_not_hide_the_rest_of_it(clock: TurnedClock) -> None:
    """Everything has failed, and counted, before it."""
    traffic = Traffic(clock, [_reader(number, f"tenant-{number % 5}") for number in range(10)])
    traffic.is_down = True
    await traffic.run(timedelta(minutes=1))
    traffic.clients.append(lucky := _reader(100, "lucky"))
    traffic.spared.add(lucky.requests[0].path)
    while not lucky.served:
        await traffic.run(STEP)
    traffic.spared.clear()

    await traffic.run(timedelta(minutes=1))

    assert not _is_shown_as_up()


async def test_an_exceeded_quota_of_one_tenant_does_not_hide_an_outage(clock: TurnedClock) -> None:
    """Vault may refuse a request before it needs its storage: that says nothing about the storage."""
    [tenant] = hostile(1, READ, count=1)
    exceeded = VaultResponse(status=429, body={"errors": ["rate limit quota exceeded"]})
    failing = {("GET", tenant.requests[0].path): exceeded}
    traffic = Traffic(clock, [tenant, *(_reader(number, f"tenant-{number % 5}") for number in range(10))], failing)
    traffic.spared.add(tenant.requests[0].path)
    await traffic.run(timedelta(minutes=1))

    traffic.is_down = True
    await traffic.run(timedelta(minutes=1))
    traffic.clients.remove(tenant)
    await traffic.run(timedelta(minutes=1))

    assert not _is_shown_as_up()


def _reader(number: int, namespace: str) -> Client:
    return Client(namespace, (replace(READ, path=path(str(number))),), interval=HONEST_INTERVAL)


def _is_shown_as_up() -> bool:
    lines = metrics.exposition().decode().splitlines()
    return 'pipedrive_operator_vault_up{connection="default"} 1.0' in lines
