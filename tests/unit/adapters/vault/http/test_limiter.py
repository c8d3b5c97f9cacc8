"""How many requests reach a server that serves, one that is down, and one that returns."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from pipedrive_operator import metrics
from pipedrive_operator.adapters.vault.exchange import Answer, Request
from pipedrive_operator.adapters.vault.http.limiter import MOST_REQUESTS, Gate
from pipedrive_operator.core.values.errors import VaultUnavailable
from support.turned_clock import TurnedClock

READ = Request(operation="read", method="GET", path="/v1/secret/data/a")
WELL = Answer(status=200, body={})
SEALED = Answer(status=503, body={"errors": ["Vault is sealed"]})


class Server:
    """Answers when it is told to."""

    def __init__(self) -> None:
        """Start serving, at once."""
        self.answer = WELL
        self.requests = 0
        self.under_way = 0
        self.most = 0
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, request: Request) -> Answer:
        """Take a request."""
        assert request == READ
        self.requests += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.open.wait()
        finally:
            self.under_way -= 1
        return self.answer


@pytest.fixture
async def server() -> Server:
    """Return a server."""
    return Server()


@pytest.fixture
def gate(server: Server, clock: TurnedClock) -> Gate:
    """Return its gate."""
    return Gate("default", server.send, clock)


async def until(condition: Callable[[], bool]) -> None:
    """Let the others run until something is so."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  the condition is of the code under test
            await asyncio.sleep(0)


async def outcomes(gate: Gate, count: int) -> list[Answer | BaseException]:
    """Send many requests at once."""
    return await asyncio.gather(*(gate.send(READ) for _ in range(count)), return_exceptions=True)


async def test_only_so_many_requests_are_under_way_at_once(gate: Gate, server: Server) -> None:
    """The rest have their turn afterwards."""
    server.open.clear()
    sending = asyncio.create_task(outcomes(gate, 1000))
    await until(lambda: server.under_way == MOST_REQUESTS)
    server.open.set()

    answers = await sending

    assert answers == [WELL] * 1000
    assert server.most == MOST_REQUESTS


async def test_an_outage_is_tried_by_those_under_way_and_not_by_those_who_queue(gate: Gate, server: Server) -> None:
    """A thousand requests to a sealed Vault are no thousand requests."""
    server.answer = SEALED

    answers = await outcomes(gate, 1000)

    assert all(isinstance(answer, VaultUnavailable) for answer in answers)
    assert server.requests <= MOST_REQUESTS


async def test_a_vault_that_returns_sees_one_probe(gate: Gate, server: Server, clock: TurnedClock) -> None:
    """And everybody, once it has answered."""
    server.answer = SEALED
    await outcomes(gate, 1)
    server.answer = WELL
    server.open.clear()
    clock.turn(timedelta(seconds=1))

    herd = [asyncio.create_task(gate.send(READ)) for _ in range(100)]
    await until(lambda: sum(task.done() for task in herd) == 99)

    assert server.requests == 2
    server.open.set()
    answers = await asyncio.gather(*herd, return_exceptions=True)
    assert answers.count(WELL) == 1
    server.open.clear()
    everybody = asyncio.create_task(outcomes(gate, 10))
    await until(lambda: server.under_way == 10)
    server.open.set()
    assert await everybody == [WELL] * 10


async def test_a_cancelled_probe_is_followed_by_another(gate: Gate, server: Server, clock: TurnedClock) -> None:
    """Who gave up does not keep the others out."""
    server.answer = SEALED
    await outcomes(gate, 1)
    server.answer = WELL
    server.open.clear()
    clock.turn(timedelta(seconds=1))
    probe = asyncio.create_task(gate.send(READ))
    await until(lambda: server.under_way == 1)

    probe.cancel()
    await asyncio.wait([probe])
    server.open.set()

    assert await gate.send(READ) == WELL


async def test_a_refusal_is_an_answer_of_a_serving_vault(gate: Gate, server: Server) -> None:
    """A path without rights keeps nobody else out."""
    server.answer = Answer(status=403, body={"errors": ["permission denied"]})

    assert await outcomes(gate, 2) == [server.answer] * 2


async def test_each_request_is_counted_with_its_status(gate: Gate) -> None:
    """One for each that was sent."""
    labels = {"service": "vault", "operation": "read", "code": "200"}
    name = "pipedrive_operator_requests_total"
    before = metrics.REGISTRY.get_sample_value(name, labels) or 0

    await outcomes(gate, 3)

    assert metrics.REGISTRY.get_sample_value(name, labels) == before + 3


async def test_the_metrics_tell_whether_the_server_serves(gate: Gate, server: Server, clock: TurnedClock) -> None:
    """From the first failure to the probe that finds it well again."""

    def shown() -> str:
        lines = metrics.exposition().decode().splitlines()
        return next(line.split()[-1] for line in lines if 'vault_up{connection="default"}' in line)

    await outcomes(gate, 1)
    assert "1.0" == shown()
    server.answer = SEALED
    await outcomes(gate, 2)
    assert "0.0" == shown()
    server.answer = WELL
    await outcomes(gate, 1)
    assert "0.0" == shown()
    clock.turn(timedelta(seconds=30))
    await outcomes(gate, 1)
    assert "1.0" == shown()
