"""The web server around the views: methods, limits and time-outs. What a response says is decided in `views`.

aiohttp's router is not used, because it decodes paths before it matches them. There is no access log.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, Self

from aiohttp import web

from pipedrive_operator import metrics
from pipedrive_operator.core.resource.uninstall import LARGEST_REPORT
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.front.requests import Route, read_request_target
from pipedrive_operator.front.views import RELOAD_SECONDS, Asked, FrontResponse, TooBusyError, Views
from pipedrive_operator.log import get_logger

RESPONSE_SECONDS: Final = 25.0
"""How long a response may take; the API server's time-out is shorter."""
IDLE_SECONDS: Final = 15.0
"""How long a connection may take to send the headers of a request."""
MOST_BROWSER_CONNECTIONS: Final = 1000
"""How many connections may be open; a connection beyond that is closed at once."""
_TLS_END_SECONDS: Final = 1.0
"""How long a browser may take to end TLS; many never do."""
_LONGEST_HEADER: Final = 16_384
"""In bytes. A code of 10 kB still reaches the views, which refuse it with a page."""

_log = get_logger(__name__)
_silent = logging.getLogger(f"{__name__}.http")
_silent.disabled = True
"""aiohttp would log lines of requests that it cannot parse, and these may contain a code."""

OnUninstallCallback = Callable[[bytes, str | None], Awaitable[None]]
"""Takes the body and the Authorization header of Pipedrive's report of an uninstall."""
View = Callable[[Asked], Awaitable[FrontResponse]]


class FrontServer:
    """Serves the front inside its `async with` block."""

    def __init__(
        self,
        address: tuple[str, int],
        *,
        views: Views,
        prefix: str,
        headers: Mapping[str, str],
        on_uninstall: OnUninstallCallback,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare to listen at a host and port (0 picks a free one), for paths below `prefix`."""
        self._address = address
        self._views = views
        self._prefix = prefix
        self._headers = headers
        self._on_uninstall = on_uninstall
        self._tls = tls
        self._web = web.Server(self._handle)
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        """Start to listen. Raises OSError if the port cannot be used."""
        host, port = self._address
        is_tls = self._tls is not None
        self._listener = await asyncio.get_running_loop().create_server(
            self._accept,
            host,
            port,
            ssl=self._tls,
            ssl_handshake_timeout=IDLE_SECONDS if is_tls else None,
            ssl_shutdown_timeout=_TLS_END_SECONDS if is_tls else None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening, and give open requests a little time."""
        if self._listener is not None:
            self._listener.close()
        self._web.pre_shutdown()
        await self._web.shutdown(timeout=5.0)

    @property
    def port(self) -> int:
        """The port that the server listens on. Raises ValueError before the start."""
        if self._listener is None:
            message = "the front does not listen yet"
            raise ValueError(message)
        return int(self._listener.sockets[0].getsockname()[1])

    def _accept(self) -> asyncio.Protocol:
        is_full = len(self._web.connections) >= MOST_BROWSER_CONNECTIONS
        return _Refused() if is_full else _Connection(self._web, self._headers)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request. Whatever happens, the response has the security headers."""
        reply = await self._reply(request)
        metrics.count_front_response(reply.page, reply.status)
        response = web.Response(status=reply.status, headers={**self._headers, **reply.headers})
        if reply.body:
            response.body = reply.body.encode()
            response.content_type = reply.content_type
            response.charset = "utf-8"
        return response

    async def _reply(self, request: web.BaseRequest) -> FrontResponse:
        try:
            async with asyncio.timeout(RESPONSE_SECONDS):
                return await self._route(request)
        except (TooBusyError, ApiServerUnavailable, TimeoutError) as error:
            _log.warning("a request could not be answered", error=str(error) or type(error).__name__)
        except Exception:  # noqa: BLE001  a defect in one page must not show its traceback to strangers
            _log.exception("a request failed because of a defect")
        return self._views.show("busy", HTTPStatus.SERVICE_UNAVAILABLE, Refresh=str(RELOAD_SECONDS))

    async def _route(self, request: web.BaseRequest) -> FrontResponse:
        target = read_request_target(request.raw_path, self._prefix)
        if target is None:
            return self._views.show("unusable", HTTPStatus.NOT_FOUND)
        if target.route is Route.CALLBACK and request.method == "DELETE":
            await self._on_uninstall(await _read_body(request), request.headers.get("Authorization"))
            return FrontResponse(page="uninstall", status=HTTPStatus.NO_CONTENT)
        view = self._view(target.route, request.method)
        if view is None:
            return self._views.show("unusable", HTTPStatus.METHOD_NOT_ALLOWED)
        cookies = tuple(request.headers.getall("Cookie", ()))
        return await view(Asked(target, cookies, request.headers.get("Sec-Fetch-Site")))

    def _view(self, route: Route, method: str) -> View | None:
        """Return what answers a method. HEAD is GET without a body, except that it never stores an answer."""
        views = self._views
        table: Mapping[tuple[Route, str], View] = {
            (Route.LANDING, "GET"): views.landing,
            (Route.STYLE, "GET"): views.style,
            (Route.PAGE, "GET"): views.page,
            (Route.PAGE, "POST"): views.begin,
            (Route.RESULT, "GET"): views.result,
            (Route.CALLBACK, "GET"): views.callback,
            (Route.CALLBACK, "HEAD"): views.landing,
            (Route.CALLBACK, "POST"): views.shared,
        }
        return table.get((route, method)) or table.get((route, "GET" if method == "HEAD" else ""))


class _Connection(web.RequestHandler):
    """A connection that repeats nothing of a request that is not HTTP."""

    __slots__ = ("_error_headers",)

    def __init__(self, server: web.Server, headers: Mapping[str, str]) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=_silent,
            logger=_silent,
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
            lingering_time=1.0,
        )
        self._error_headers = headers

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  aiohttp's signature
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        response = web.Response(status=status, text="The request cannot be read.\n", headers=self._error_headers)
        response.force_close()
        return response


class _Refused(asyncio.Protocol):
    """Closes a connection at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def _read_body(request: web.BaseRequest) -> bytes:
    """Return the body, or its beginning if it is larger than any report; what is left is not kept."""
    try:
        return await request.content.readexactly(LARGEST_REPORT + 1)
    except asyncio.IncompleteReadError as error:
        return error.partial
