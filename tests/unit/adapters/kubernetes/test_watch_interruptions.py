"""When a watch of credentials counts as interrupted: whenever somebody may not have watched in between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from yarl import URL

from pipedrive_operator.adapters.kubernetes.watch import STREAM_SECONDS, Watch
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from support.turned_clock import TurnedClock

COLLECTION = URL("https://127.0.0.1/apis/pipedrive-operator.io/v1alpha1/pipedrivecredentials")
LIST, WATCH = COLLECTION, COLLECTION.with_query(watch="true")
SECRETS = URL("https://127.0.0.1/api/v1/secrets?watch=true")

Ask = Callable[..., Awaitable[int]]


@pytest.fixture
def clock() -> TurnedClock:
    """Return a clock that the test turns."""
    return TurnedClock()


@pytest.fixture
async def ask(clock: TurnedClock) -> AsyncIterator[Ask]:
    """Let the watch ask for something, and return how often it was interrupted since it was asked before."""
    middlewares: asyncio.Queue[aiohttp.ClientMiddlewareType] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    interruptions = 0

    async def connect(middleware: aiohttp.ClientMiddlewareType) -> tuple[str, aiohttp.ClientSession]:
        loop.call_soon_threadsafe(middlewares.put_nowait, middleware)
        message = "nobody is there"
        raise ApiServerUnavailable(message)

    def interrupted() -> None:
        nonlocal interruptions
        interruptions += 1

    watch = Watch(connect, lambda *_: None, clock, on_interruption=interrupted)
    watch.start()
    middleware = await middlewares.get()

    async def asked(url: URL, status: HTTPStatus | None = HTTPStatus.OK) -> int:
        nonlocal interruptions
        interruptions = 0

        async def answer(_: Any) -> Any:
            if status is None:
                raise aiohttp.ClientError
            return SimpleNamespace(status=status)

        request: Any = SimpleNamespace(url=url)
        try:
            await middleware(request, answer)
        except aiohttp.ClientError:
            assert status is None
        await asyncio.sleep(0)
        return interruptions

    yield asked
    await watch.stop()


async def test_the_first_is_one(ask: Ask) -> None:
    """Nobody has watched before it."""
    assert [1] == [await ask(WATCH)]


async def test_a_watch_that_comes_again_in_time_is_none(ask: Ask, clock: TurnedClock) -> None:
    """The API server has ended it as it was told."""
    await ask(WATCH)

    for seconds in (STREAM_SECONDS, STREAM_SECONDS + 1):
        clock.turn(timedelta(seconds=seconds))
        assert 0 == await ask(WATCH)


@pytest.mark.parametrize("seconds", [1, STREAM_SECONDS - 1, STREAM_SECONDS + 10])
async def test_one_that_comes_early_or_late_is_one(ask: Ask, clock: TurnedClock, seconds: float) -> None:
    """It was cut, or nobody was there."""
    await ask(WATCH)
    clock.turn(timedelta(seconds=seconds))

    assert 1 == await ask(WATCH)


@pytest.mark.parametrize(
    ("url", "status"),
    [(WATCH, None), (WATCH, HTTPStatus.GONE), (WATCH, HTTPStatus.TOO_MANY_REQUESTS), (LIST, HTTPStatus.OK)],
)
async def test_so_is_one_after_something_else(
    ask: Ask, clock: TurnedClock, url: URL, status: HTTPStatus | None
) -> None:
    """Though it comes when it would have come anyway."""
    await ask(WATCH)
    clock.turn(timedelta(seconds=STREAM_SECONDS))
    await ask(url, status)

    assert 1 == await ask(WATCH)


async def test_the_watch_of_secrets_is_not_meant(ask: Ask) -> None:
    """Nobody replaces their schema."""
    assert 0 == await ask(SECRETS)
