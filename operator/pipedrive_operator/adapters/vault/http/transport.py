"""Sends requests to one Vault server. It knows one address, and never sends a token to another.

Certificates are read again at a login, and after a failure that was about them. New connections then use the new
certificates, and a CA that was removed is no longer trusted. What cannot be read leaves the former certificates in use.
"""

import asyncio
from datetime import timedelta
from typing import Final

import aiohttp
import httpx

from pipedrive_operator import __version__
from pipedrive_operator.adapters.vault.exchange import Json, Request, Response
from pipedrive_operator.adapters.vault.http.failures import is_about_tls, no_response
from pipedrive_operator.adapters.vault.http.pool import ConnectionPool
from pipedrive_operator.adapters.vault.http.tls import Tls
from pipedrive_operator.adapters.vault.requests import LOGIN
from pipedrive_operator.config.vault import VaultConnectionSettings
from pipedrive_operator.core.values.errors import VaultUnavailable

HEADERS: Final = {
    "User-Agent": f"pipedrive-operator/{__version__}",
    "X-Vault-Request": "true",
    "Accept-Encoding": "identity",
}


class Transport:
    """The transport to one server."""

    def __init__(self, name: str, settings: VaultConnectionSettings, tls: Tls) -> None:
        """Use the settings of the connection of that name; nothing is opened before the first request."""
        self._name = name
        self._settings = settings
        self._address = str(settings.address).rstrip("/")
        self._tls = tls
        self._extensions: dict[str, object] = {"timeout": {"connect": settings.connect_timeout.total_seconds()}}
        if settings.server_name is not None:
            self._extensions["sni_hostname"] = settings.server_name
        self._pool: ConnectionPool | None = None
        self._is_in_doubt = False
        self._reading = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.aclose()

    async def send(self, request: Request) -> Response:
        """Send a request, once.

        Raises:
            VaultUnavailable: no response, or not in time; or the certificates cannot be used.
        """
        message = httpx.Request(
            request.method,
            f"{self._address}{request.path}",
            headers=self._headers(request),
            json=request.json,
            params=request.params,
            extensions=self._extensions,
        )
        pool = await self._pool_for(request)
        try:
            # The transport's own limits apply to each read: a server that trickles could exceed them without end.
            async with asyncio.timeout(self._settings.timeout.total_seconds()):
                response = await pool.exchange(message)
        except (httpx.HTTPError, aiohttp.ClientError, OSError) as error:
            self._is_in_doubt = self._is_in_doubt or is_about_tls(error)
            raise no_response(error, self._name, self._address) from error
        return _read(response)

    async def _pool_for(self, request: Request) -> ConnectionPool:
        """Return the pool to use, after reading the certificates again if it is time. Raises VaultUnavailable."""
        if self._pool is not None and not self._is_in_doubt and request.operation != LOGIN:
            return self._pool
        async with self._reading:  # one at a time, so that a slow read cannot undo a newer one
            if self._pool is None:
                await self._tls.load()
                self._pool = ConnectionPool(self._tls.context)
            elif self._is_in_doubt or request.operation == LOGIN:
                await self._renew(self._pool)
            return self._pool

    async def _renew(self, former: ConnectionPool) -> None:
        """Read the certificates again. If that fails, keep the former ones: it is not the server's fault."""
        doubted, self._is_in_doubt = self._is_in_doubt, False
        try:
            await self._tls.load()
        except VaultUnavailable:
            self._is_in_doubt = self._is_in_doubt or doubted
            return
        if former.context is not self._tls.context:
            self._pool = ConnectionPool(self._tls.context)
            await former.retire()

    def _headers(self, request: Request) -> dict[str, str]:
        headers = dict(HEADERS)
        if request.token is not None:
            headers["X-Vault-Token"] = request.token.reveal()
        if self._settings.namespace is not None:
            headers["X-Vault-Namespace"] = self._settings.namespace
        return headers


def _read(response: httpx.Response) -> Response:
    return Response(
        status=response.status_code,
        body=_object(response),
        retry_after=_seconds(response.headers.get("Retry-After", "")),
        redirect=_origin(response.headers.get("Location", "")),
    )


def _object(response: httpx.Response) -> Json | None:
    try:
        body = response.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _seconds(text: str) -> timedelta | None:
    return timedelta(seconds=int(text)) if text.isascii() and text.isdigit() and len(text) < len("100000") else None


def _origin(location: str) -> str | None:
    try:
        url = httpx.URL(location)
    except httpx.InvalidURL:
        return None
    return f"{url.scheme}://{url.netloc.decode()}" if url.host else None
