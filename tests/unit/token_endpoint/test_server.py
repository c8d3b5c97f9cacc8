"""What one connection may cost the token endpoint, and what it may not change for the next one."""

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import LineTooLong
from io import BufferedReader
from socketserver import ThreadingMixIn
from typing import Self

import pytest

from pipedrive_operator.token_endpoint import command, reader
from pipedrive_operator.token_endpoint.reader import LARGEST_REQUEST, RequestReader
from pipedrive_operator.token_endpoint.reply import TokenReply
from pipedrive_operator.token_endpoint.server import MOST_CONNECTIONS, TokenServer

LONGEST = 15.0
GRANT = b"grant_type=client_credentials"


@pytest.fixture
def server() -> Iterator[TokenServer]:
    """Run a server in this process; it answers each token request with 200."""
    with TokenServer("127.0.0.1", 0, lambda *_: TokenReply(status=HTTPStatus.OK, body={})) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield found
        threading.Thread(target=found.shutdown, daemon=True).start()  # it waits forever for a server that hangs
        thread.join(timeout=10)


@contextmanager
def connected(server: TokenServer) -> Iterator[socket.socket]:
    """Connect to a server."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        yield client


def received(client: socket.socket) -> bytes:
    """Return everything that the server sends until it closes the connection."""
    client.shutdown(socket.SHUT_WR)
    return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_a_client_that_is_never_silent_still_runs_out_of_time(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte every few seconds would otherwise occupy a connection for as long as the client likes."""
    times = iter((0.0, 0.0, 14.0, 15.0, 15.0, 29.0))
    monkeypatch.setattr(reader, "monotonic", lambda: next(times))
    client, connection = pair
    client.sendall(b"abc")
    request = RequestReader(connection, LONGEST)
    request.begin()

    assert b"a" == request.read(1)
    with pytest.raises(TimeoutError):
        request.read(1)
    request.begin()
    assert b"b" == request.read(1)


def test_a_request_has_a_largest_size(pair: tuple[socket.socket, socket.socket]) -> None:
    """The next request has the whole size for itself."""
    client, connection = pair
    client.sendall(b"x" * (LARGEST_REQUEST + 1))
    request = RequestReader(connection, LONGEST)

    with pytest.raises(LineTooLong):
        BufferedReader(request).read(LARGEST_REQUEST + 1)
    request.begin()
    assert b"x" == request.read(1)


def test_many_long_headers_are_refused(server: TokenServer) -> None:
    """The library allows a hundred lines of 64 KiB: 64 connections would take 400 MiB, and a sidecar has 64."""
    head = b"GET /healthz HTTP/1.1\r\n" + b"a: " + b"x" * 60_000 + b"\r\nb: "
    with connected(server) as client:
        client.sendall(head.ljust(LARGEST_REQUEST, b"x"))

        assert client.recv(12) == b"HTTP/1.1 431"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 29\r\nTransfer-Encoding: chunked",
        b"Content-Length: 29\r\nContent-Length: 5",
    ],
    ids=["chunked too", "two lengths"],
)
def test_a_body_of_ambiguous_length_is_refused(server: TokenServer, head: bytes) -> None:
    """RFC 9112 section 6.3: a proxy before the endpoint may read a different request."""
    with connected(server) as client:
        client.sendall(b"POST /token HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n" + GRANT)

        assert client.recv(12) == b"HTTP/1.1 411"


def test_the_body_of_a_get_is_not_served_as_the_next_request(server: TokenServer) -> None:
    """The connection is closed, since the body was not read."""
    inner = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with connected(server) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(inner) + inner)

        assert 1 == received(client).count(b"HTTP/1.1 200")


def test_a_thread_that_cannot_start_does_not_take_a_connection(
    server: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may have a limit on its threads. Once they can start again, connections are served again."""

    def fails(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(ThreadingMixIn, "process_request", fails)
        for _ in range(MOST_CONNECTIONS + 1):
            with connected(server) as client:
                assert b"" == received(client)

    with connected(server) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_the_host_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library asks DNS for its name, which would delay the start by seconds where DNS does not answer."""

    def fails(*_: object) -> str:
        pytest.fail("looked up")

    monkeypatch.setattr(socket, "getfqdn", fails)

    with TokenServer("127.0.0.1", 0, lambda *_: TokenReply(status=HTTPStatus.OK, body={})) as server:
        assert server.port


def test_an_ipv6_address_is_printed_as_a_url(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is in brackets (RFC 3986 section 3.2.2), so that it can be copied into a client."""

    class Server:
        port = 8081

        def __init__(self, *_: object) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def serve_forever(self) -> None:
            pass

    monkeypatch.setattr(command, "TokenServer", Server)
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    assert 0 == command.main(["--host", "::1"])
    assert "http://[::1]:8081/token" in capsys.readouterr().err
