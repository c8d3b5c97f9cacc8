"""Runs the operator as a process of its own, from a settings file, as a pod would.

Nothing of the operator is imported here: what is known of it is its command line, its probes and its metrics.
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
        """Start it, and wait until it is ready. Raises ProcessError."""
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    @property
    def pid(self) -> int:
        """The process id. Raises ProcessError when it was not started."""
        return self._process.pid

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._process.log

    def start(self) -> None:
        """Start the process, which is not ready yet."""
        self._process.start()

    def wait_ready(self, *, timeout: float = _START_SECONDS) -> None:
        """Wait until it says that it is ready. Raises ProcessError when it ended, or after `timeout` seconds."""
        self._process.wait_ready(self.is_ready, timeout=timeout)

    def stop(self) -> None:
        """Ask it to end, as the kubelet does, and wait; kill it after a minute."""
        self._process.stop(grace=_GRACE_SECONDS)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self._process.kill()

    def freeze(self) -> None:
        """Stop its clockwork (SIGSTOP), as a starved or suspended machine would."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def has_ended(self) -> bool:
        """Tell whether it ended by itself."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def is_ready(self) -> bool:
        """Tell whether it answers that it is ready."""
        return probe.is_ok(self.port, "/readyz")

    def get(self, path: str) -> probe.Answer | None:
        """Return what it answers at /readyz, /livez or /metrics; None if it does not answer."""
        return probe.get(self.port, path)
