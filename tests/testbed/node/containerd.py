"""Runs a separate containerd, with its images, state and socket in one folder."""

import shutil
import subprocess
from pathlib import Path
from typing import Final, Self

from testbed.node import image, machine, node_network
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
  # Without it, runc fails if a process may not lower its OOM score.
  restrict_oom_score_adj = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
"""


class ContainerdError(Exception):
    """A containerd command failed; the text is the output of `ctr`."""


class Containerd:
    """A containerd that runs during a `with` block; its containers and images are removed at the end."""

    def __init__(self, folder: Path) -> None:
        """Write the configuration."""
        folder.mkdir(parents=True)
        self._folder = folder
        self._socket = folder / "containerd.sock"
        self.endpoint = f"unix://{self._socket}"
        networks = node_network.write_conflist(folder / "networks", leases=folder / "leases")
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
        """Start containerd and wait until it is ready (1 s). Raises ProcessError."""
        self._process.start()
        try:
            self._process.wait_ready(self._answers, timeout=_START_SECONDS)
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the containers and containerd, and remove the images, which are large; the log is kept."""
        for task in self._ctr("tasks", "list", "--quiet").stdout.split():
            self._ctr("tasks", "delete", "--force", task)
        self._process.stop()
        for name in ("root", "state"):
            shutil.rmtree(self._folder / name, ignore_errors=True)

    def load(self, archive: Path) -> None:
        """Import an image from an archive, so that the kubelet finds it. Raises ContainerdError."""
        done = self._ctr("images", "import", str(archive))
        if done.returncode != 0:
            raise ContainerdError(done.stderr.strip())

    def kill(self, container: str) -> None:
        """Kill a container's process with SIGKILL, by the id in the pod's status. Raises ContainerdError."""
        done = self._ctr("tasks", "kill", "--signal=SIGKILL", container.removeprefix("containerd://"))
        if done.returncode != 0:
            raise ContainerdError(done.stderr.strip())

    def _answers(self) -> bool:
        return self._ctr("version").returncode == 0

    def _ctr(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = ("ctr", f"--address={self._socket}", "--namespace=k8s.io", *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False)
