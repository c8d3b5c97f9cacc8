"""Connections to one server, kept open for reuse, and replaced when the certificates behind them change.

Requests go to httpx's transport without its client on top. The client costs time, and it could follow a redirect with
a token in its headers. Nothing is sent twice, and the environment (proxies, ~/.netrc, certificates) has no influence.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from pipedrive_operator.adapters.http.causes import is_about_tls
from pipedrive_operator.adapters.http.response import Received, Response, read
from pipedrive_operator.adapters.http.tls import Tls
from pipedrive_operator.adapters.limits import HEADER_LIMITS
from pipedrive_operator.core.values.errors import Trouble

Open = Callable[[ssl.SSLContext], httpx.AsyncBaseTransport]

_AIOHTTP_CONNECTIONS: Final = 100
"""What aiohttp allows by default."""


def reusing_transport(
    context: ssl.SSLContext, *, proxy: httpx.Proxy | None = None, most_connections: int = _AIOHTTP_CONNECTIONS
) -> httpx.AsyncBaseTransport:
    """Return a transport that reuses connections, over aiohttp: a fifth of the CPU time of httpx's own."""

    def session() -> aiohttp.ClientSession:
        """Open a session in the running loop, without a cookie jar: no tenant may get the cookies of another."""
        connector = aiohttp.TCPConnector(ssl=context, limit=most_connections)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            max_line_size=HEADER_LIMITS["max_line_size"],
            max_field_size=HEADER_LIMITS["max_field_size"],
            max_headers=HEADER_LIMITS["max_headers"],
        )

    return AiohttpTransport(verify=context, trust_env=False, proxy=proxy, client=session)


class Pool:
    """Connections under one TLS context. A retired pool closes when its last request has ended."""

    def __init__(self, context: ssl.SSLContext, transport: httpx.AsyncBaseTransport) -> None:
        """Use a transport that was opened with the context."""
        self.context: Final = context
        self._transport = transport
        self._in_progress = 0
        self._is_retired = False

    async def exchange(self, request: httpx.Request, *, longest_body: int) -> Response:
        """Send a request and read its response, up to `longest_body` bytes. Raises one of `causes.BROKEN`."""
        self._in_progress += 1
        try:
            return await exchange(self._transport, request, longest_body=longest_body)
        finally:
            self._in_progress -= 1
            await self._close_if_idle()

    async def retire(self) -> None:
        """Close as soon as no request is in progress."""
        self._is_retired = True
        await self._close_if_idle()

    async def aclose(self) -> None:
        """Close at once, even while requests are in progress."""
        await self._transport.aclose()

    async def _close_if_idle(self) -> None:
        if self._is_retired and not self._in_progress:
            await self.aclose()


class Pools:
    """Provides the current pool.

    Certificates are read again after a failure of TLS, or on request. The next connection
    uses the new ones, and no longer trusts those that were removed. If certificates cannot be read again, the ones read
    before stay in use: that is not an outage of the server.
    """

    def __init__(self, tls: Tls, open_transport: Open) -> None:
        """Open the first pool at the first request."""
        self._tls = tls
        self._open = open_transport
        self._pool: Pool | None = None
        self._in_doubt = False
        self._reading = asyncio.Lock()

    async def current(self, *, read_again: bool = False) -> Pool:
        """Return the pool to use now, after reading the certificates again if asked or in doubt.

        Raises:
            Trouble: the certificates have never been readable.
        """
        if self._pool is not None and not self._in_doubt and not read_again:
            return self._pool
        async with self._reading:  # one at a time, or an older reading could replace a newer one
            if self._pool is None:
                await self._tls.load()
                self._pool = self._new_pool()
            elif self._in_doubt or read_again:
                await self._renew(self._pool)
            return self._pool

    def failed(self, error: BaseException) -> None:
        """Note that a request failed; after a failure of TLS, the certificates are read again."""
        self._in_doubt = self._in_doubt or is_about_tls(error)

    async def replace(self) -> None:
        """Use new connections from the next request on, for instance because a proxy wants other credentials."""
        former, self._pool = self._pool, None
        if former is not None:
            await former.retire()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.aclose()

    async def _renew(self, former: Pool) -> None:
        was_in_doubt, self._in_doubt = self._in_doubt, False
        try:
            await self._tls.load()
        except Trouble:
            self._in_doubt = self._in_doubt or was_in_doubt
            return
        if former.context is not self._tls.context:
            self._pool = self._new_pool()
            await former.retire()

    def _new_pool(self) -> Pool:
        return Pool(self._tls.context, self._open(self._tls.context))


async def exchange(
    transport: httpx.AsyncBaseTransport,
    request: httpx.Request,
    *,
    longest_body: int,
    received: Received | None = None,
) -> Response:
    """Send a request once, and return the whole response; what exceeds `longest_body` bytes is left out.

    What arrives is put into `received` at once. Raises one of `causes.BROKEN`.
    """
    received = received or Received()
    response = await transport.handle_async_request(request)
    received.status, received.headers = response.status_code, response.headers
    stream = response.stream
    assert isinstance(stream, httpx.AsyncByteStream)  # noqa: S101  for the type checker: an asynchronous transport
    try:
        async for chunk in stream:
            received.body += chunk
            if len(received.body) > longest_body:
                break
    finally:
        await response.aclose()
    return read(response.status_code, response.headers, received.body, longest_body)
