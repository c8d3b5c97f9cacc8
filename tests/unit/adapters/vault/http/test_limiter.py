"""How many requests reach a server that works, one that is down, and one that recovers."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator import metrics
from pipedrive_operator.adapters.vault.http.limiter import MOST_REQUESTS, RequestLimiter
from pipedrive_operator.adapters.vault.http.suspicion import SUSPECT_PATHS
from pipedrive_operator.adapters.vault.request_and_response import ResponseMissing, VaultRequest, VaultResponse
from pipedrive_operator.core.values.errors import VaultAway, VaultUnavailable
from pipedrive_operator.fairness.slots import serving

READ = VaultRequest(operation="read", method="GET", path="/v1/secret/data/a")
OK = VaultResponse(status=200, body={})
SEALED = VaultResponse(status=503, body={"errors": ["Vault is sealed"]})
QUOTA = VaultResponse(status=429, body={"errors": ["rate limit quota exceeded"]})
FAILURE = VaultResponse(status=500, body={"errors": ["internal error"]})


class Server:
    """A server that responds when the test allows it."""

    def __init__(self) -> None:
        """Respond at once."""
        self.response: VaultResponse | VaultUnavailable = OK
        self.by_path: dict[str, VaultResponse | VaultUnavailable] = {}
        self.requests = 0
        self.in_progress = 0
        self.most = 0
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, request: VaultRequest) -> VaultResponse:
        """Receive a request."""
        self.requests += 1
        self.in_progress += 1
        self.most = max(self.most, self.in_progress)
        try:
            await self.open.wait()
        finally:
            self.in_progress -= 1
        response = self.by_path.get(request.path, self.response)
        if isinstance(response, VaultUnavailable):
            raise response
        return response


@pytest.fixture
async def server() -> Server:
    """Return a server."""
    return Server()


@pytest.fixture
def limiter(server: Server, clock: TurnedClock) -> RequestLimiter:
    """Return the limiter in front of the server."""
    return RequestLimiter("default", server.send, clock)


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  the condition is of the code under test
            await asyncio.sleep(0)


async def outcomes(limiter: RequestLimiter, count: int) -> list[VaultResponse | BaseException]:
    """Send many requests at once."""
    return await asyncio.gather(*(limiter.send(READ) for _ in range(count)), return_exceptions=True)


async def test_the_number_of_open_requests_is_limited(limiter: RequestLimiter, server: Server) -> None:
    """The others follow as slots become free."""
    server.open.clear()
    sending = asyncio.create_task(outcomes(limiter, 1000))
    await until(lambda: server.in_progress == MOST_REQUESTS // 2)
    server.open.set()

    responses = await sending

    assert responses == [OK] * 1000
    assert server.most == MOST_REQUESTS // 2


async def test_a_namespace_whose_requests_hang_delays_no_other(limiter: RequestLimiter, server: Server) -> None:
    """It gets half of the slots at most, however many requests it sends."""
    server.open.clear()
    with serving("hostile"):
        hanging = asyncio.create_task(outcomes(limiter, 1000))
    await until(lambda: server.in_progress == MOST_REQUESTS // 2)

    with serving("honest"):
        waiting = asyncio.create_task(limiter.send(read("good")))
    await until(lambda: server.in_progress == MOST_REQUESTS // 2 + 1)

    server.open.set()
    assert await waiting == OK
    assert await hanging == [OK] * 1000


async def test_queued_requests_are_not_sent_once_the_server_is_known_to_be_down(
    limiter: RequestLimiter, server: Server
) -> None:
    """Of a thousand callers, only those with a slot reach a sealed Vault."""
    server.response = SEALED

    responses = await outcomes(limiter, 1000)

    assert all(isinstance(response, VaultUnavailable) for response in responses)
    assert server.requests <= MOST_REQUESTS


async def test_only_an_outage_of_the_server_is_reported_as_one_whose_end_is_announced(
    limiter: RequestLimiter, server: Server, clock: TurnedClock
) -> None:
    """Who waits for one bad document has to look for itself."""
    server.by_path = {READ.path: FAILURE}
    (failed,) = await outcomes(limiter, 1)
    server.by_path, server.response = {}, SEALED
    clock.turn(timedelta(seconds=1))
    tried, refused = await outcomes(limiter, 1), await outcomes(limiter, 1)

    assert VaultUnavailable is type(failed)
    for each in (*tried, *refused):
        assert isinstance(each, VaultAway)
        assert each.retry_after is not None


async def test_a_recovering_server_receives_one_probe(
    limiter: RequestLimiter, server: Server, clock: TurnedClock
) -> None:
    """Everyone else follows after its response."""
    server.response = SEALED
    await outcomes(limiter, 1)
    server.response = OK
    server.open.clear()
    clock.turn(timedelta(seconds=1))

    callers = [asyncio.create_task(limiter.send(READ)) for _ in range(100)]
    await until(lambda: sum(task.done() for task in callers) == 99)

    assert server.requests == 2
    server.open.set()
    responses = await asyncio.gather(*callers, return_exceptions=True)
    assert responses.count(OK) == 1
    server.open.clear()
    followers = asyncio.create_task(outcomes(limiter, 10))
    await until(lambda: server.in_progress == 10)
    server.open.set()
    assert await followers == [OK] * 10


async def test_a_cancelled_probe_is_replaced_by_another(
    limiter: RequestLimiter, server: Server, clock: TurnedClock
) -> None:
    """A caller that gives up does not block the others."""
    server.response = SEALED
    await outcomes(limiter, 1)
    server.response = OK
    server.open.clear()
    clock.turn(timedelta(seconds=1))
    probe = asyncio.create_task(limiter.send(READ))
    await until(lambda: server.in_progress == 1)

    probe.cancel()
    await asyncio.wait([probe])
    server.open.set()

    assert await limiter.send(READ) == OK


async def test_a_refusal_comes_from_a_working_server(limiter: RequestLimiter, server: Server) -> None:
    """A path that the policy denies blocks no other request."""
    server.response = VaultResponse(status=403, body={"errors": ["permission denied"]})

    assert await outcomes(limiter, 2) == [server.response] * 2


async def test_each_request_is_counted_with_its_status(limiter: RequestLimiter) -> None:
    """Each request that was sent counts once."""
    labels = {"service": "vault", "operation": "read", "code": "200"}
    name = "pipedrive_operator_requests_total"
    before = metrics.REGISTRY.get_sample_value(name, labels) or 0

    await outcomes(limiter, 3)

    assert metrics.REGISTRY.get_sample_value(name, labels) == before + 3


async def test_the_metrics_show_whether_the_server_works(
    limiter: RequestLimiter, server: Server, clock: TurnedClock
) -> None:
    """The outage lasts from the first failure to the first successful probe."""

    def shown() -> str:
        lines = metrics.exposition().decode().splitlines()
        return next(line.split()[-1] for line in lines if 'vault_up{connection="default"}' in line)

    await outcomes(limiter, 1)
    assert "1.0" == shown()
    server.response = SEALED
    await outcomes(limiter, 2)
    assert "0.0" == shown()
    server.response = OK
    await outcomes(limiter, 1)
    assert "0.0" == shown()
    clock.turn(timedelta(seconds=30))
    await outcomes(limiter, 1)
    assert "1.0" == shown()


def read(name: str) -> VaultRequest:
    """Return the request of a document."""
    return replace(READ, path=f"/v1/secret/data/{name}")


TIMEOUT = ResponseMissing("no response in time")


@pytest.mark.parametrize("response", [QUOTA, FAILURE, TIMEOUT], ids=["quota", "failure", "timeout"])
async def test_a_failure_of_one_path_delays_no_other(
    limiter: RequestLimiter, server: Server, clock: TurnedClock, response: VaultResponse | VaultUnavailable
) -> None:
    """The path itself waits for a pause, and then one request tries it."""
    server.by_path[read("bad").path] = response
    with pytest.raises(VaultUnavailable) as caught:
        await limiter.send(read("bad"))
    assert caught.value.retry_after

    assert await limiter.send(read("good")) == OK
    with pytest.raises(VaultUnavailable):
        await limiter.send(read("bad"))
    assert server.requests == 2

    server.by_path.clear()
    clock.turn(timedelta(seconds=1))
    assert await limiter.send(read("bad")) == OK


async def test_a_quota_that_one_caller_exceeds_delays_no_other(limiter: RequestLimiter, server: Server) -> None:
    """All tenants log in at the same path, and a quota may be limited to one role."""
    server.response = QUOTA
    with pytest.raises(VaultUnavailable):
        await limiter.send(READ, caller="red")
    server.response = OK

    assert await limiter.send(READ, caller="blue") == OK
    with pytest.raises(VaultUnavailable):
        await limiter.send(READ, caller="red")


async def test_quotas_of_many_paths_do_not_stop_the_server(limiter: RequestLimiter, server: Server) -> None:
    """A server that enforces quotas works."""
    server.response = QUOTA
    for number in range(10):
        with pytest.raises(VaultUnavailable):
            await limiter.send(read(str(number)))

    server.response = OK

    assert await limiter.send(read("another")) == OK


@pytest.mark.parametrize("response", [FAILURE, TIMEOUT], ids=["failure", "timeout"])
async def test_a_failure_of_several_paths_concerns_the_server(
    limiter: RequestLimiter, server: Server, clock: TurnedClock, response: VaultResponse | VaultUnavailable
) -> None:
    """Then no further path is tried but one probe after a pause, which ends the outage for all."""
    server.response = response
    for number in range(SUSPECT_PATHS + 7):
        with pytest.raises(VaultUnavailable):
            await limiter.send(read(str(number)))
    assert server.requests == SUSPECT_PATHS

    server.response = OK
    clock.turn(timedelta(seconds=1))

    assert await limiter.send(read("another")) == OK
    assert await limiter.send(read("yet another")) == OK


@pytest.mark.parametrize("response", [FAILURE, TIMEOUT], ids=["failure", "timeout"])
async def test_failures_of_one_namespace_alone_do_not_concern_the_server(
    limiter: RequestLimiter, server: Server, clock: TurnedClock, response: VaultResponse | VaultUnavailable
) -> None:
    """However many of its documents Vault fails on, and also when it sends the probe after an outage."""
    with serving("honest"):
        assert await limiter.send(READ) == OK
    server.by_path = {read(str(number)).path: response for number in range(100)}
    for number in range(50):
        with serving("hostile"), pytest.raises(VaultUnavailable):
            await limiter.send(read(str(number)))
    assert server.requests == 51

    server.response = SEALED
    with serving("honest"), pytest.raises(VaultUnavailable, match="sealed"):
        await limiter.send(READ)
    server.response = OK
    clock.turn(timedelta(seconds=1))
    for number in range(50, 100):
        with serving("hostile"), pytest.raises(VaultUnavailable):
            await limiter.send(read(str(number)))

    with serving("honest"):
        assert await limiter.send(READ) == OK


async def test_failures_of_several_namespaces_concern_the_server(limiter: RequestLimiter, server: Server) -> None:
    """A server that fails for everybody is left alone, although each namespace has few documents."""
    server.response = FAILURE
    for number in range(10):
        with serving(f"tenant-{number}"), pytest.raises(VaultUnavailable):
            await limiter.send(read(str(number)))

    assert server.requests == SUSPECT_PATHS


async def test_failing_paths_among_successful_ones_do_not_stop_the_server(
    limiter: RequestLimiter, server: Server
) -> None:
    """A tenant with many bad documents stops nobody else, as long as other documents can be read."""
    server.response = FAILURE
    server.by_path[READ.path] = OK

    for number in range(10):
        with pytest.raises(VaultUnavailable):
            await limiter.send(read(str(number)))
        assert await limiter.send(READ) == OK


async def test_a_quota_is_a_response_of_a_recovered_server(
    limiter: RequestLimiter, server: Server, clock: TurnedClock
) -> None:
    """A probe that hits a quota ends the outage for the other paths, and its own path waits."""
    server.response = SEALED
    await outcomes(limiter, 1)
    server.response = OK
    server.by_path[read("busy").path] = QUOTA
    clock.turn(timedelta(seconds=1))

    with pytest.raises(VaultUnavailable):
        await limiter.send(read("busy"))

    assert await limiter.send(READ) == OK
    sent = server.requests
    with pytest.raises(VaultUnavailable):
        await limiter.send(read("busy"))
    assert server.requests == sent


async def test_the_end_of_an_outage_ends_the_pause_of_a_path_whose_probe_failed(
    limiter: RequestLimiter, server: Server, clock: TurnedClock
) -> None:
    """One probe without a response may be about its document, so that its path waits: until the server is back."""
    server.response = TIMEOUT
    for number in range(SUSPECT_PATHS):
        with pytest.raises(VaultUnavailable):
            await limiter.send(read(str(number)))
    clock.turn(timedelta(seconds=1))
    with pytest.raises(VaultUnavailable):
        await limiter.send(read("probed"))

    server.response = OK
    assert await limiter.send(read("another")) == OK

    assert await limiter.send(read("probed")) == OK


async def test_the_memory_of_failing_paths_is_bounded(
    limiter: RequestLimiter, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest is forgotten, and tried again."""
    monkeypatch.setattr("pipedrive_operator.adapters.vault.http.limiter.MOST_PAUSED_PATHS", 2)
    server.response = QUOTA
    for name in ("1", "2", "3"):
        with pytest.raises(VaultUnavailable):
            await limiter.send(read(name))
    server.response = OK

    assert await limiter.send(read("1")) == OK
    with pytest.raises(VaultUnavailable):
        await limiter.send(read("3"))
