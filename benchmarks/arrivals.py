"""Records when Secrets appear in a namespace, with a watch: polling would disturb the measurement."""

import http.client
import json
import queue
import socket
import ssl
import threading
import time
from contextlib import suppress
from typing import Any, Self

from benchmarks.parts import Account

_TIMEOUT_SECONDS = 30.0


class MissingError(Exception):
    """Some Secrets did not appear in time; the message says how many were expected."""


class Arrivals:
    """A watch of the Secrets in an account's namespace. Secrets that exist when `with` is entered do not count."""

    def __init__(self, account: Account) -> None:
        """Prepare the watch of an account's namespace."""
        self._account = account
        self._times: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._path = f"/api/v1/namespaces/{account.namespace}/secrets"

    def __enter__(self) -> Self:
        """Start the watch."""
        start = self._list()["metadata"]["resourceVersion"]
        connection = self._connect()
        connection.request("GET", f"{self._path}?watch=true&resourceVersion={start}", headers=self._account.headers)
        self._socket: socket.socket = connection.sock
        self._socket.settimeout(None)
        events = connection.getresponse()
        threading.Thread(target=self._note, args=(events,), name="arrivals", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the watch and its thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def wait(self, count: int, *, timeout: float) -> list[float]:
        """Return the monotonic times of the next `count` Secrets. Raises MissingError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        found: list[float] = []
        while len(found) < count:
            try:
                found.append(self._times.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                message = f"{len(found)} of {count} Secrets in {self._account.namespace} after {timeout:.0f} s"
                raise MissingError(message) from None
        return found

    def _note(self, events: http.client.HTTPResponse) -> None:
        with suppress(OSError, http.client.HTTPException, ValueError):
            while line := events.readline():
                if line.startswith(b'{"type":"ADDED"'):
                    self._times.put(time.monotonic())

    def _list(self) -> dict[str, Any]:
        connection = self._connect()
        try:
            connection.request("GET", f"{self._path}?limit=1", headers=self._account.headers)
            listed: dict[str, Any] = json.load(connection.getresponse())
        finally:
            connection.close()
        return listed

    def _connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self._account.ca)
        return http.client.HTTPSConnection("127.0.0.1", self._account.port, timeout=_TIMEOUT_SECONDS, context=context)
