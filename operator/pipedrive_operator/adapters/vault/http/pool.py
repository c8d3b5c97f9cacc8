"""The open connections to one server under one TLS context. A replaced pool finishes its requests before it closes.

Requests go to httpx's transport without httpx's client, which costs time and could follow a redirect (hvac forwards
X-Vault-Token with it). Nothing is sent twice, and the environment (proxies, ~/.netrc, certificates) is ignored.
"""

import ssl

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport


class ConnectionPool:
    """Connections, opened when they are needed."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Open them with this context, in the running event loop."""
        self.context = context
        self._transport = AiohttpTransport(verify=context, trust_env=False, client=self._session)
        self._in_progress = 0
        self._is_retired = False

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read the whole response. Raises what httpx and aiohttp raise."""
        self._in_progress += 1
        try:
            response = await self._transport.handle_async_request(request)
            try:
                await response.aread()
            finally:
                await response.aclose()
        finally:
            self._in_progress -= 1
            await self._close_if_idle()
        return response

    async def retire(self) -> None:
        """Close the pool as soon as no request is in progress."""
        self._is_retired = True
        await self._close_if_idle()

    async def aclose(self) -> None:
        """Close the pool at once."""
        await self._transport.aclose()

    async def _close_if_idle(self) -> None:
        if self._is_retired and not self._in_progress:
            await self.aclose()

    def _session(self) -> aiohttp.ClientSession:
        """Open the session under the transport, without a cookie jar."""
        connector = aiohttp.TCPConnector(ssl=self.context)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
