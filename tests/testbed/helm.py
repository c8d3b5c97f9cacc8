"""Runs Helm with or without an API server, and with its own home folder, so that no user settings are read."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_SECONDS = 120


class HelmError(Exception):
    """A Helm command failed; the text is its output."""


@dataclass(frozen=True)
class Helm:
    """The Helm program with its kubeconfig and its cache folder."""

    program: Path
    home: Path
    kubeconfig: Path | None = None

    def __call__(self, *arguments: str) -> str:
        """Run one command and return its stdout. Raises HelmError."""
        homes = {f"HELM_{kind}_HOME": str(self.home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        result = subprocess.run(
            [self.program, *arguments],
            env=os.environ | homes | {"KUBECONFIG": str(self.kubeconfig or os.devnull)},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
        if result.returncode != 0:
            message = f"{result.stdout}\n{result.stderr}".strip()
            raise HelmError(message)
        return result.stdout
