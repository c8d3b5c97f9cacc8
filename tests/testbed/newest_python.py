"""Finds the newest Python of this machine, and installs the project for it in a virtual environment of its own.

Python's `ssl` became stricter after 3.11, and will again: the tier `newest` shows whether the operator still works.
Nothing here runs a test, and nothing downloads a Python.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from testbed.progress import say

ROOT: Final = Path(__file__).parents[2]
ENVIRONMENT: Final = ROOT / ".venv-newest"
PYTHON: Final = ENVIRONMENT / "bin" / "python"
_LOCK: Final = ROOT / "requirements" / "dev.txt"
_READY: Final = ENVIRONMENT / ".ready"
_NAME: Final = re.compile(r"python3\.(\d+)")


def newest() -> Path | None:
    """Return the newest Python that runs and is newer than this one, or None."""
    found = sorted(_candidates(), key=lambda candidate: candidate[0], reverse=True)
    newer = (path for minor, path in found if minor > sys.version_info.minor)
    return next((path for path in newer if _runs(path)), None)


def obstacles() -> Sequence[str]:
    """Return why the tier `newest` cannot run here."""
    if newest() is not None:
        return ()
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (f"no Python newer than {this} on the PATH or in ~/.pyenv/versions: install one",)


def install(python: Path) -> None:
    """Install the locked dependencies and the project, unless that was done for this lock.

    Raises `subprocess.CalledProcessError` if pip fails.
    """
    stamp = f"{python}\n{_LOCK.read_text()}"
    if _READY.exists() and _READY.read_text() == stamp:
        return
    say(f"installing requirements/dev.txt for {python.name} into {ENVIRONMENT.name}: half a minute")
    subprocess.run((python, "-m", "venv", "--clear", ENVIRONMENT), check=True)
    pip = (PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    subprocess.run((*pip, "--require-hashes", "--requirement", _LOCK), check=True)
    subprocess.run((*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT), check=True)
    _READY.write_text(stamp)


def _candidates() -> Iterator[tuple[int, Path]]:
    """Name each `python3.N` of the PATH and of pyenv, which puts a version on the PATH only where it is selected."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    folders = [*map(Path, os.environ.get("PATH", "").split(os.pathsep)), *pyenv.glob("*/bin")]
    for folder in folders:
        for path in folder.glob("python3.*"):
            if match := _NAME.fullmatch(path.name):
                yield int(match[1]), path


def _runs(python: Path) -> bool:
    """Return whether it is a working Python that can make virtual environments."""
    return (
        subprocess.run((python, "-c", "import ensurepip, ssl, venv"), capture_output=True, check=False).returncode == 0
    )


if __name__ == "__main__":
    path = newest()
    if path is None:
        sys.exit("\n".join(obstacles()))
    install(path)
