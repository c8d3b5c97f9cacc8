"""A small JSON client of one API server, with watches: for many requests, which are slow with kubectl.

It shares no code with the operator's own client, whose mistakes could otherwise hide in the tests.
"""

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

from testbed.certificates import KeyPair

Json = dict[str, Any]
_TIMEOUT_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.2


class ApiError(Exception):
    """The API server rejected a request or did not respond; `causes` lists the invalid fields with explanations."""

    def __init__(self, message: str, causes: Sequence[tuple[str, str]] = ()) -> None:
        """Store the message and the causes."""
        super().__init__(message)
        self.causes = causes


class ApiNotFoundError(ApiError):
    """The object does not exist."""


class ApiClient:
    """Sends requests of one user to one API server; safe to use from several threads."""

    def __init__(self, *, port: int, ca: Path, client: KeyPair) -> None:
        """Send requests to 127.0.0.1:`port`."""
        self._port = port
        self._tls = ssl.create_default_context(cafile=ca)
        self._tls.load_cert_chain(client.public, client.key)

    def get(self, path: str) -> Json:
        """Return the object or list at a path such as `/api/v1/namespaces/x/secrets`. Raises ApiError."""
        return self._send("GET", path)

    def find(self, path: str) -> Json | None:
        """Return the object or list at a path, or None if it does not exist. Raises ApiError."""
        try:
            return self.get(path)
        except ApiNotFoundError:
            return None

    def create(self, path: str, body: Json) -> Json:
        """Create an object in a collection. Raises ApiError."""
        return self._send("POST", path, json.dumps(body))

    def delete(self, path: str) -> Json:
        """Delete an object. Raises ApiError."""
        return self._send("DELETE", path)

    def merge_patch(self, path: str, patch: Json) -> Json:
        """Patch an object. Raises ApiError."""
        return self._send("PATCH", path, json.dumps(patch))

    def watch(self, path: str, see: Callable[[float, str, Json], None]) -> "ApiWatch":
        """Watch a collection; `see` is called in another thread with the time, type and object of each event."""
        return ApiWatch(self, path, see)

    def connect(self) -> http.client.HTTPSConnection:
        """Open a connection."""
        return http.client.HTTPSConnection("127.0.0.1", self._port, timeout=_TIMEOUT_SECONDS, context=self._tls)

    def _send(self, method: str, path: str, body: str | None = None) -> Json:
        sent = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Accept": "application/json", "Content-Type": sent}
        try:
            with closing(self.connect()) as connection:
                connection.request(method, path, body=body, headers=headers)
                response = connection.getresponse()
                answer: Json = json.load(response)
        except (OSError, http.client.HTTPException, ValueError) as error:
            message = f"the API server did not respond: {error}"
            raise ApiError(message) from error
        if response.status >= HTTPStatus.MULTIPLE_CHOICES:
            message = f"{method} {path}: {response.status} {answer.get('message', '')}"
            causes = [(one["field"], one["message"]) for one in answer.get("details", {}).get("causes", ())]
            raise (ApiNotFoundError if response.status == HTTPStatus.NOT_FOUND else ApiError)(message, causes)
        return answer


class ApiWatch:
    """A watch during a `with` block; it lists again after a broken connection, so the latest state is never missed."""

    def __init__(self, client: ApiClient, path: str, see: Callable[[float, str, Json], None]) -> None:
        """Describe the watch; it starts with the `with` block."""
        self._client = client
        self._path = path
        self._see = see
        self._ended = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name=f"watch {path}", daemon=True)

    def __enter__(self) -> Self:
        """Start watching."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self._ended.set()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=_TIMEOUT_SECONDS)

    def _run(self) -> None:
        while not self._ended.is_set():
            with suppress(ApiError, OSError, http.client.HTTPException, ValueError):
                self._follow(self._list())
            self._ended.wait(_PAUSE_SECONDS)

    def _list(self) -> str:
        """Report every existing object as `ADDED`, and return the resourceVersion to watch from."""
        listed = self._client.get(self._path)
        for item in listed["items"]:
            self._see(time.time(), "ADDED", item)
        return str(listed["metadata"]["resourceVersion"])

    def _follow(self, version: str) -> None:
        with closing(self._client.connect()) as connection:
            connection.request("GET", f"{self._path}?watch=true&resourceVersion={version}")
            self._socket = connection.sock
            self._socket.settimeout(None)
            events = connection.getresponse()
            while not self._ended.is_set() and (line := events.readline()):
                seen_at = time.time()
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self._see(seen_at, event["type"], event["object"])
