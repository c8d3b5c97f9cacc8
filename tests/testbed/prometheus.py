"""Finds promtool, Prometheus' own checker of rules and queries, or extracts it from Debian's package.

`python -m testbed.prometheus` prepares it. The package is unpacked into the cache and not installed: no service starts,
and only refreshing apt's lists needs root.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from testbed.progress import say

PACKAGE = "prometheus"
_MINUTES = 5


class MissingError(Exception):
    """promtool is missing; the message says how to install it."""


def promtool() -> Path:
    """Return the path of promtool, after downloading it if it is missing (20 MB). Raises MissingError."""
    installed = shutil.which("promtool")
    if installed is not None:
        return Path(installed)
    cached = _cache() / "promtool"
    if not os.access(cached, os.X_OK):
        _unpack(cached)
    return cached


def _cache() -> Path:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "pipedrive-operator" / "prometheus"


def _unpack(wanted: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        message = (
            f"promtool is missing: install Prometheus (on Debian and its derivatives, the system package {PACKAGE})."
        )
        raise MissingError(message)
    say(f"testbed: fetching the system package {PACKAGE}, for promtool")
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=wanted.parent) as folder:
        _download(Path(folder))
        (package,) = Path(folder).glob("*.deb")
        _run(("dpkg-deb", "-x", str(package), folder), Path(folder))
        (Path(folder) / "usr" / "bin" / "promtool").rename(wanted)


def _download(folder: Path) -> None:
    download = ("apt-get", "download", "--quiet", PACKAGE)
    try:
        _run(download, folder)
    except MissingError:
        if os.geteuid() != 0:
            raise
        _run(("apt-get", "update", "--quiet"), folder)
        _run(download, folder)


def _run(command: Sequence[str], folder: Path) -> None:
    """Run a command without showing its output. Raises MissingError with the output and what to do instead."""
    output = subprocess.STDOUT
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=output, text=True, check=False, timeout=60 * _MINUTES
    )
    if done.returncode != 0:
        message = (
            f"promtool is missing, and `{' '.join(command)}` failed:\n{done.stdout.strip()}\n"
            f"Install the system package {PACKAGE} yourself, or run `apt-get update` first."
        )
        raise MissingError(message)


@click.command()
def main() -> None:
    """Find promtool, or download it."""
    try:
        click.echo(promtool())
    except MissingError as error:
        click.echo(error, err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
