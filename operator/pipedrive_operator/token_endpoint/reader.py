"""Reads a connection request by request: bounds how many bytes and how much time one request may take.

`http.server` bounds each line and each silence, but a request may have a hundred lines of 64 KiB, and a client that
sends a byte now and again is never silent.
"""

from http.client import LineTooLong
from io import RawIOBase
from socket import socket
from time import monotonic
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LARGEST_REQUEST: Final = 80 * 1024
"""In bytes: the longest line that `http.server` reads (64 KiB) and a body fit, so that it can report its own errors."""


class RequestReader(RawIOBase):
    """The receiving side of a connection."""

    def __init__(self, connection: socket, seconds: float) -> None:
        """Take the connection, and how long each request may take in seconds."""
        super().__init__()
        self._connection = connection
        self._seconds = seconds
        self.begin()

    def begin(self) -> None:
        """Begin the next request: it has the whole time and size for itself."""
        self._left = LARGEST_REQUEST
        self._end = monotonic() + self._seconds

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        """Receive what has arrived.

        Raises `TimeoutError` or `LineTooLong` for a request that exceeds a bound; `http.server` handles both.
        """
        seconds = self._end - monotonic()
        if seconds <= 0:
            raise TimeoutError
        if self._left <= 0:
            raise LineTooLong("request")
        self._connection.settimeout(seconds)
        count = self._connection.recv_into(memoryview(buffer)[: self._left])
        self._left -= count
        return count
