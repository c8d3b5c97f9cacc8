"""How a failed connection is described."""

import asyncio
import itertools
import socket
import ssl

import aiohttp
import httpx
import pytest

from pipedrive_operator.adapters.pipedrive.connection import describe


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
