"""The connections to one server under one TLS context. When it is replaced, what is under way on it ends first.

Requests go to httpx's transport without its client on top, which costs time and could follow a redirect (hvac forwards
X-Vault-Token with them). Nothing is sent twice, and the environment (proxies, ~/.netrc, certificates) is not asked.
"""

import ssl

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport


class Wire:
    """Connections that are opened when they are needed."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Open them with this context, in the running loop."""
        self.context = context
        self._transport = AiohttpTransport(verify=context, trust_env=False, client=self._session)
        self._under_way = 0
        self._is_retired = False

    async def exchange(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its whole answer. Raises what httpx and aiohttp raise."""
        self._under_way += 1
        try:
            response = await self._transport.handle_async_request(request)
            try:
                await response.aread()
            finally:
                await response.aclose()
        finally:
            self._under_way -= 1
            await self._close_if_idle()
        return response

    async def retire(self) -> None:
        """Close it as soon as nothing is under way on it."""
        self._is_retired = True
        await self._close_if_idle()

    async def aclose(self) -> None:
        """Close it, whatever is under way."""
        await self._transport.aclose()

    async def _close_if_idle(self) -> None:
        if self._is_retired and not self._under_way:
            await self.aclose()

    def _session(self) -> aiohttp.ClientSession:
        """Open what is under the transport, without a memory for cookies."""
        connector = aiohttp.TCPConnector(ssl=self.context)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
