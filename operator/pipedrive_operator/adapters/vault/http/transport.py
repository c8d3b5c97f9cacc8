"""The way to one Vault server. It knows one address, and never carries a token to another.

Certificates are read anew at a login, and after a failure that was about them: what was replaced counts from the next
connection on, and what was taken away counts no more. What cannot be read leaves what was read before.
"""

import asyncio
from datetime import timedelta
from typing import Final

import aiohttp
import httpx

from pipedrive_operator import __version__
from pipedrive_operator.adapters.vault.errors import is_about_tls, no_answer
from pipedrive_operator.adapters.vault.exchange import Answer, Json, Request
from pipedrive_operator.adapters.vault.http.tls import Tls
from pipedrive_operator.adapters.vault.http.wire import Wire
from pipedrive_operator.adapters.vault.requests import LOGIN
from pipedrive_operator.config.vault import VaultConnectionSettings
from pipedrive_operator.core.values.errors import VaultUnavailable

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
        self._wire: Wire | None = None
        self._is_in_doubt = False
        self._reading = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connection."""
        if self._wire is not None:
            await self._wire.aclose()

    async def send(self, request: Request) -> Answer:
        """Send a request, once.

        Raises:
            VaultUnavailable: nothing came back, or not in time; or the certificates cannot be used.
        """
        asked = httpx.Request(
            request.method,
            f"{self._address}{request.path}",
            headers=self._headers(request),
            json=request.json,
            params=request.params,
            extensions=self._extensions,
        )
        wire = await self._wire_for(request)
        try:
            # The transport's own limits are for each read and would let a server trickle for ever.
            async with asyncio.timeout(self._settings.timeout.total_seconds()):
                response = await wire.exchange(asked)
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            self._is_in_doubt = self._is_in_doubt or is_about_tls(error)
            raise no_answer(error, self._name, self._address) from error
        return _answer(response)

    async def _wire_for(self, request: Request) -> Wire:
        """Return the present connections. Raises VaultUnavailable."""
        if self._wire is not None and not self._is_in_doubt and request.operation != LOGIN:
            return self._wire
        async with self._reading:  # one after another, or what was read first could be taken for the newest
            if self._wire is None:
                await self._tls.load()
                self._wire = Wire(self._tls.context)
            elif self._is_in_doubt or request.operation == LOGIN:
                await self._renew(self._wire)
            return self._wire

    async def _renew(self, former: Wire) -> None:
        """Go on with what was read before where it cannot be read now: that is no trouble of the server's."""
        doubted, self._is_in_doubt = self._is_in_doubt, False
        try:
            await self._tls.load()
        except VaultUnavailable:
            self._is_in_doubt = self._is_in_doubt or doubted
            return
        if former.context is not self._tls.context:
            self._wire = Wire(self._tls.context)
            await former.retire()

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
