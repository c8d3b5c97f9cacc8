"""Requests to users/me: headers, rate, concurrency, and tokens that are never sent."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.pipedrive.connection import CONCURRENCY, LONGEST_BODY, Connections
from pipedrive_operator.adapters.pipedrive.verification_endpoint import VerificationEndpoint
from pipedrive_operator.config.settings import PipedriveSettings
from pipedrive_operator.core.values.errors import PipedriveUnavailable, TokenRejected
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.fairness.slots import serving

URL = "https://api.pipedrive.com/v1/users/me"
USER = {"success": True, "data": {"id": 34, "company_id": 12, "company_domain": "acme"}}
TOKEN = SecretValue("a" * 40)


@dataclass
class Scripted:
    """A Pipedrive that sends the same response to every request, once its gate is open."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[httpx.Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Open the gate."""
        self.gate.set()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.requests.append(request)
        await self.gate.wait()
        return httpx.Response(self.status, json=USER, headers=self.headers)

    def users_me(self, clock: TurnedClock | None = None, *, per_second: float = 50) -> VerificationEndpoint:
        """Build what asks it."""
        return users_me(httpx.MockTransport(self), clock, per_second=per_second)


def users_me(
    transport: httpx.AsyncBaseTransport, clock: TurnedClock | None = None, *, per_second: float = 50
) -> VerificationEndpoint:
    """Build what asks over a transport."""
    settings, clock = PipedriveSettings(requests_per_second=per_second), clock or TurnedClock()
    return VerificationEndpoint(settings, Connections(settings, clock, lambda _: transport), clock)


async def identify(asking: VerificationEndpoint, token: SecretValue = TOKEN) -> int:
    """Ask who an API token is; return the company's id."""
    return (await asking.verify(URL, "x-api-token", token)).company_id


@pytest.fixture
def scripted() -> Scripted:
    """Return a Pipedrive that does not respond until its gate is opened."""
    made = Scripted()
    made.gate.clear()
    return made


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until a condition holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- the fakes announce nothing
            await asyncio.sleep(0)


async def test_a_token_is_sent_in_its_header_only() -> None:
    """It is in no other part of the request."""
    pipedrive = Scripted()

    await pipedrive.users_me().verify(URL, "Authorization", TOKEN, scheme="Bearer ")

    [request] = pipedrive.requests
    assert request.headers["authorization"] == f"Bearer {'a' * 40}"
    assert request.headers["user-agent"].startswith("pipedrive-operator/")
    assert str(request.url) == URL


@pytest.mark.parametrize("value", ["a\nb", "a\r\nx-evil: 1", "é" * 40, "\ud800", "a\x00b"])
async def test_a_value_that_no_header_can_carry_is_rejected_before_it_is_sent(value: str) -> None:
    """The error of the library would quote it."""
    pipedrive = Scripted()
    asking = pipedrive.users_me()

    with pytest.raises(TokenRejected) as caught:
        await identify(asking, SecretValue(value))

    assert not pipedrive.requests
    assert value not in caught.value.message


async def test_requests_beyond_the_rate_wait_for_the_clock() -> None:
    """All credentials share the rate."""
    clock, pipedrive = TurnedClock(), Scripted()
    asking = pipedrive.users_me(clock, per_second=2)
    for _ in range(2):
        await identify(asking)
    third = asyncio.create_task(identify(asking))
    await until(lambda: clock.sleepers == 1)

    assert len(pipedrive.requests) == 2
    clock.turn(timedelta(seconds=0.5))
    assert await third == 12


async def test_a_namespace_gets_half_of_the_connections(scripted: Scripted) -> None:
    """A slow Pipedrive does not get more and more connections, and the other half is left to other namespaces."""
    asking = scripted.users_me()

    with serving("hostile"):
        tasks = [asyncio.create_task(asking.verify(f"{URL}/{number}", "x", TOKEN)) for number in range(CONCURRENCY)]
    await until(lambda: len(scripted.requests) >= CONCURRENCY // 2)
    with serving("honest"):
        tasks.append(asyncio.create_task(asking.verify(URL, "x", TOKEN)))
    await until(lambda: str(scripted.requests[-1].url) == URL)

    assert CONCURRENCY // 2 + 1 == len(scripted.requests)
    scripted.gate.set()
    await asyncio.gather(*tasks)
    assert CONCURRENCY + 1 == len(scripted.requests)


async def test_a_host_that_hangs_gets_two_thirds_of_the_connections(scripted: Scripted) -> None:
    """A slow region of Pipedrive delays no token of another region, in whatever namespaces its tokens are."""
    asking = scripted.users_me()
    tasks = []
    for number in range(CONCURRENCY):
        with serving(f"tenant-{number}"):
            tasks.append(asyncio.create_task(identify(asking)))
    await until(lambda: len(scripted.requests) > CONCURRENCY * 2 // 3)

    with serving("tenant-0"):
        elsewhere = asyncio.create_task(asking.verify("https://acme.pipedrive.com/api/v1/users/me", "x", TOKEN))
    await until(lambda: scripted.requests[-1].url.host == "acme.pipedrive.com")

    assert CONCURRENCY * 2 // 3 + 2 == len(scripted.requests)
    scripted.gate.set()
    await asyncio.gather(*tasks, elsewhere)


async def test_an_endless_response_is_not_read_to_its_end() -> None:
    """It cannot be used, and memory is limited."""
    chunks = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal chunks
        while True:
            chunks += 1
            yield b"x" * 16384

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=endless()))

    with pytest.raises(PipedriveUnavailable):
        await identify(users_me(transport))

    assert chunks == LONGEST_BODY // 16384 + 1


async def test_a_redirect_is_not_followed() -> None:
    """A token is never sent to an address that a response names."""
    pipedrive = Scripted(status=302, headers={"Location": "https://evil.example/"})
    asking = pipedrive.users_me()

    with pytest.raises(PipedriveUnavailable):
        await identify(asking)

    assert len(pipedrive.requests) == 1
