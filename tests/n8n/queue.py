"""The message queue between the main process of n8n and its workers: a Valkey server on a port of its own."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from n8n.install import valkey
from testbed.processes import ChildProcess, free_port


@contextmanager
def queue(folder: Path) -> Iterator[dict[str, str]]:
    """Run the queue, and yield the environment with which n8n uses it."""
    port = free_port()
    nothing_kept = ("--save", "", "--appendonly", "no", "--dir", str(folder))
    command = [str(valkey()), "--port", str(port), "--bind", "127.0.0.1", *nothing_kept]
    process = ChildProcess(command, log=folder / "valkey.log")
    process.start()
    try:
        process.wait_ready(lambda: _answers(port), timeout=30)
        yield {
            "EXECUTIONS_MODE": "queue",
            "QUEUE_BULL_REDIS_HOST": "127.0.0.1",
            "QUEUE_BULL_REDIS_PORT": str(port),
        }
    finally:
        process.stop()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
    except OSError:
        return False
