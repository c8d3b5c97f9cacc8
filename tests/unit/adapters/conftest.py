"""Fixtures for the unit tests of the adapters: a clock, and servers on loopback."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from fakes.clock import TurnedClock

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Start = Callable[..., Awaitable[TestServer]]


@pytest.fixture
def clock() -> TurnedClock:
    """Return a clock that the test advances."""
    return TurnedClock()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Return a function that starts a server on loopback; a handler responds to every request."""
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
