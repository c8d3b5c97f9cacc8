"""A node of a control plane: scheduler, containerd and kubelet, with their own network.

It runs in the namespaces that machine.NAMESPACES creates, and all of it ends with them.
"""

import json
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from testbed import binaries
from testbed.control_plane import ControlPlane
from testbed.node import node_network
from testbed.node.containerd import Containerd
from testbed.node.relay import Relay
from testbed.processes import ChildProcess, free_port

_NAME: Final = "node"
_READY_SECONDS: Final = 60.0
_CGROUPS: Final = Path("/sys/fs/cgroup")


class Node:
    """A node that is ready during a `with` block; `containerd` imports images."""

    def __init__(self, control_plane: ControlPlane, folder: Path) -> None:
        """Describe the node; its logs are kept in `folder`."""
        self._control_plane = control_plane
        self._folder = folder
        self._stack = ExitStack()
        self.containerd = Containerd(folder / "containerd")

    def __enter__(self) -> Self:
        """Start everything and wait until the node is ready (10 s). Raises ProcessError."""
        with ExitStack() as stack:
            stack.callback(_remove_cgroups)
            port = urlsplit(self._control_plane.server).port
            assert port is not None
            stack.enter_context(Relay(*node_network.API_SERVICE, to=port))
            stack.enter_context(self.containerd)
            self._start_scheduler(stack)
            self._start_kubelet(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self._stack.close()

    def _start_scheduler(self, stack: ExitStack) -> None:
        program = binaries.ensure("kube-scheduler")["kube-scheduler"]
        kubeconfig = self._control_plane.kubeconfig_for("system:kube-scheduler")
        command = [str(program), f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0"]
        process = ChildProcess(command, log=self._folder / "kube-scheduler.log")
        stack.callback(process.kill)
        process.start()

    def _start_kubelet(self, stack: ExitStack) -> None:
        program = binaries.ensure("kubelet")["kubelet"]
        kubeconfig = self._control_plane.kubeconfig_for(f"system:node:{_NAME}", ["system:nodes"])
        command = [
            str(program),
            f"--config={self._write_configuration()}",
            f"--kubeconfig={kubeconfig}",
            f"--root-dir={self._folder / 'kubelet'}",
            f"--hostname-override={_NAME}",
            f"--node-ip={node_network.ADDRESS}",
        ]
        process = ChildProcess(command, log=self._folder / "kubelet.log")
        stack.callback(process.kill)
        process.start()
        process.wait_ready(self._is_ready, timeout=_READY_SECONDS)

    def _write_configuration(self) -> Path:
        serving = self._control_plane.serving_certificate("kubelet", [node_network.ADDRESS, _NAME])
        configuration = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": node_network.ADDRESS,
            "port": free_port(),
            "healthzPort": 0,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(self._control_plane.ca)},
            },
            "authorization": {
                "mode": "AlwaysAllow"
            },  # applies to clients of the certificate authority: the API server alone
            "tlsCertFile": str(serving.public),
            "tlsPrivateKeyFile": str(serving.key),
            "containerRuntimeEndpoint": self.containerd.endpoint,
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failCgroupV1": False,
            "failSwapOn": False,
            "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
            "podLogsDir": str(self._folder / "pod-logs"),
            "syncFrequency": "1s",  # a minute by default: the delay until a changed Secret reaches its files
        }
        path = self._folder / "kubelet.json"
        path.write_text(json.dumps(configuration))
        return path

    def _is_ready(self) -> bool:
        found = self._control_plane.kubectl("get", "nodes", "--output=json")
        conditions = (one for node in json.loads(found)["items"] for one in node["status"].get("conditions", ()))
        return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def _remove_cgroups() -> None:
    """Remove the cgroups of containers that have ended; the kernel refuses to remove those of running ones."""
    for folder in sorted(_CGROUPS.glob("**/k8s.io/**/"), reverse=True):
        with suppress(OSError):
            folder.rmdir()
