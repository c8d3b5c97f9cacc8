"""Builds the programs of the testbed with Go from `go/go.mod`. The caller decides where to store them."""

import os
import re
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from testbed.progress import BuildProgress, say

MODULE = Path(__file__).parent / "go"
_SHOWN_LINES = 20


class BuildError(Exception):
    """A program could not be built; the text names the cause and what to do about it."""


@dataclass(frozen=True)
class Tool:
    """A program of the pinned module: its package, and the seconds its first build takes on 2 cores."""

    package: str
    seconds: int
    compiled_name: str | None = None


TOOLS = {
    # Go names a program after its package's folder, which for etcd is `server`.
    "etcd": Tool("go.etcd.io/etcd/server/v3", 25, compiled_name="server"),
    "kube-apiserver": Tool("k8s.io/kubernetes/cmd/kube-apiserver", 260),
    "kube-controller-manager": Tool("k8s.io/kubernetes/cmd/kube-controller-manager", 35),
    "kube-scheduler": Tool("k8s.io/kubernetes/cmd/kube-scheduler", 20),
    "kubelet": Tool("k8s.io/kubernetes/cmd/kubelet", 30),
    "kubectl": Tool("k8s.io/kubernetes/cmd/kubectl", 20),
    "helm": Tool("helm.sh/helm/v4/cmd/helm", 60),
    "helm-unittest": Tool("github.com/helm-unittest/helm-unittest/cmd/helm-unittest", 35),
    "kubeconform": Tool("github.com/yannh/kubeconform/cmd/kubeconform", 10),
}


def build(names: Sequence[str], folder: Path) -> None:
    """Build the named programs into `folder`, and print what, why and the progress to stderr. Raises BuildError."""
    if not names:
        return
    started = time.monotonic()
    say(f"testbed: building {', '.join(names)} with {_go_version()}")
    say(f"testbed: because neither KUBEBUILDER_ASSETS nor {folder} has them; {_estimate(names)}")
    packages = [TOOLS[name].package for name in names]
    with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as unfinished:
        _compile(packages, Path(unfinished))
        for name in names:
            # A rename is atomic, so no process ever finds an incomplete program.
            Path(unfinished, TOOLS[name].compiled_name or name).rename(folder / name)
    say(f"testbed: built in {time.monotonic() - started:.0f} s")


def _estimate(names: Sequence[str]) -> str:
    seconds = sum(TOOLS[name].seconds for name in names)
    return f"about {max(1, round(seconds / 60))} min on 2 idle cores, this first time only"


def _go_version() -> str:
    """Return the version of Go. Raises BuildError if Go is missing or too old for go.mod."""
    wanted = _from_go_mod(r"^go (\S+)$")
    fix = (
        f"Install Go {wanted} or later (or Go 1.21 or later, with GOTOOLCHAIN=auto), "
        "or point KUBEBUILDER_ASSETS at a folder of ready programs."
    )
    try:
        _go(["list", "-m"], on_line=lambda _: None)
        return _go(["env", "GOVERSION"], on_line=lambda _: None).strip()
    except FileNotFoundError as error:
        message = f"no `go` on the PATH. {fix}"
        raise BuildError(message) from error
    except BuildError as error:
        message = f"{error}\n{fix}"
        raise BuildError(message) from error


def _compile(packages: Sequence[str], folder: Path) -> None:
    total = len(_go(["list", "-deps", *packages], on_line=_Downloads()).splitlines())
    progress = BuildProgress(total)
    flags = ["-v", "-trimpath", "-buildvcs=false", "-ldflags", _version_flags(), "-o", f"{folder}/"]
    _go(["build", *flags, *packages], on_line=lambda _: progress.advance())
    progress.finish()


def _version_flags() -> str:
    """Stamp the version into the programs: kubectl and Helm cannot parse the server's version without it."""
    version = _from_go_mod(r"^require k8s\.io/kubernetes (v\S+)")
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items())])


def _from_go_mod(pattern: str) -> str:
    match = re.search(pattern, (MODULE / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        message = f"go.mod has no line like {pattern}"
        raise BuildError(message)
    return match[1]


def _go(arguments: Sequence[str], *, on_line: Callable[[str], None]) -> str:
    """Run go in the module; pass each line of stderr to `on_line`; return stdout."""
    environment = os.environ | {"CGO_ENABLED": "0", "GOWORK": "off"}
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(
            ["go", *arguments], cwd=MODULE, env=environment, stdout=output, stderr=subprocess.PIPE, text=True
        ) as process,
    ):
        last = _follow(process.stderr, on_line)
        if process.wait() != 0:
            message = f"`go {arguments[0]}` failed:\n{last}"
            raise BuildError(message)
        output.seek(0)
        return output.read()


def _follow(stream: IO[str] | None, on_line: Callable[[str], None]) -> str:
    last: deque[str] = deque(maxlen=_SHOWN_LINES)
    for line in stream or ():
        last.append(line)
        on_line(line)
    return "".join(last)


class _Downloads:
    """Prints at intervals how many modules Go has fetched."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, line: str) -> None:
        if line.startswith("go: downloading"):
            self._count += 1
            if self._count % 25 == 0:
                say(f"testbed: fetched {self._count} modules")
