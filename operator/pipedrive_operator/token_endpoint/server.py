"""The endpoint over HTTP: bounds what a connection may cost, and answers each request with `reply.reply`.

Nothing is decided here about a request, and no request, header or token is logged.
"""

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedReader
from socket import AF_INET6
from socketserver import BaseServer, TCPServer
from typing import Any, Final

from pipedrive_operator.token_endpoint.reader import RequestReader
from pipedrive_operator.token_endpoint.reply import EndpointRequest, TokenReply

LARGEST_BODY: Final = 8192
"""In bytes; a token request needs a few hundred."""
_LONGEST_LENGTH: Final = 9
"""In digits, of a Content-Length: leading zeros must not hide a large number."""
LONGEST_REQUEST: Final = 15.0
"""In seconds: how long a connection may take to send its next complete request, the silence before it included."""
MOST_CONNECTIONS: Final = 64
"""At once; more wait in the kernel's backlog."""

_AUTHORITY: Final = re.compile(r"https?://[^/?]*", re.IGNORECASE)

Responder = Callable[[EndpointRequest, datetime], TokenReply]


class TokenServer(ThreadingHTTPServer):
    """Serves the endpoint until it is shut down."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = MOST_CONNECTIONS
    """The length of the kernel's backlog. With the 5 of `socketserver`, parallel requests were reset."""

    def __init__(self, host: str, port: int, reply: Responder) -> None:
        """Listen on an address; port 0 takes a free one."""
        if ":" in host:
            self.address_family = AF_INET6
        self.reply = reply
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind the socket without looking up the host's name, which takes seconds where DNS does not answer."""
        TCPServer.server_bind(self)

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  as socketserver has it
        """Start a thread for a connection once one of the allowed number is free."""
        self._free.acquire()
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # the container has a limit on threads, and no thread that would free the place
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  as socketserver has it
        """Serve a connection, and free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  as socketserver has it
        """Ignore a broken connection: its client is gone."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "pipedrive-operator"
    sys_version = ""
    timeout = LONGEST_REQUEST
    server: BaseServer

    def setup(self) -> None:
        """Read the connection through the bounds on a request."""
        super().setup()
        self.rfile.close()
        self._reader = RequestReader(self.connection, LONGEST_REQUEST)
        self.rfile = BufferedReader(self._reader)

    def handle_one_request(self) -> None:
        """Serve one request within its own bounds."""
        self._reader.begin()
        super().handle_one_request()

    def do_POST(self) -> None:
        if self._route() != "/token":
            self._refuse(HTTPStatus.NOT_FOUND, "POST to /token")
            return
        body = self._body()
        if body is None:
            return
        request = EndpointRequest(
            content_type=self.headers.get("Content-Type", ""),
            authorization=self.headers.get("Authorization"),
            body=body,
        )
        assert isinstance(self.server, TokenServer)  # noqa: S101  for the type alone
        self._send(self.server.reply(request, datetime.now(UTC)))

    def do_GET(self) -> None:
        # A body here is not read, so the connection cannot be used again: the body would count as the next request.
        self.close_connection |= "Content-Length" in self.headers or "Transfer-Encoding" in self.headers
        if self._route() == "/healthz":
            self._send(TokenReply(status=HTTPStatus.OK, body={"status": "ok"}))
        elif self._route() == "/token":
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "use POST", {"Allow": "POST"})
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "use POST /token or GET /healthz")

    do_HEAD = do_GET  # noqa: N815  as the library has it

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002  as the library has it
        """Refuse in JSON what the library cannot parse or does not support."""
        self._refuse(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def _route(self) -> str:
        """Return the path; clients that are set up for a proxy put the address before it (RFC 9112 section 3.2.2)."""
        return _AUTHORITY.sub("", self.path, count=1).split("?")[0]

    def _body(self) -> bytes | None:
        """Return the body; None where it was refused."""
        length, *others = self.headers.get_all("Content-Length", [""])
        if others or "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "send one Content-Length and no Transfer-Encoding")
            return None
        if len(length) > _LONGEST_LENGTH or int(length) > LARGEST_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {LARGEST_BODY} bytes")
            return None
        return self.rfile.read(int(length))

    def _refuse(self, status: HTTPStatus, description: str, headers: dict[str, str] | None = None) -> None:
        self.close_connection = True
        body = {"error": "invalid_request", "error_description": description}
        self._send(TokenReply(status=status, body=body, headers=headers or {}))

    def _send(self, reply: TokenReply) -> None:
        content = reply.content()
        self.send_response(reply.status)
        fixed = {"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"}
        if self.close_connection:
            fixed["Connection"] = "close"
        for name, value in {**fixed, **reply.headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as the library has it
        """Log nothing: a request line may hold a secret that was put there by mistake."""
