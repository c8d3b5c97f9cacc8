"""Runs the operator as a separate process from a settings file, as a pod would.

It must not import the operator; it knows only its command line, probes and metrics.
"""

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from testbed import probe
from testbed.processes import ChildProcess, free_port

_START_SECONDS = 30.0
_GRACE_SECONDS = 60.0


class OperatorProcess:
    """One replica: it can be stopped, killed, frozen and started again; its output is appended to `log`."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        folder: Path,
        name: str = "operator",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Write the settings, with a free port for probes and metrics, into `folder`."""
        self.port = free_port()
        self.config = folder / f"{name}.yaml"
        http = {"address": "127.0.0.1", "port": self.port}
        self.config.write_text(yaml.safe_dump({**settings, "http": http}, sort_keys=False))
        command = [sys.executable, "-m", "pipedrive_operator", "run", f"--config={self.config}"]
        self._process = ChildProcess(command, log=folder / f"{name}.log", environment=environment)

    def __enter__(self) -> Self:
        """Start the operator, and wait until it is ready. Raises ProcessError."""
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the operator."""
        self.stop()

    @property
    def pid(self) -> int:
        """The process id. Raises ProcessError if the operator was not started."""
        return self._process.pid

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self._process.log

    def start(self) -> None:
        """Start the process, which is not ready yet."""
        self._process.start()

    def wait_ready(self, *, timeout: float = _START_SECONDS) -> None:
        """Wait until it reports that it is ready. Raises ProcessError if it exits, or after `timeout` seconds."""
        self._process.wait_ready(self.is_ready, timeout=timeout)

    def stop(self) -> None:
        """Send SIGTERM, as the kubelet does, and wait; kill the operator after a minute."""
        self._process.stop(grace=_GRACE_SECONDS)

    def terminate(self) -> None:
        """Send SIGTERM, as the kubelet does, and return at once."""
        self._process.terminate()

    def wait(self, *, timeout: float = _GRACE_SECONDS) -> int:
        """Return the exit code once the operator has ended. Raises ProcessError after `timeout` seconds."""
        return self._process.wait(timeout=timeout)

    def kill(self) -> None:
        """Kill the operator with SIGKILL, as a crash would."""
        self._process.kill()

    def freeze(self) -> None:
        """Suspend the operator (SIGSTOP), as an overloaded or suspended machine would."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume the operator (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def has_ended(self) -> bool:
        """Return whether it exited by itself."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def is_ready(self) -> bool:
        """Return whether it reports that it is ready."""
        return probe.is_ok(self.port, "/readyz")

    def leads(self) -> bool:
        """Return whether it reports that it leads."""
        metrics = self.get("/metrics")
        return metrics is not None and "\npipedrive_operator_leader 1" in metrics.text

    def get(self, path: str) -> probe.Answer | None:
        """Return its response at /readyz, /livez or /metrics, or None without a response."""
        return probe.get(self.port, path)
