"""Finds out why a connection failed. Libraries wrap the error of the socket several times; the root cause is inside."""

import ssl
from collections.abc import Iterator
from typing import Final, TypeVar

import aiohttp
import httpx

BROKEN: Final = (httpx.HTTPError, aiohttp.ClientError, OSError)
"""What the transports raise when a connection fails. `TimeoutError` and every TLS error are an OSError."""

Error = TypeVar("Error", bound=BaseException)


def cause_chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it, the outermost first. In a group, the first error is followed."""
    while error is not None:
        yield error
        first = error.exceptions[0] if isinstance(error, BaseExceptionGroup) else None
        error = first or error.__cause__ or error.__context__


def caused_by(error: BaseException, kind: type[Error]) -> Error | None:
    """Return the outermost error of a kind in the chain of causes; None if there is none."""
    return next((link for link in cause_chain(error) if isinstance(link, kind)), None)


def is_about_tls(error: BaseException) -> bool:
    """Return whether a TLS handshake failed: reading the certificates again may help."""
    return caused_by(error, ssl.SSLError) is not None
