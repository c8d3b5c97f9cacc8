"""Runs the consent front as a separate process from a settings file, as a pod would.

It must not import the operator; it knows only its command line, probes and metrics.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml

from testbed import probe
from testbed.processes import ChildProcess, free_port

_START_SECONDS = 30.0


class FrontProcess:
    """One replica of the front, which listens at `port`; its output is appended to `log`."""

    def __init__(
        self, settings: Mapping[str, Any], *, folder: Path, name: str = "front", port: int | None = None
    ) -> None:
        """Write the settings, with ports on loopback, into `folder`."""
        self.port, self._probes = port or free_port(), free_port()
        consent = {**settings["consent"], "address": "127.0.0.1", "port": self.port}
        http = {"address": "127.0.0.1", "port": self._probes}
        config = folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump({**settings, "consent": consent, "http": http}, sort_keys=False))
        command = [sys.executable, "-m", "pipedrive_operator", "consent", f"--config={config}"]
        self._process = ChildProcess(command, log=folder / f"{name}.log")

    def __enter__(self) -> Self:
        """Start the front, and wait until it is ready. Raises ProcessError."""
        try:
            self._process.start()
            self._process.wait_ready(lambda: probe.is_ok(self._probes, "/readyz"), timeout=_START_SECONDS)
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the front."""
        self._process.stop()

    @property
    def log(self) -> Path:
        """The file with its output."""
        return self._process.log

    def memory(self) -> int:
        """Return the resident memory in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        (kilobytes,) = re.findall(r"VmRSS:\s+(\d+) kB", status)
        return int(kilobytes) * 1024

    def pages(self) -> set[str]:
        """Return the kinds of responses that it has sent, by the names that its metrics give them."""
        found = probe.get(self._probes, "/metrics")
        counted = r'^pipedrive_operator_consent_front_responses_total\{.*page="(\w+)".*\} [1-9]'
        return set() if found is None else set(re.findall(counted, found.text, re.MULTILINE))
