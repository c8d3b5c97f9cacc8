"""A server that refuses every request and quotes all of it, like a debugging proxy or a hostile company's host."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Quote the request: unchanged, in halves and encoded."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        half = len(token) // 2
        encoded = base64.b64encode(token.encode()).decode()
        body = json.dumps({"error": f"no {token[:half]} {token}", "message": f"{encoded} {self.headers}"}).encode()
        self.send_response(HTTPStatus.IM_A_TEAPOT, token.split(":")[0])
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Echo", encoded)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the log of requests out of the test's output."""


@contextmanager
def echo() -> Iterator[str]:
    """Serve on a free port of loopback; yield the URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
