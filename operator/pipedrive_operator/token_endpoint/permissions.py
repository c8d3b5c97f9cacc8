"""Finds mounted files that the process may not read, so that a wrong mode is not reported as a wrong content."""

import os
from collections.abc import Iterable
from pathlib import Path


def unreadable(files: Iterable[Path]) -> list[str]:
    """Return a sentence for each file that exists but may not be read."""
    return [
        f"{file} cannot be read by the user {os.getuid()}: set the volume's defaultMode to 0444, or the pod's fsGroup"
        for file in files
        if file.exists() and not os.access(file, os.R_OK)
    ]
