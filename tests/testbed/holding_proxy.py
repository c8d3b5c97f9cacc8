"""An HTTP proxy before OpenBao that holds back single requests or responses, so that a test can kill a client there.

It forwards everything else unchanged. A write that is held back `BEFORE` has no effect; one that is held back `AFTER`
has its effect, and only the acknowledgement is missing; one that is `REFUSED` fails with status 403, again and again.
"""

import http.client
import threading
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self

_HOST: Final = "127.0.0.1"
_TIMEOUT: Final = 30.0
_FORWARDED: Final = ("X-Vault-Token", "X-Vault-Namespace", "X-Vault-Request", "Content-Type")
_REFUSAL: Final = b'{"errors": ["permission denied"]}'


class Hold(Enum):
    """What happens to a write."""

    BEFORE = auto()
    AFTER = auto()
    REFUSED = auto()


@dataclass
class _Rule:
    path: str
    number: int
    hold: Hold
    struck: threading.Event = field(default_factory=threading.Event)


class HoldingProxy:
    """A proxy that listens at `url` during a `with` block."""

    def __init__(self, port: int) -> None:
        """Prepare a proxy before a server at a loopback port."""
        self._target = port
        self._rules: list[_Rule] = []
        self._writes: Counter[str] = Counter()
        self._open = threading.Event()
        self._server = ThreadingHTTPServer((_HOST, 0), self._handler())
        self.url = f"http://{_HOST}:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Start to listen."""
        threading.Thread(target=self._server.serve_forever, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let everything go, and stop."""
        self._open.set()
        self._server.shutdown()
        self._server.server_close()

    def hold(self, path: str, number: int, hold: Hold) -> threading.Event:
        """Hold back a write from now on (1 is the next) to a path that ends so; the event is set when it arrives."""
        rule = _Rule(path, number + self._writes[path], hold)
        self._rules.append(rule)
        return rule.struck

    def _hold_for(self, path: str) -> Hold | None:
        """Count a write, and return what happens to it."""
        for rule in self._rules:
            if path.endswith(rule.path):
                self._writes[rule.path] += 1
                is_due = self._writes[rule.path] == rule.number
                if is_due or (rule.hold is Hold.REFUSED and self._writes[rule.path] > rule.number):
                    rule.struck.set()
                    return rule.hold
        return None

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection(_HOST, self._target, timeout=_TIMEOUT)
        headers = {name: request.headers[name] for name in _FORWARDED if name in request.headers}
        try:
            connection.request(request.command, request.path, body=body or None, headers=headers)
            response = connection.getresponse()
            return response.status, response.headers.get("Content-Type", "application/json"), response.read()
        finally:
            connection.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                hold = proxy._hold_for(self.path) if self.command in {"POST", "PUT"} else None
                if hold is Hold.BEFORE:
                    proxy._open.wait()
                    self.close_connection = True
                    return
                if hold is Hold.REFUSED:
                    self.answer(403, "application/json", _REFUSAL)
                    return
                answer = proxy._forward(self, body)
                if hold is Hold.AFTER:
                    proxy._open.wait()
                self.answer(*answer)

            do_GET = do_POST = do_PUT = do_DELETE = do_LIST = handle_any  # noqa: N815  http.server's names

            def answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Write no access log."""

        return Handler
