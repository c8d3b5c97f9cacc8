"""Sends requests to one Vault server. It knows one address, and never sends a token to another.

Certificates are read again at a login, and after a failure that was about them.
"""

import asyncio
from typing import Final

import httpx

from pipedrive_operator import __version__
from pipedrive_operator.adapters.http import response as http
from pipedrive_operator.adapters.http.causes import BROKEN
from pipedrive_operator.adapters.http.pool import Pools, reusing_transport
from pipedrive_operator.adapters.http.retry_after import read_retry_after
from pipedrive_operator.adapters.http.tls import Tls
from pipedrive_operator.adapters.vault.errors import LARGEST_RESPONSE, unsendable
from pipedrive_operator.adapters.vault.http.failures import no_response
from pipedrive_operator.adapters.vault.request_and_response import Json, VaultRequest, VaultResponse
from pipedrive_operator.adapters.vault.requests import LOGIN
from pipedrive_operator.config.vault import VaultConnectionSettings
from pipedrive_operator.ports import Clock

_HEADERS: Final = {
    "User-Agent": f"pipedrive-operator/{__version__}",
    "X-Vault-Request": "true",
    "Accept-Encoding": "identity",
}


class Transport:
    """The transport to one server."""

    def __init__(self, name: str, settings: VaultConnectionSettings, tls: Tls, clock: Clock) -> None:
        """Use the settings of the connection of that name; nothing is opened before the first request."""
        self._name = name
        self._settings = settings
        self._address = str(settings.address).rstrip("/")
        self._clock = clock
        self._extensions: dict[str, object] = {"timeout": {"connect": settings.connect_timeout.total_seconds()}}
        if settings.server_name is not None:
            self._extensions["sni_hostname"] = settings.server_name
        self._pools = Pools(tls, reusing_transport)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pools.aclose()

    async def send(self, request: VaultRequest) -> VaultResponse:
        """Send a request, once.

        Raises:
            VaultUnavailable: no response, or not in time; or the certificates cannot be used.
            SourceMissing: the request cannot be written as JSON; nothing was sent.
        """
        message = self._message(request)
        pool = await self._pools.current(read_again=request.operation == LOGIN)
        try:
            # The transport's own limits apply to each read: a server that trickles could exceed them without end.
            async with asyncio.timeout(self._settings.timeout.total_seconds()):
                response = await pool.exchange(message, longest_body=LARGEST_RESPONSE)
        except BROKEN as error:
            self._pools.failed(error)
            raise no_response(error, self._name, self._address) from error
        return self._read(response)

    def _message(self, request: VaultRequest) -> httpx.Request:
        try:
            return httpx.Request(
                request.method,
                f"{self._address}{request.path}",
                headers=self._headers(request),
                json=request.json,
                params=request.params,
                extensions=self._extensions,
            )
        except (ValueError, RecursionError) as error:
            raise unsendable(self._name, request.path) from error

    def _headers(self, request: VaultRequest) -> dict[str, str]:
        headers = dict(_HEADERS)
        if request.token is not None:
            headers["X-Vault-Token"] = request.token.reveal()
        if self._settings.namespace is not None:
            headers["X-Vault-Namespace"] = self._settings.namespace
        return headers

    def _read(self, response: http.Response) -> VaultResponse:
        body, is_undecodable = _body(response)
        return VaultResponse(
            status=response.status,
            body=body,
            is_too_large=response.is_truncated,
            is_undecodable=is_undecodable,
            retry_after=read_retry_after(response.headers.get("Retry-After"), self._clock.now()),
            redirect=response.redirect,
        )


def _body(response: http.Response) -> tuple[Json | None, bool]:
    """Return the JSON object in a response, and whether it was left out because Python does not decode it."""
    try:
        return (None if response.is_truncated else http.decoded_object(response.body)), False
    except http.Undecodable:
        return None, True
