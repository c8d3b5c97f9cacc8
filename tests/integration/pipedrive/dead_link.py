"""Sends a refresh over a link that dies at the fence, and reports what arrives once the link works again.

Runs in a network namespace of its own, whose loopback device is the link: `unshare --net python -m
integration.pipedrive.dead_link`. The refresh is sent by a child process, which gives up or is killed (`--kill`).
"""

import asyncio
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from integration.pipedrive.acme import CLIENT, adapter
from pipedrive_operator.core.values.errors import Trouble
from pipedrive_operator.core.values.secret_value import SecretValue

_ROOT: Final = Path(__file__).parents[2]
_SENDER: Final = "--send-to"
_TIMEOUT: Final = timedelta(seconds=1.5)
"""The connection must be open by then, on a busy machine, too."""
_SENDING_SECONDS: Final = 0.5
"""The sender has handed its request to the kernel by then."""
_RESENDING_SECONDS: Final = 5.0
"""A kernel resends after 0.2, 0.6, 1.4, 3 and 6.2 seconds."""


def main() -> None:
    """Print how many bytes arrived."""
    if _SENDER in sys.argv:
        asyncio.run(_send(int(sys.argv[-1])))
        return
    _link("up")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arrived = bytearray()
        threading.Thread(target=_receive, args=(listener, arrived), daemon=True).start()
        with _start_sender(listener.getsockname()[1]) as sender:
            assert sender.stdout is not None
            assert sender.stdout.readline() == b"the link is down\n"
            if "--kill" in sys.argv:
                threading.Event().wait(_SENDING_SECONDS)
                sender.kill()
        _link("up")
        threading.Event().wait(_RESENDING_SECONDS)
        sys.stdout.write(f"{len(arrived)}\n")


async def _send(port: int) -> None:
    async def fence() -> None:
        _link("down")
        sys.stdout.write("the link is down\n")
        sys.stdout.flush()

    async with adapter(f"http://127.0.0.1:{port}", timeout=_TIMEOUT) as api:
        with suppress(Trouble):
            await api.refresh(CLIENT, SecretValue("seed"), fence=fence)


def _start_sender(port: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "integration.pipedrive.dead_link", _SENDER, str(port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=_ROOT)


def _receive(listener: socket.socket, arrived: bytearray) -> None:
    connection, _ = listener.accept()
    with connection, suppress(ConnectionError):
        while chunk := connection.recv(65536):
            arrived += chunk


def _link(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


if __name__ == "__main__":
    main()
