"""Distinguishes failures of an HTTP proxy from those of the service behind it, so that messages name the right one."""

import socket
from base64 import b64encode
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
import httpx

from pipedrive_operator.adapters.http.causes import caused_by
from pipedrive_operator.core.values.secret_value import SecretValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A forward proxy as the settings name it."""

    url: str
    setting: str
    credentials_file: Path | None = None
    """Contains `user:password`."""

    def __str__(self) -> str:
        """Return the address, and the setting."""
        url = httpx.URL(self.url)
        return f"the proxy {url.scheme}://{url.host}{'' if url.port is None else f':{url.port}'} ({self.setting})"

    def for_transports(self) -> httpx.Proxy:
        """Return the proxy with its credentials in a header, which is the only form that all transports support.

        Raises:
            OSError, ValueError: the file with the credentials cannot be read.
        """
        if self.credentials_file is None:
            return httpx.Proxy(self.url)
        credentials = SecretValue(self.credentials_file.read_text())
        encoded = b64encode(credentials.reveal().encode()).decode()
        return httpx.Proxy(self.url, headers={"Proxy-Authorization": f"Basic {encoded}"})


def describe_proxy_failure(error: BaseException, proxy: Proxy, target: str) -> str | None:
    """Say what is wrong with a proxy and what to do; None if the failure is not the proxy's.

    With a proxy, the operator resolves only the proxy's name, and connects only to the proxy. `target` is the host
    behind it.
    """
    status = _refusal(error)
    if status is not None:
        return f"{proxy} {_advice(status, proxy.setting, target)}"
    if caused_by(error, socket.gaierror):
        return f"{proxy} has a name that cannot be resolved: correct {proxy.setting}"
    if caused_by(error, ConnectionRefusedError):
        return f"{proxy} refused the connection: check that it runs"
    if caused_by(error, httpx.ProxyError) or caused_by(error, aiohttp.ClientConnectorError):
        return f"{proxy} cannot be reached: check that it runs, and {proxy.setting}"
    return None


def rejects_credentials(error: BaseException) -> bool:
    """Return whether a proxy rejected the credentials (RFC 9110 section 15.5.8); their file may have changed since."""
    return _refusal(error) == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED


def describe_page(status: int) -> str | None:
    """Say which proxy may answer with a status and a page instead of JSON; None if the status points at none.

    Only a proxy answers 407, and it has not forwarded the request then (RFC 9110 section 15.5.8).
    """
    match status:
        case HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return "a proxy in between requires credentials; exempt the operator from them"
        case HTTPStatus.BAD_GATEWAY | HTTPStatus.SERVICE_UNAVAILABLE | HTTPStatus.GATEWAY_TIMEOUT:
            return "it looks like the page of a proxy or load balancer that cannot reach it; check those in between"
        case _:
            return None


def _refusal(error: BaseException) -> int | None:
    """Return the status with which the proxy answered CONNECT; None if it did not."""
    if (refused := caused_by(error, aiohttp.ClientHttpProxyError)) is not None:
        return refused.status
    first = str(caused_by(error, httpx.ProxyError) or "").split(" ")[0]
    return int(first) if first.isascii() and first.isdigit() and len(first) == len("407") else None


def _advice(status: int, setting: str, target: str) -> str:
    match status:
        case HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            return (
                f"requires credentials (HTTP {status}): correct those in {setting}CredentialsFile, or exempt the "
                "operator from them"
            )
        case HTTPStatus.FORBIDDEN:
            return f"denied the connection to {target} (HTTP {status}): allow it there"
        case HTTPStatus.BAD_GATEWAY | HTTPStatus.SERVICE_UNAVAILABLE | HTTPStatus.GATEWAY_TIMEOUT:
            return f"could not reach {target} (HTTP {status}): check the proxy's network and its log"
        case _:
            return f"refused to connect to {target} (HTTP {status}): check the proxy's log"
