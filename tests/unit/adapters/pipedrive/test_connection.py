"""How a failed connection is described, and whose response it is."""

import asyncio
import itertools
import socket
import ssl

import aiohttp
import httpx
import pytest

from pipedrive_operator.adapters.http.response import Response
from pipedrive_operator.adapters.pipedrive.connection import describe, is_from_edge


def caused(*chain: BaseException) -> BaseException:
    """Chain errors as libraries do, the outermost first."""
    for error, cause in itertools.pairwise(chain):
        error.__cause__ = cause
    return chain[0]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (caused(httpx.ConnectError(""), socket.gaierror()), "its name cannot be resolved"),
        (caused(httpx.ConnectError(""), OSError(), ConnectionRefusedError()), "the connection was refused"),
        (caused(httpx.ConnectError(""), ssl.SSLCertVerificationError()), "its certificate is not trusted"),
        (caused(httpx.ConnectError(""), ssl.SSLError()), "the TLS handshake failed"),
        (caused(TimeoutError(), asyncio.CancelledError()), "no answer came in time"),
        (caused(httpx.ConnectTimeout(""), aiohttp.ServerDisconnectedError()), "the connection broke"),
        (
            caused(OSError(), ExceptionGroup("both", [ConnectionRefusedError(), OSError()])),
            "the connection was refused",
        ),
    ],
)
def test_the_root_cause_is_named(error: BaseException, words: str) -> None:
    """The aiohttp transport reports a lost connection as a time-out; its cause is right."""
    assert describe(error).startswith(words)


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"CF-RAY": "8c1d", "Server": "cloudflare"}, b"<!doctype html>", True),
        ({}, b"<!doctype html><title>Attention Required! | Cloudflare</title>", True),
        ({"Server": "squid", "Via": "1.1 proxy"}, b"<!doctype html><title>Access denied</title>", False),
        ({}, b"", False),
    ],
)
def test_the_edge_names_itself(headers: dict[str, str], body: bytes, *, expected: bool) -> None:
    """The page of a proxy in between does not."""
    assert is_from_edge(Response(status=403, headers=httpx.Headers(headers), body=body)) is expected
