"""A crowd at the operator's port: `python -m attack.crowd PORT`. It stops after a time, or when it is stopped.

It runs in a process of its own, so that it does not slow down those who watch what the others notice.
"""

import socket
import sys
import threading
import time
from contextlib import ExitStack, suppress
from typing import Final

IDLE: Final = 1000
"""Connections that send nothing."""
READERS: Final = 80
LONGEST: Final = 600.0
"""Seconds after which the crowd ends by itself."""
_PATIENCE: Final = 5.0


def main(port: int) -> None:
    """Crowd around a port of this machine."""
    until = time.monotonic() + LONGEST
    with ExitStack() as stack:
        for _ in range(READERS):
            threading.Thread(target=_read, args=(port, until), daemon=True).start()
        for _ in range(IDLE):
            with suppress(OSError):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE))
        time.sleep(max(0.0, until - time.monotonic()))


def _read(port: int, until: float) -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
            connection.sendall(request)
            connection.recv(65536)


if __name__ == "__main__":
    main(int(sys.argv[1]))
