"""The HTTP endpoints for the kubelet, Prometheus and the consent front.

Whether the operator is healthy, and what an uninstall means, is decided elsewhere.

`/livez` fails if only a restart can help, `/readyz` if the operator cannot work. Both respond in the format of
Kubernetes' own endpoints (https://kubernetes.io/docs/reference/using-api/health-checks/). `/metrics` is for Prometheus.
`/uninstalls` takes reports of uninstalls from the consent front; its response reveals nothing about a report.

Anyone in the cluster may connect, so no client can keep the event loop, the memory or the connections for itself: the
metrics are rendered in a thread, once a second at most; a connection carries one request and ends after some seconds;
and beyond a number of connections, the oldest is closed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Self

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pipedrive_operator import metrics
from pipedrive_operator.config.settings import HttpSettings
from pipedrive_operator.core.resource.uninstall import LARGEST_REPORT, UninstallReport, read_report
from pipedrive_operator.core.values.mask import mask

Checks = Callable[[], Mapping[str, str | None]]
"""Returns the names of the checks, each with its problem or None."""
OnUninstall = Callable[[UninstallReport], Awaitable[None]]
"""Takes a report that has the right form; its proof has not been verified."""

UNINSTALLS: Final = "/uninstalls"
_SHUTDOWN_TIMEOUT: Final = 1.0
"""Seconds that open requests may take at the end; none of them takes longer."""
_RENDERED_FOR: Final = 1.0
"""Seconds for which rendered metrics are served again."""
_CHUNK: Final = 65536
"""How many bytes are written at once: a client that reads slowly has no more than some of these in our memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What clients may use."""

    connections: int = 64
    """How many connections may be open. The kubelet and two Prometheus servers need fewer than ten."""
    seconds: float = 15.0
    """How long a connection may be open, with its headers, its response and everything; a scrape ends after 10 s."""


class HealthServer:
    """Serves the endpoints inside its `async with` block."""

    def __init__(
        self,
        settings: HttpSettings,
        *,
        live: Checks,
        ready: Checks,
        on_uninstall: OnUninstall | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare the endpoints; `live` and `ready` are called for each request.

        Without `on_uninstall`, reports of uninstalls are not taken.
        """
        self._settings = settings
        self._limits = limits or Limits()
        self._exposition = _Exposition()
        app = web.Application(client_max_size=LARGEST_REPORT)
        if on_uninstall is not None:
            app.router.add_post(UNINSTALLS, _take_uninstalls(on_uninstall))
        app.router.add_get("/livez", _handler("livez", live))
        app.router.add_get("/readyz", _handler("readyz", ready))
        app.router.add_get("/metrics", self._exposition.serve)
        app.on_response_prepare.append(_close_after_response)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT, lingering_time=0)
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Start to listen."""
        await self._runner.setup()
        serve = self._runner.server
        assert serve is not None  # noqa: S101  for the type checker: `setup` has made it
        connections = _Connections(serve, self._limits)
        address, port = self._settings.address, self._settings.port
        self._server = await asyncio.get_running_loop().create_server(connections.accept, address, port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
        await self._exposition.aclose()

    @property
    def port(self) -> int:
        """The port that the server listens on; a free one if the settings say 0."""
        assert self._server is not None  # noqa: S101  for the type checker: inside the block
        return int(self._server.sockets[0].getsockname()[1])


class _Exposition:
    """The metrics as Prometheus reads them, rendered in a thread and shared by all clients."""

    def __init__(self) -> None:
        self._rendering: asyncio.Task[bytes] | None = None
        self._valid_until = 0.0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Write the metrics no faster than the client reads them."""
        body = await self._current()
        response = web.StreamResponse(headers={"Content-Type": CONTENT_TYPE_LATEST})
        response.content_length = len(body)
        with suppress(ConnectionError):  # the client left, which is not an error
            await response.prepare(request)
            for start in range(0, len(body), _CHUNK):
                await response.write(body[start : start + _CHUNK])
        return response

    async def aclose(self) -> None:
        """Cancel a rendering in progress."""
        if self._rendering is not None:
            self._rendering.cancel()
            with suppress(asyncio.CancelledError):
                await self._rendering

    async def _current(self) -> bytes:
        is_over = self._rendering is None or self._rendering.done()
        if self._rendering is None or (is_over and asyncio.get_running_loop().time() >= self._valid_until):
            metrics.sample()
            self._rendering = asyncio.create_task(self._render(), name="metrics")
        return await asyncio.shield(self._rendering)

    async def _render(self) -> bytes:
        rendered = await asyncio.to_thread(metrics.exposition)
        self._valid_until = asyncio.get_running_loop().time() + _RENDERED_FOR
        return rendered


class _Connections:
    """The open connections, the oldest first."""

    def __init__(self, serve: Callable[[], asyncio.Protocol], limits: Limits) -> None:
        self._serve = serve
        self._limits = limits
        self._open: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    def accept(self) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        return _Connection(self._serve(), self)

    def opened(self, transport: asyncio.Transport) -> None:
        """Limit the time of a connection, and close the oldest one if there are too many."""
        self._open[transport] = asyncio.get_running_loop().call_later(self._limits.seconds, transport.abort)
        if len(self._open) > self._limits.connections:
            oldest = next(iter(self._open))
            self.closed(oldest)
            oldest.abort()

    def closed(self, transport: asyncio.Transport) -> None:
        """Forget a connection."""
        timer = self._open.pop(transport, None)
        if timer is not None:
            timer.cancel()


class _Connection(asyncio.Protocol):
    """Passes everything on to aiohttp, and reports the beginning and the end."""

    def __init__(self, inner: asyncio.Protocol, connections: _Connections) -> None:
        self._inner = inner
        self._connections = connections
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  for the type checker
        self._transport = transport
        self._inner.connection_made(transport)
        self._connections.opened(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._connections.closed(self._transport)
        self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


async def _close_after_response(_: web.Request, response: web.StreamResponse) -> None:
    response.force_close()
    response.headers["Connection"] = "close"  # the library has decided on this header by now


def _handler(name: str, run_checks: Checks) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        checks = run_checks()
        failed = any(problem is not None for problem in checks.values())
        lines = [*(_line(*check) for check in checks.items()), f"{name} check {'failed' if failed else 'passed'}"]
        status = HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK
        return web.Response(text="\n".join(lines) + "\n", status=status)

    return handle


def _take_uninstalls(on_uninstall: OnUninstall) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        report = read_report(await request.read())
        if report is None:
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        await on_uninstall(report)
        return web.Response(status=HTTPStatus.ACCEPTED)

    return handle


def _line(check: str, problem: str | None) -> str:
    return f"[+]{check} ok" if problem is None else f"[-]{check} failed: {mask(problem)}"
