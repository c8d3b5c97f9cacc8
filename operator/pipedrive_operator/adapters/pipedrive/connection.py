"""Sends requests to Pipedrive and explains why one failed. What a response means is decided elsewhere.

Requests to `users/me` reuse open connections. A refresh gets a connection of its own: the server may close a reused one
just when the refresh token leaves, and whether the token arrived would then be unknown.
"""

import socket
import ssl
import struct
from dataclasses import replace
from typing import Final

import httpx

from pipedrive_operator import __version__
from pipedrive_operator.adapters.http.causes import BROKEN, cause_chain
from pipedrive_operator.adapters.http.certificates import read_ca_file
from pipedrive_operator.adapters.http.pool import Open, Pools, exchange, reusing_transport
from pipedrive_operator.adapters.http.proxies import Proxy, describe_proxy_failure, rejects_credentials
from pipedrive_operator.adapters.http.response import Received, Response
from pipedrive_operator.adapters.http.retry_after import read_retry_after
from pipedrive_operator.adapters.http.tls import CertificateSource, Tls
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.config.settings import PipedriveSettings
from pipedrive_operator.core.values.errors import PipedriveUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.ports import Clock

CONCURRENCY: Final = 40
"""How many requests the shared connections carry at once. A namespace gets half of them at most, a host two thirds."""
LONGEST_BODY: Final = 256 * 1024
"""In bytes. The longest known response has 3 KiB; of a longer one the rest is left unread, so that it is no JSON."""
HEADERS: Final = {
    "User-Agent": f"pipedrive-operator/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
}
_EDGE: Final = b"cloudflare"
_CAUSES: Final = (
    (ssl.SSLCertVerificationError, "its certificate is not trusted; see pipedrive.caFile"),
    (ssl.SSLError, "the TLS handshake failed"),
    (socket.gaierror, "its name cannot be resolved"),
    (ConnectionRefusedError, "the connection was refused"),
    (TimeoutError, "no answer came in time"),
)


_DISCARD_UNSENT: Final = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""Makes the kernel discard unsent data when the connection closes, even if the process dies.

By default, it keeps sending for minutes: a refresh that timed out while the network was down would arrive after the
next one. See SO_LINGER in socket(7).
"""


class Connections:
    """Connections to Pipedrive as the settings describe them; nothing is read or opened before it is used."""

    def __init__(self, settings: PipedriveSettings, clock: Clock, open_shared: Open | None = None) -> None:
        """Take the settings; `open_shared` replaces the transport of the shared connections."""
        self._clock = clock
        self._proxy = _proxy(settings)
        self._pools = Pools(_tls(settings), open_shared or self._open_shared)

    async def exchange(self, request: httpx.Request) -> PipedriveResponse:
        """Send a request over the shared connections.

        Raises:
            PipedriveUnavailable: pipedrive.caFile or pipedrive.proxyCredentialsFile cannot be used.
            httpx.HTTPError, aiohttp.ClientError, OSError: no complete response came (`causes.BROKEN`).
        """
        pool = await self._pools.current()
        try:
            return self._pipedrive_response(await pool.exchange(request, longest_body=LONGEST_BODY))
        except BROKEN as error:
            self._pools.failed(error)
            if rejects_credentials(error):
                await self._pools.replace()
            raise

    async def fresh(self) -> httpx.AsyncHTTPTransport:
        """Open a connection for one request; nothing resends it, and its trace shows when the request leaves.

        Raises:
            PipedriveUnavailable: pipedrive.caFile or pipedrive.proxyCredentialsFile cannot be used.
        """
        pool = await self._pools.current()
        return httpx.AsyncHTTPTransport(
            verify=pool.context,
            trust_env=False,
            http1=True,
            http2=False,
            retries=0,
            proxy=self._httpx_proxy(),
            socket_options=[_DISCARD_UNSENT],
        )

    async def exchange_once(
        self, transport: httpx.AsyncHTTPTransport, request: httpx.Request, received: Received
    ) -> PipedriveResponse:
        """Send a request over a fresh connection; what arrives is put into `received` at once.

        Raises what `exchange` raises for a response that did not arrive completely.
        """
        try:
            return self._pipedrive_response(
                await exchange(transport, request, longest_body=LONGEST_BODY, received=received)
            )
        except BROKEN as error:
            self._pools.failed(error)
            raise

    def arrived(self, received: Received) -> PipedriveResponse | None:
        """Return what has arrived of a response; None if not even its status has."""
        response = received.response(longest_body=LONGEST_BODY)
        return None if response is None else replace(self._pipedrive_response(response), is_cut_off=True)

    def explain(self, error: BaseException, host: str) -> str:
        """Say why a request to a host failed, by the root cause; the libraries' own words change with addresses."""
        if self._proxy is not None and (failure := describe_proxy_failure(error, self._proxy, host)) is not None:
            return failure
        return f"{host}: {describe(error)}"

    async def aclose(self) -> None:
        """Close the shared connections."""
        await self._pools.aclose()

    def _httpx_proxy(self) -> httpx.Proxy | None:
        if self._proxy is None:
            return None
        try:
            return self._proxy.for_transports()
        except (OSError, ValueError) as error:
            message = (
                f"The credentials for the proxy cannot be read from {self._proxy.credentials_file}: correct "
                "pipedrive.proxyCredentialsFile, or write user:password to that file. Nothing was sent"
            )
            raise PipedriveUnavailable(message) from error

    def _open_shared(self, context: ssl.SSLContext) -> httpx.AsyncBaseTransport:
        return reusing_transport(context, proxy=self._httpx_proxy(), most_connections=CONCURRENCY)

    def _pipedrive_response(self, response: Response) -> PipedriveResponse:
        retry_after = read_retry_after(response.headers.get("retry-after"), self._clock.now())
        return PipedriveResponse(
            status=response.status,
            body=response.body,
            is_truncated=response.is_truncated,
            is_from_edge=is_from_edge(response),
            redirect=response.redirect,
            retry_after=retry_after,
        )


def is_from_edge(response: Response) -> bool:
    """Return whether Pipedrive's edge sent a response: Cloudflare names itself in a header, and on its pages."""
    return "cf-ray" in response.headers or _EDGE in response.body.lower()


def describe(error: BaseException) -> str:
    """Say what broke, by the root cause."""
    for cause in reversed(list(cause_chain(error))):
        for kind, words in _CAUSES:
            if isinstance(cause, kind):
                return words
    return "the connection broke"


def _proxy(settings: PipedriveSettings) -> Proxy | None:
    if settings.proxy is None:
        return None
    file = settings.proxy_credentials_file
    return Proxy(url=str(settings.proxy), setting="pipedrive.proxy", credentials_file=file)


def _tls(settings: PipedriveSettings) -> Tls:
    path = settings.ca_file
    if path is None:
        return Tls()

    def unusable() -> PipedriveUnavailable:
        return PipedriveUnavailable(
            f"The CA certificates for Pipedrive cannot be read from {path}: correct pipedrive.caFile, or write PEM "
            "certificates to that file. Nothing was sent"
        )

    async def read() -> SecretValue:
        try:
            return read_ca_file(path)
        except OSError as error:
            raise unusable() from error

    return Tls(ca=CertificateSource(read=read, unusable=unusable))
