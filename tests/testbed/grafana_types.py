"""Fetches Grafana's types from npm, with TypeScript, and compares a dashboard with them.

npm only downloads the packages: it installs nothing, resolves no dependencies and runs no script. What it downloads
must have the pinned hash.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from testbed.progress import say

_TYPES: Final = Path(__file__).with_name("grafana_types.ts")
_CHECKED: Final = "dashboard.ts"
_COMPILE: Final = ("--noEmit", "--strict", "--skipLibCheck", "--pretty", "false", "--preserveSymlinks")
_MODULES: Final = ("--module", "esnext", "--moduleResolution", "bundler")
_FOUND_ERRORS: Final = 2
_MINUTES: Final = 5


@dataclass(frozen=True, slots=True)
class Package:
    """A package of npm, with the hash of its archive."""

    name: str
    version: str
    sha512: str


TYPESCRIPT: Final = Package(
    "typescript", "5.9.3", "jl1vZzPDinLr9eUt3J/t7V6FgNEw9QjvBPdysz9KfQDD41fQrC2Y4vKQdiaUpFT4bXlb1RHhLpp8wtm6M5TgSw=="
)
OLDEST: Final = Package(
    "@grafana/schema",
    "10.4.19",
    "4kH+Ryiy529fBDZe97qnGrtpmESYaNX8/ef8WsvsUbP1ZheopUkd18r/+VTc18tX7ujOpuThXCdOBDsptj3qJw==",
)
"""Later packages no longer have the type of a Prometheus query."""
NEWEST: Final = Package(
    "@grafana/schema",
    "13.2.3",
    "rk8FEO7yuFfRTK/JD39747SZFQ+iCTQbpm6Mh2OjnqGx/g/uQQFx56t64eCLXWEyoR68ru4cigcGKrXk+ozrLg==",
)


class PackageError(Exception):
    """A package cannot be used; the message says why."""


def missing_programs() -> Sequence[str]:
    """Return the programs that this machine lacks."""
    return [name for name in ("npm", "node", "tar") if shutil.which(name) is None]


def complaints(dashboard: str, grafana: Package) -> str:
    """Return what TypeScript finds wrong with a dashboard, with the lines of its JSON. Raises PackageError."""
    compiler = fetched(TYPESCRIPT) / "bin" / "tsc"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _lay_out(folder, dashboard, grafana)
        command = ("node", compiler, *_COMPILE, *_MODULES, _CHECKED)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode not in {0, _FOUND_ERRORS}:
        message = f"TypeScript ended with code {done.returncode}: {done.stdout}{done.stderr}"
        raise PackageError(message)
    return done.stdout


def fetched(package: Package) -> Path:
    """Return the folder of a package, after downloading it if it is missing. Raises PackageError."""
    kept = _cache() / f"{package.name.replace('/', '-')}-{package.version}"
    if not kept.is_dir():
        say(f"testbed: fetching {package.name} {package.version} from npm into {kept}")
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
            _run(("tar", "-xzf", _download(package, Path(folder))), Path(folder))
            (Path(folder) / "package").rename(kept)
    return kept


def _lay_out(folder: Path, dashboard: str, grafana: Package) -> None:
    """Write what TypeScript reads. The dashboard begins on the first line, so that the numbers of its lines fit."""
    modules = folder / "node_modules"
    (modules / "@grafana").mkdir(parents=True)
    (modules / "@grafana" / "schema").symlink_to(fetched(grafana))
    (modules / "grafana-with-prometheus").symlink_to(fetched(OLDEST))
    shutil.copy(_TYPES, folder / "types.ts")
    beginning = 'import type { Expected } from "./types"; export const dashboard: Expected = '
    (folder / _CHECKED).write_text(beginning + dashboard)


def _download(package: Package, folder: Path) -> Path:
    named = f"{package.name}@{package.version}"
    _run(("npm", "pack", "--loglevel=error", named), folder)
    (archive,) = folder.glob("*.tgz")
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != package.sha512:
        message = f"{named} does not have the pinned hash: npm delivered sha512-{found}"
        raise PackageError(message)
    return archive


def _run(command: Sequence[str | Path], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60 * _MINUTES)
    if done.returncode != 0:
        message = f"`{' '.join(map(str, command))}` failed: {done.stderr.strip()}"
        raise PackageError(message)


def _cache() -> Path:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "pipedrive-operator" / "npm"
