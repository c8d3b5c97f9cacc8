"""Runs Helm against one API server, or without any, with a home of its own: no setting of a person is read."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_SECONDS = 120


class HelmError(Exception):
    """A Helm command failed; the text is what it wrote."""


@dataclass(frozen=True)
class Helm:
    """The Helm program with the kubeconfig it uses, and the folder for what it caches."""

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
