"""The wire to one Vault server: httpx over aiohttp. It knows one address, and never carries a token to another.

Requests go to httpx's transport without its client on top, which costs time and could follow a redirect (hvac forwards
X-Vault-Token with them). Nothing is sent twice, and the environment (proxies, ~/.netrc, certificates) is not asked.
"""

import asyncio
from datetime import timedelta
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from pipedrive_operator import __version__
from pipedrive_operator.adapters.vault.exchange import Answer, Json, Request
from pipedrive_operator.adapters.vault.tls import Tls
from pipedrive_operator.adapters.vault.troubles import is_about_tls, no_answer
from pipedrive_operator.vault_settings import VaultConnectionSettings

HEADERS: Final = {
    "User-Agent": f"pipedrive-operator/{__version__}",
    "X-Vault-Request": "true",
    "Accept-Encoding": "identity",
}


class Transport:
    """Sends one request after another."""

    def __init__(self, name: str, settings: VaultConnectionSettings, tls: Tls) -> None:
        """Take the connection's settings under its name; it is opened at the first request."""
        self._name = name
        self._settings = settings
        self._address = str(settings.address).rstrip("/")
        self._tls = tls
        self._extensions: dict[str, object] = {"timeout": {"connect": settings.connect_timeout.total_seconds()}}
        if settings.server_name is not None:
            self._extensions["sni_hostname"] = settings.server_name
        self._wire: AiohttpTransport | None = None

    async def aclose(self) -> None:
        """Close the connection."""
        if self._wire is not None:
            await self._wire.aclose()

    async def send(self, request: Request) -> Answer:
        """Send a request, once.

        Raises:
            VaultUnavailable: nothing came back, or not in time.
        """
        asked = httpx.Request(
            request.method,
            f"{self._address}{request.path}",
            headers=self._headers(request),
            json=request.json,
            params=request.params,
            extensions=self._extensions,
        )
        try:
            # The transport's own limits are for each read and would let a server trickle for ever.
            async with asyncio.timeout(self._settings.timeout.total_seconds()):
                response = await self._exchange(asked)
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            if is_about_tls(error) and self._tls.may_change:
                await self._tls.load()  # what was replaced is known to the next request
            raise no_answer(error, self._name, self._address) from error
        return _answer(response)

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        response = await (self._wire or await self._open()).handle_async_request(request)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response

    async def _open(self) -> AiohttpTransport:
        await self._tls.load()
        if self._wire is None:
            self._wire = AiohttpTransport(verify=self._tls.context, trust_env=False, client=self._session)
        return self._wire

    def _session(self) -> aiohttp.ClientSession:
        """Open what is under the transport, in the running loop, without a memory for cookies."""
        connector = aiohttp.TCPConnector(ssl=self._tls.context)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    def _headers(self, request: Request) -> dict[str, str]:
        headers = dict(HEADERS)
        if request.token is not None:
            headers["X-Vault-Token"] = request.token.reveal()
        if self._settings.namespace is not None:
            headers["X-Vault-Namespace"] = self._settings.namespace
        return headers


def _answer(response: httpx.Response) -> Answer:
    return Answer(
        status=response.status_code,
        body=_object(response),
        retry_after=_seconds(response.headers.get("Retry-After", "")),
        redirect=_host(response.headers.get("Location", "")),
    )


def _object(response: httpx.Response) -> Json | None:
    try:
        found = response.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _seconds(text: str) -> timedelta | None:
    return timedelta(seconds=int(text)) if text.isascii() and text.isdigit() and len(text) < len("100000") else None


def _host(location: str) -> str | None:
    try:
        url = httpx.URL(location)
    except httpx.InvalidURL:
        return None
    return f"{url.scheme}://{url.netloc.decode()}" if url.host else None
