"""What the requests of the watches show: how old the last answer is, and whether a watch may have missed an event."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from yarl import URL

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.kubernetes.watch.request_monitor import STREAM_SECONDS, RequestMonitor
from pipedrive_operator.core.resource.names import LABEL_CREDENTIAL

COLLECTION = URL("https://127.0.0.1/apis/pipedrive-operator.io/v1alpha1/pipedrivecredentials")
LIST, WATCH = COLLECTION, COLLECTION.with_query(watch="true")
SECRETS = URL("https://127.0.0.1/api/v1/secrets?watch=true")

Send = Callable[..., Awaitable[int]]


class Interruptions:
    """Counts interruptions, and lists."""

    def __init__(self) -> None:
        """Start at zero."""
        self.count = 0
        self.lists = 0

    def note(self) -> None:
        """Count one."""
        self.count += 1

    def note_list(self) -> None:
        """Count a list."""
        self.lists += 1


@pytest.fixture
def clock() -> TurnedClock:
    """Return a clock that the test turns."""
    return TurnedClock()


@pytest.fixture
def interruptions() -> Interruptions:
    """Return the counter of interruptions."""
    return Interruptions()


@pytest.fixture
def monitor(clock: TurnedClock, interruptions: Interruptions) -> RequestMonitor:
    """Return the monitor."""
    return RequestMonitor(clock, on_interruption=interruptions.note, on_list=interruptions.note_list)


@pytest.fixture
def send(monitor: RequestMonitor, interruptions: Interruptions) -> Send:
    """Return a function that sends a request and returns how many interruptions it caused."""

    async def sent(url: URL, status: HTTPStatus | None = HTTPStatus.OK) -> int:
        async def answer(_: Any) -> Any:
            if status is None:
                raise aiohttp.ClientError
            return SimpleNamespace(status=status)

        request: Any = SimpleNamespace(url=url)
        before = interruptions.count
        try:
            await monitor.observe(request, answer)
        except aiohttp.ClientError:
            assert status is None
        return interruptions.count - before

    return sent


async def test_the_first_watch_is_an_interruption(send: Send) -> None:
    """Nothing watched before it."""
    assert [1] == [await send(WATCH)]


async def test_a_watch_that_is_renewed_on_time_is_no_interruption(send: Send, clock: TurnedClock) -> None:
    """The API server ended the previous one when it was due."""
    await send(WATCH)

    for seconds in (STREAM_SECONDS, STREAM_SECONDS + 1):
        clock.turn(timedelta(seconds=seconds))
        assert 0 == await send(WATCH)


@pytest.mark.parametrize("seconds", [1, STREAM_SECONDS - 1, STREAM_SECONDS + 10])
async def test_a_watch_that_is_renewed_early_or_late_is_an_interruption(
    send: Send, clock: TurnedClock, seconds: float
) -> None:
    """The previous one was cut, or nothing watched for a while."""
    await send(WATCH)
    clock.turn(timedelta(seconds=seconds))

    assert 1 == await send(WATCH)


@pytest.mark.parametrize(
    ("url", "status"),
    [(WATCH, None), (WATCH, HTTPStatus.GONE), (WATCH, HTTPStatus.TOO_MANY_REQUESTS), (LIST, HTTPStatus.OK)],
)
async def test_a_watch_after_any_other_request_is_an_interruption(
    send: Send, clock: TurnedClock, url: URL, status: HTTPStatus | None
) -> None:
    """It may begin at the time at which a renewal would have been due."""
    await send(WATCH)
    clock.turn(timedelta(seconds=STREAM_SECONDS))
    await send(url, status)

    assert 1 == await send(WATCH)


async def test_the_watch_of_secrets_is_never_an_interruption(send: Send) -> None:
    """An interruption is a sign of a replaced CRD, and Secrets have none."""
    assert 0 == await send(SECRETS)


async def test_the_age_is_that_of_the_watch_that_was_silent_the_longest(
    send: Send, monitor: RequestMonitor, clock: TurnedClock
) -> None:
    """An answer to one watch says nothing about the other, and an error is no answer."""
    clock.turn(timedelta(seconds=10))
    await send(WATCH)
    clock.turn(timedelta(seconds=5))
    await send(SECRETS)
    await send(SECRETS, HTTPStatus.GONE)

    assert 5 == monitor.age()


@pytest.mark.parametrize("url", [LIST, SECRETS.with_query(labelSelector=LABEL_CREDENTIAL, limit="500")])
async def test_a_list_is_emptied_and_asks_for_another(
    monitor: RequestMonitor, interruptions: Interruptions, url: URL
) -> None:
    """Its pages have no bound in bytes, and it is sent with a selector that nothing can match."""
    sent: list[URL] = []

    async def answer(request: Any) -> Any:
        sent.append(request.url)
        return SimpleNamespace(status=HTTPStatus.OK)

    await monitor.observe(SimpleNamespace(url=url), answer)  # type: ignore[arg-type]  # what the monitor uses of it

    assert [f"{LABEL_CREDENTIAL},!{LABEL_CREDENTIAL}"] == [one.query["labelSelector"] for one in sent]
    assert (1, 0) == (interruptions.lists, interruptions.count)


async def test_a_watch_and_a_failed_list_ask_for_no_list(send: Send, interruptions: Interruptions) -> None:
    """A watch delivers whole objects, one at a time; a failed list is repeated by kopf."""
    await send(WATCH)
    await send(SECRETS)
    await send(LIST, HTTPStatus.FORBIDDEN)

    assert 0 == interruptions.lists
