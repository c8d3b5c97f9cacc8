"""Says what keeps this machine from being a node, and installs the Debian packages that it lacks.

A node runs in namespaces of its own (mounts, processes, network), which this module makes: nothing of it outlives them,
and no packet of it can leave the machine.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from testbed.progress import say

PACKAGES: Final[Mapping[str, str]] = {
    "buildah": "buildah",
    "containerd": "containerd",
    "ctr": "containerd",
    "ip": "iproute2",
    "mmdebstrap": "mmdebstrap",
    "runc": "runc",
}
"""The Debian package of each program that a node, or the image's building, needs."""

CNI_FOLDERS: Final = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))
_CNI_PACKAGE: Final = "containernetworking-plugins"
_CGROUPS: Final = Path("/sys/fs/cgroup")
NAMESPACES: Final = (
    *("unshare", "--mount", "--propagation=private", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"),
    # Process 1 of the namespace has to bury the orphans of containerd, which a shell does.
    *("sh", "-c", '"$@"; exit $?', "sh"),
)
"""What to put before a command that is to be alone with its node."""


class MachineError(Exception):
    """This machine cannot become a node; the text says why and what to do."""


def obstacles() -> list[str]:
    """Return what keeps this machine from being a node, after which there is no use in going on."""
    if sys.platform != "linux":
        return ["a node needs Linux"]
    if os.geteuid() != 0:
        return ["a node needs root, for namespaces, mounts and cgroups: run it as root"]
    found = [_namespace_problem(), _cgroup_problem(), _package_problem()]
    return [problem for problem in found if problem is not None]


def is_ci() -> bool:
    """Tell whether this machine has to run everything, as services for continuous integration say by CI=true."""
    return os.environ.get("CI", "").lower() not in {"", "false", "0"}


def install_packages() -> None:
    """Install the Debian packages that are missing, and say so. Raises MachineError."""
    wanted = missing_packages()
    if not wanted:
        return
    say(f"testbed: apt-get installs {', '.join(wanted)}, which a node and the building of an image need")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (("update", "-qq"), ("install", "-qq", "--yes", "--no-install-recommends", *wanted)):
        done = subprocess.run(("apt-get", *arguments), env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            message = f"apt-get {arguments[0]} failed: {(done.stderr or done.stdout).strip()}"
            raise MachineError(message)


def missing_packages() -> list[str]:
    """Return the Debian packages of what is not there."""
    missing = {package for program, package in PACKAGES.items() if shutil.which(program) is None}
    return sorted(missing if cni_folder() else {*missing, _CNI_PACKAGE})


def cni_folder() -> Path | None:
    """Return where the network plugins are."""
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
