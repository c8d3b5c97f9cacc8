"""The wire to one Vault server: httpx over aiohttp. It knows one address, and never carries a token to another.

Redirects are not followed (https://github.com/hvac/hvac forwards X-Vault-Token with them), nothing is sent twice, and
the environment (proxies, ~/.netrc, certificates) is not asked.
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

USER_AGENT: Final = f"pipedrive-operator/{__version__}"


class Transport:
    """Sends one request after another."""

    def __init__(self, name: str, settings: VaultConnectionSettings) -> None:
        """Take the connection's settings under its name; it is opened at the first request."""
        self._name = name
        self._settings = settings
        self._address = str(settings.address).rstrip("/")
        self._tls = _public_authorities() if settings.ca_file is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._client: httpx.AsyncClient | None = None

    async def aclose(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.aclose()

    async def send(self, request: Request) -> Answer:
        """Send a request, once.

        Raises:
            VaultUnavailable: nothing came back, or not in time.
        """
        client = self._client or self._open()
        try:
            # The transport's own limits are for each read and would let a server trickle for ever.
            async with asyncio.timeout(self._settings.timeout.total_seconds()):
                response = await client.request(
                    request.method,
                    f"{self._address}{request.path}",
                    headers=self._headers(request),
                    json=request.json,
                    params=request.params,
                )
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            if is_untrusted(error):
                self._trust()  # the authority may have been replaced, and is then known to the next request
            raise no_answer(error, self._name, self._address) from error
        return _answer(response)

    def _open(self) -> httpx.AsyncClient:
        self._trust()
        self._client = httpx.AsyncClient(
            transport=AiohttpTransport(verify=self._tls, trust_env=False),
            timeout=None,  # noqa: S113  one limit for the whole request, see above
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": USER_AGENT, "X-Vault-Request": "true"},
        )
        return self._client

    def _trust(self) -> None:
        """Read the configured authority, which is then trusted alone. Raises VaultUnavailable."""
        if self._settings.ca_file is None:
            return
        try:
            self._tls.load_verify_locations(cadata=self._settings.ca_file.read_text())
        except (OSError, ValueError) as error:
            raise authority_unreadable(self._name, self._settings.ca_file) from error

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {"X-Vault-Token": request.token.reveal()} if request.token is not None else {}
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
