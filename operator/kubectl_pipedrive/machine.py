"""What `connect` needs of the person's own machine: randomness, a browser, a hidden prompt, a port on loopback.

No secret value becomes an argument of a program: the browser is started with an address on loopback that works once,
and is redirected from there.
"""

import base64
import errno
import getpass
import hashlib
import http.server
import os
import queue
import secrets
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import urlsplit

from kubectl_pipedrive.errors import PortTaken

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
"""For names: without vowels, like generated names of Kubernetes, so that no words can occur."""
_SLOWEST_REQUEST: Final = 5.0
_STYLE: Final = (
    ":root{color-scheme:light dark}body{margin:0;min-height:100vh;display:grid;place-items:center;font:1rem/1.5 "
    "system-ui,sans-serif}main{max-width:32rem;padding:1.5rem}h1{margin:0 0 .5rem;font-size:1.5rem}p{margin:0}"
)
_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    ),
    "Content-Type": "text/html; charset=utf-8",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PAGE: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    f"<title>{{title}}</title><style>{_STYLE.replace('{', '{{').replace('}', '}}')}</style>"
    "<main><h1>{title}</h1><p>{text}</p></main>"
)
_HTTP: Final = 80
_NOTHING: Final = "There is nothing here"
_NO_SUCH_FAMILY: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
_RECEIVED: Final = "The answer has arrived. Return to the terminal, which shows the result. You can close this page."
_ONCE: Final = "If that was not you, press Ctrl-C in the terminal. Otherwise copy the link from there."


@dataclass(frozen=True, slots=True)
class LoopbackResponse:
    """What a port on loopback answers: a page, or a redirect to a location."""

    status: HTTPStatus
    title: str = ""
    text: str = ""
    location: str = field(default="", repr=False)


class Machine(Protocol):
    """The person's own machine."""

    def random_bytes(self, count: int) -> bytes:
        """Return random bytes for a key."""

    def random_name(self, length: int) -> str:
        """Return random letters and digits for a name."""

    def ask_hidden(self, prompt: str) -> str:
        """Return a line that the person pastes, without showing it. Raises EOFError at the end of the input."""

    def open_browser(self, address: str) -> bool:
        """Open an address that contains a secret value, and return whether there is a browser."""

    def callback(self, redirect_uri: str) -> "AbstractContextManager[Callback]":
        """Listen at a redirect URI on loopback. Raises PortTaken."""

    def uninterrupted(self) -> "AbstractContextManager[None]":
        """Let nobody interrupt the block, nor the programs that it starts."""


class Callback(Protocol):
    """A port on loopback that receives Pipedrive's redirect."""

    def take(self, seconds: float) -> str | None:
        """Return the query of the next redirect; None if none comes in time."""


class LocalMachine:
    """This machine."""

    def random_bytes(self, count: int) -> bytes:
        """Return random bytes for a key."""
        return secrets.token_bytes(count)

    def random_name(self, length: int) -> str:
        """Return random letters and digits for a name."""
        return "".join(secrets.choice(_ALPHABET) for _ in range(length))

    def ask_hidden(self, prompt: str) -> str:
        """Return a line that the person pastes, without showing it. Raises EOFError at the end of the input."""
        if sys.stdin.isatty():
            return getpass.getpass(prompt)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line

    def open_browser(self, address: str) -> bool:
        """Open an address that contains a secret value, and return whether there is a browser.

        Other users of the machine can read the arguments of a program, so the browser gets an address without it.
        """
        if not _has_screen():
            return False
        once = _Once(address)
        server = _start("127.0.0.1", 0, once.reply)  # a daemon thread serves it until the command ends
        return webbrowser.open(f"http://127.0.0.1:{server.server_port}{once.path}")

    @contextmanager
    def callback(self, redirect_uri: str) -> "Iterator[LocalCallback]":
        """Listen at a redirect URI on loopback, for IPv4 and IPv6 if it says localhost. Raises PortTaken."""
        parts = urlsplit(redirect_uri)
        hosts = ("127.0.0.1", "::1") if parts.hostname == "localhost" else (parts.hostname or "",)
        callback = LocalCallback(parts.path or "/")
        with ExitStack() as stack:
            for host in hosts:
                try:
                    server = _start(host, parts.port or _HTTP, callback.reply)
                except OSError as error:
                    if error.errno in _NO_SUCH_FAMILY and host != hosts[0]:
                        continue  # a machine without IPv6
                    raise PortTaken(parts.netloc) from error
                stack.callback(server.server_close)
                stack.callback(server.shutdown)
            yield callback

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Let nobody interrupt the block, nor the programs that it starts: people press Ctrl-C twice."""
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, signal.SIG_IGN) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class LocalCallback:
    """Receives redirects at one path, and hands their queries to another thread."""

    def __init__(self, path: str) -> None:
        """Receive at a path."""
        self._path = path
        self._queries: queue.Queue[str] = queue.Queue()

    def take(self, seconds: float) -> str | None:
        """Return the query of the next redirect; None if none comes in time."""
        try:
            return self._queries.get(timeout=seconds)
        except queue.Empty:
            return None

    def reply(self, target: str) -> LoopbackResponse:
        """Keep the query, and redirect to the address without it, so that the code leaves the address bar."""
        path, mark, query = target.partition("?")
        if path != self._path:
            return LoopbackResponse(HTTPStatus.NOT_FOUND, _NOTHING)
        if not mark:
            return LoopbackResponse(HTTPStatus.OK, "Received", _RECEIVED)
        self._queries.put(query)
        return LoopbackResponse(HTTPStatus.SEE_OTHER, location=path)


class _Once:
    """Redirects the first request for a random path."""

    def __init__(self, address: str) -> None:
        self.path = f"/{secrets.token_urlsafe(16)}"
        self._address: str | None = address
        self._lock = threading.Lock()

    def reply(self, target: str) -> LoopbackResponse:
        if not secrets.compare_digest(target.encode(), self.path.encode()):
            return LoopbackResponse(HTTPStatus.NOT_FOUND, _NOTHING)
        with self._lock:
            address, self._address = self._address, None
        return (
            LoopbackResponse(HTTPStatus.GONE, "This address was used already", _ONCE)
            if address is None
            else LoopbackResponse(HTTPStatus.SEE_OTHER, location=address)
        )


def _has_screen() -> bool:
    """Return whether a browser has a screen: a browser in the terminal would take the terminal away."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class _Server(http.server.ThreadingHTTPServer):
    """A small web server on loopback."""

    daemon_threads = True

    def __init__(self, host: str, port: int, reply: Callable[[str], LoopbackResponse]) -> None:
        """Listen; another program's port is not taken over. Raises OSError."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.reply = reply
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without looking up the name of the host, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", int(self.socket.getsockname()[1])


class _Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET, and logs nothing: a query contains a code."""

    timeout = _SLOWEST_REQUEST
    server: _Server

    def do_GET(self) -> None:
        """Answer with a page or a redirect."""
        reply = self.server.reply(self.path)
        body = _PAGE.format(title=reply.title, text=reply.text).encode() if reply.title else b""
        self.send_response(reply.status)
        for name, value in {**_HEADERS, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        if reply.location:
            self.send_header("Location", reply.location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _start(host: str, port: int, reply: Callable[[str], LoopbackResponse]) -> _Server:
    server = _Server(host, port, reply)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    return server
