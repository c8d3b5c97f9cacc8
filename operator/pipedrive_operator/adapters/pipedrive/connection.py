"""The ways to Pipedrive over HTTP, and what it means when they break. No answer is judged here.

Requests go to httpx's transports without its client on top: nothing can follow a redirect, keep a cookie, read the
environment or log an address.
"""

import socket
import ssl
from collections.abc import Iterator
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from pipedrive_operator import __version__
from pipedrive_operator.adapters.pipedrive.answer import HttpAnswer
from pipedrive_operator.adapters.pipedrive.retry_after import read_retry_after
from pipedrive_operator.config.settings import PipedriveSettings
from pipedrive_operator.ports import Clock

CONCURRENCY: Final = 20
"""How many requests the shared connections carry at once."""
LONGEST_BODY: Final = 256 * 1024
"""In bytes: the longest known answer has 3 KiB. What comes after is not read, and so what came is no JSON."""
BROKEN: Final = (httpx.HTTPError, aiohttp.ClientError, OSError)
"""What the transports raise for a connection; `TimeoutError` and TLS errors are an OSError."""
HEADERS: Final = {
    "User-Agent": f"pipedrive-operator/{__version__}",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
}
_CAUSES: Final = (
    (ssl.SSLCertVerificationError, "its certificate is not trusted; see pipedrive.caFile"),
    (ssl.SSLError, "no TLS connection came about"),
    (socket.gaierror, "its name cannot be resolved"),
    (ConnectionRefusedError, "the connection was refused"),
    (TimeoutError, "no answer came in time"),
    (httpx.ProxyError, "the proxy refused"),
)


class Connections:
    """Opens connections as the settings say."""

    def __init__(self, settings: PipedriveSettings) -> None:
        """Read the certificates. Raises OSError if `ca_file` cannot be read or holds none."""
        self._tls = _tls(settings)
        self._proxy = None if settings.proxy is None else httpx.Proxy(str(settings.proxy))

    def shared(self) -> httpx.AsyncBaseTransport:
        """Open connections to be reused, over aiohttp: a fifth of the CPU time."""
        return AiohttpTransport(verify=self._tls, trust_env=False, proxy=self._proxy, client=self._session)

    def fresh(self) -> httpx.AsyncHTTPTransport:
        """Open a way for one request; nothing resends it, and its trace tells when it leaves."""
        return httpx.AsyncHTTPTransport(
            verify=self._tls, trust_env=False, http1=True, http2=False, retries=0, proxy=self._proxy
        )

    def _session(self) -> aiohttp.ClientSession:
        """Open what is under the shared connections, in the running loop; one company's cookies are not another's."""
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=CONCURRENCY)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)


async def exchange(transport: httpx.AsyncBaseTransport, request: httpx.Request, clock: Clock) -> HttpAnswer:
    """Send a request and read the answer, as far as it is of any use. Raises one of BROKEN."""
    response = await transport.handle_async_request(request)
    try:
        body = b""
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > LONGEST_BODY:
                break
    finally:
        await response.aclose()
    retry_after = read_retry_after(response.headers.get("retry-after"), clock.now())
    return HttpAnswer(status=response.status_code, body=body[:LONGEST_BODY], retry_after=retry_after)


def describe(error: BaseException) -> str:
    """Say what broke, by the root of the matter: the libraries' own words carry addresses that change."""
    for cause in reversed(list(_chain(error))):
        for kind, words in _CAUSES:
            if isinstance(cause, kind):
                return words
    return "the connection broke"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        first = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else None
        error = first or error.__cause__ or error.__context__


def _tls(settings: PipedriveSettings) -> ssl.SSLContext:
    if settings.ca_file is None:
        return httpx.create_ssl_context(trust_env=False)
    return ssl.create_default_context(cadata=settings.ca_file.read_text())
