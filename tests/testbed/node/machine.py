"""Reports why this machine cannot be a node, and installs missing Debian packages.

A node runs in its own namespaces (mounts, processes, network), which this module creates: everything in it ends with
them, and no packet can leave the machine.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from testbed.progress import say

PACKAGES: Final[Mapping[str, str]] = {
    "buildah": "buildah",
    "containerd": "containerd",
    "ctr": "containerd",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "runc": "runc",
}
"""The Debian package of each program that a node or the image build needs."""

CNI_FOLDERS: Final = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_CNI_PACKAGE: Final = "containernetworking-plugins"
_CGROUPS: Final = Path("/sys/fs/cgroup")
NAMESPACES: Final = (
    *("unshare", "--mount", "--propagation=private", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
    # Process 1 of the namespace must reap the orphans of containerd, which a shell does.
    *("sh", "-c", '"$@"; exit $?', "sh"),
)
"""The prefix of a command that runs in the namespaces of a node."""


LONGEST_LOCK_WAIT: Final = 600
"""In seconds: how long another program may hold a lock of the package manager."""
LOCK_POLL: Final = 5
"""In seconds."""

Done = subprocess.CompletedProcess[str]


class Clock(Protocol):
    """The functions of the module `time` that are used here."""

    def monotonic(self) -> float:
        """Return the seconds."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


class MachineError(Exception):
    """This machine cannot become a node; the text says why and what to do."""


def obstacles() -> list[str]:
    """Return why this machine cannot be a node; the list is empty if it can."""
    if sys.platform != "linux":
        return ["a node needs Linux"]
    if os.geteuid() != 0:
        return ["a node needs root, for namespaces, mounts and cgroups: run it as root"]
    found = [_namespace_problem(), _cgroup_problem(), _package_problem()]
    return [problem for problem in found if problem is not None]


def is_ci() -> bool:
    """Return whether every test must run, which continuous integration services indicate with CI=true."""
    return os.environ.get("CI", "").lower() not in {"", "false", "0"}


def install_packages() -> None:
    """Install missing Debian packages, and print which. Raises MachineError."""
    wanted = missing_packages()
    if not wanted:
        return
    say(f"testbed: apt-get installs {', '.join(wanted)}, which a node and the building of an image need")
    for arguments in (("update", "-qq"), ("install", "-qq", "--yes", "--no-install-recommends", *wanted)):
        done = unlocked(partial(_apt_get, *arguments), time)
        if done.returncode != 0:
            message = f"apt-get {arguments[0]} failed: {(done.stderr or done.stdout).strip()}"
            raise MachineError(message)


def unlocked(run: Callable[[], Done], clock: Clock) -> Done:
    """Run apt-get, and repeat it while another program, such as unattended upgrades, holds one of its locks.

    The option DPkg::Lock::Timeout covers the locks of dpkg; that of the package lists has no time-out in apt-get.
    """
    deadline = clock.monotonic() + LONGEST_LOCK_WAIT
    while is_locked(done := run()) and clock.monotonic() < deadline:
        say("testbed: another program holds a lock of the package manager; waiting until it has finished")
        clock.sleep(LOCK_POLL)
    return done


def is_locked(done: Done) -> bool:
    """Return whether apt-get failed because of a lock that another program holds."""
    return done.returncode != 0 and "Could not get lock" in done.stderr


def _apt_get(*arguments: str) -> Done:
    command = ("apt-get", f"--option=DPkg::Lock::Timeout={LONGEST_LOCK_WAIT}", *arguments)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def missing_packages() -> list[str]:
    """Return the Debian packages of missing programs."""
    missing = {package for program, package in PACKAGES.items() if shutil.which(program) is None}
    return sorted(missing if cni_folder() else {*missing, _CNI_PACKAGE})


def cni_folder() -> Path | None:
    """Return the folder of the network plugins."""
    return next((folder for folder in CNI_FOLDERS if (folder / "bridge").exists()), None)


def _namespace_problem() -> str | None:
    command: Sequence[str] = (*NAMESPACES, "true")
    if shutil.which("unshare") is None:
        return "unshare is missing: install the system package util-linux"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"no namespaces can be made here: {done.stderr.strip()}"


def _cgroup_problem() -> str | None:
    is_there = (_CGROUPS / "cgroup.controllers").exists() or (_CGROUPS / "memory").is_dir()
    return None if is_there and os.access(_CGROUPS, os.W_OK) else f"there are no cgroups to write below {_CGROUPS}"


def _package_problem() -> str | None:
    missing = missing_packages()
    if not missing or shutil.which("apt-get"):
        return None
    return f"programs are missing, and there is no apt-get to install them; Debian has them as {', '.join(missing)}"
