"""The wire to one Vault server: httpx over aiohttp. It knows one address, and never carries a token to another.

Requests go to httpx's transport without its client on top, which costs time and could follow a redirect (hvac forwards
X-Vault-Token with them). Nothing is sent twice, and the environment (proxies, ~/.netrc, certificates) is not asked.
"""

import asyncio
import ssl
from datetime import timedelta
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from pipedrive_operator import __version__
from pipedrive_operator.adapters.vault.exchange import Answer, Json, Request
from pipedrive_operator.adapters.vault.troubles import authority_unreadable, is_untrusted, no_answer
from pipedrive_operator.settings import VaultConnectionSettings

HEADERS: Final = {
    "User-Agent": f"pipedrive-operator/{__version__}",
    "X-Vault-Request": "true",
    "Accept-Encoding": "identity",
}


class Transport:
    """Sends one request after another."""

    def __init__(self, name: str, settings: VaultConnectionSettings) -> None:
        """Take the connection's settings under its name; it is opened at the first request."""
        self._name = name
        self._settings = settings
        self._address = str(settings.address).rstrip("/")
        self._tls = _public_authorities() if settings.ca_file is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
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
        )
        try:
            # The transport's own limits are for each read and would let a server trickle for ever.
            async with asyncio.timeout(self._settings.timeout.total_seconds()):
                response = await self._exchange(asked)
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            if is_untrusted(error):
                self._trust()  # the authority may have been replaced, and is then known to the next request
            raise no_answer(error, self._name, self._address) from error
        return _answer(response)

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        response = await (self._wire or self._open()).handle_async_request(request)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response

    def _open(self) -> AiohttpTransport:
        self._trust()
        self._wire = AiohttpTransport(verify=self._tls, trust_env=False, client=self._session)
        return self._wire

    def _session(self) -> aiohttp.ClientSession:
        """Open what is under the transport, in the running loop, without a memory for cookies."""
        connector = aiohttp.TCPConnector(ssl=self._tls)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    def _trust(self) -> None:
        """Read the configured authority, which is then trusted alone. Raises VaultUnavailable."""
        if self._settings.ca_file is None:
            return
        try:
            self._tls.load_verify_locations(cadata=self._settings.ca_file.read_text())
        except (OSError, ValueError) as error:
            raise authority_unreadable(self._name, self._settings.ca_file) from error

    def _headers(self, request: Request) -> dict[str, str]:
        headers = dict(HEADERS)
        if request.token is not None:
            headers["X-Vault-Token"] = request.token.reveal()
        if self._settings.namespace is not None:
            headers["X-Vault-Namespace"] = self._settings.namespace
        return headers


def _public_authorities() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


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
