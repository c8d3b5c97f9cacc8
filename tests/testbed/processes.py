"""Starts programs that die with this process, waits until they are ready, and stops them by process id.

This module must not know what a program does.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

_TRAMPOLINE = Path(__file__).with_name("trampoline.py")
_POLL_SECONDS = 0.05
_SHOWN_LINES = 15

# Linux kills a child when the *thread* that forked it ends. One thread that lives as long as this process therefore
# forks all of them, so that a testbed can be started from any thread.
# https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
_FORKER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="testbed-forker")


class ProcessError(Exception):
    """A program exited, or was not ready in time; the message contains the last lines of its log."""


class ChildProcess:
    """One program, which can be started and stopped repeatedly; its output is appended to `log`."""

    def __init__(self, command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None) -> None:
        """Describe the program; `environment` extends that of this process."""
        self._command = tuple(command)
        self._environment = os.environ | dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.log = log

    @property
    def pid(self) -> int:
        """The process id. Raises ProcessError if the program is not running."""
        return self._running().pid

    def start(self) -> None:
        """Start the program without waiting until it is ready."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-I", "-S", str(_TRAMPOLINE), str(os.getpid()), *self._command]
        with self.log.open("ab") as log:
            self._process = _FORKER.submit(
                subprocess.Popen,
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in a terminal then reaches only this process, which stops the others in order.
                start_new_session=True,
            ).result()

    def wait_ready(self, is_ready: Callable[[], bool], *, timeout: float) -> None:
        """Wait `timeout` seconds at most for `is_ready`. Raises ProcessError."""
        process = self._running()
        deadline = time.monotonic() + timeout
        while not is_ready():
            try:
                process.wait(timeout=_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
                failure = self._failure(f"did not answer within {timeout:.0f} s")
            else:
                failure = self._failure(f"ended with code {process.returncode}")
            raise failure

    def stop(self, *, grace: float = 5.0) -> None:
        """Send SIGTERM, and kill the program after `grace` seconds; do nothing if it is not running."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=grace)
        self.kill()

    def terminate(self) -> None:
        """Send SIGTERM, and return at once. Raises ProcessError if the program is not running."""
        self._running().terminate()

    def wait(self, *, timeout: float) -> int:
        """Return the exit code once the program has ended. Raises ProcessError after `timeout` seconds."""
        try:
            return self._running().wait(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            failure = self._failure(f"did not end within {timeout:.0f} s")
            raise failure from error

    def kill(self) -> None:
        """Kill the program with SIGKILL, as a crash would; do nothing if it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            failure = self._failure("is not running")
            raise failure
        return self._process

    def _failure(self, what: str) -> ProcessError:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return ProcessError(
            "\n".join([f"{Path(self._command[0]).name} {what}; end of {self.log}:", *lines[-_SHOWN_LINES:]])
        )


def free_port() -> int:
    """Return a loopback port in TIME_WAIT, which Linux assigns to no other process for a minute.

    Go's listeners set SO_REUSEADDR and can bind it nevertheless, so several testbeds can start at the same time.
    """
    with socket.socket() as listener:
        # A port in TIME_WAIT can be bound again only if its last owner set this option too.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port: int = listener.getsockname()[1]
        # The port of the side that closes first enters TIME_WAIT.
        with socket.create_connection(("127.0.0.1", port)):
            listener.accept()[0].close()
    return port
