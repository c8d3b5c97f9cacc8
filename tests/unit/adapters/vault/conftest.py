"""What the tests of the Vault adapter share."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from support.turned_clock import TurnedClock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Start = Callable[..., Awaitable[TestServer]]


@pytest.fixture
def clock() -> TurnedClock:
    """Return a clock that the test turns."""
    return TurnedClock()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start servers on loopback that answer everything by a handler; return each."""
    servers: list[TestServer] = []

    async def started(handler: Handler, *, tls: ssl.SSLContext | None = None) -> TestServer:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        server = TestServer(application, host="localhost")
        servers.append(server)
        await server.start_server(ssl=tls)
        return server

    yield started
    for server in servers:
        await server.close()
