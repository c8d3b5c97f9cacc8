"""Runs a containerd of its own: its images, its state and its socket are in one folder."""

import shutil
import subprocess
from pathlib import Path
from typing import Final, Self

from testbed.node import image, machine, network
from testbed.processes import ChildProcess

_START_SECONDS: Final = 30.0
_CONFIG: Final = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without it runc fails where a process may not lower its OOM score.
  restrict_oom_score_adj = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
"""


class ContainerdError(Exception):
    """containerd did not do what it was asked; the text is what `ctr` wrote."""


class Containerd:
    """A containerd that runs between `with` and its end, which is the end of its containers and images too."""

    def __init__(self, folder: Path) -> None:
        """Write its configuration."""
        folder.mkdir(parents=True)
        self._folder = folder
        self._socket = folder / "containerd.sock"
        self.endpoint = f"unix://{self._socket}"
        networks = network.write_conflist(folder / "networks", leases=folder / "leases")
        config = folder / "config.toml"
        config.write_text(
            _CONFIG.format(
                folder=folder,
                socket=self._socket,
                pause=image.DEBIAN,
                plugins=machine.cni_folder(),
                networks=networks,
            )
        )
        self._process = ChildProcess(["containerd", f"--config={config}"], log=folder / "containerd.log")

    def __enter__(self) -> Self:
        """Start it and wait until it answers (1 s). Raises ProcessError."""
        self._process.start()
        try:
            self._process.wait_ready(self._answers, timeout=_START_SECONDS)
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End its containers and it, and remove the images, which are large; its log stays."""
        for task in self._ctr("tasks", "list", "--quiet").stdout.split():
            self._ctr("tasks", "delete", "--force", task)
        self._process.stop()
        for name in ("root", "state"):
            shutil.rmtree(self._folder / name, ignore_errors=True)

    def load(self, archive: Path) -> None:
        """Take an image from an archive, where the kubelet finds it. Raises ContainerdError."""
        done = self._ctr("images", "import", str(archive))
        if done.returncode != 0:
            raise ContainerdError(done.stderr.strip())

    def kill(self, container: str) -> None:
        """End a container's process with SIGKILL, by the id in a pod's status. Raises ContainerdError."""
        done = self._ctr("tasks", "kill", "--signal=SIGKILL", container.removeprefix("containerd://"))
        if done.returncode != 0:
            raise ContainerdError(done.stderr.strip())

    def _answers(self) -> bool:
        return self._ctr("version").returncode == 0

    def _ctr(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = ("ctr", f"--address={self._socket}", "--namespace=k8s.io", *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False)
