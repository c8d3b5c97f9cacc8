"""Many clients of the operator's port: `python -m attack.crowd PORT`. They stop after ten minutes.

They run in a process of their own, so that they do not slow down the measurements.
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
"""Seconds after which the clients stop."""
_TIMEOUT: Final = 5.0


def main(port: int) -> None:
    """Connect to a port of this machine."""
    until = time.monotonic() + LONGEST
    with ExitStack() as stack:
        for _ in range(READERS):
            threading.Thread(target=_read, args=(port, until), daemon=True).start()
        for _ in range(IDLE):
            with suppress(OSError):
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT))
        time.sleep(max(0.0, until - time.monotonic()))


def _read(port: int, until: float) -> None:
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT) as connection:
            connection.sendall(request)
            connection.recv(65536)


if __name__ == "__main__":
    main(int(sys.argv[1]))
