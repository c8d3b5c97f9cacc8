"""The network of a node: a bridge for its pods, and the service address of the API server. No packet leaves it.

It is created in the network namespace of this process (see machine.NAMESPACES), and ends with it.
"""

import json
import subprocess
from pathlib import Path
from typing import Final

ADDRESS: Final = "10.244.0.1"
"""The node's own address, at which pods reach servers outside the cluster."""

API_SERVICE: Final = ("10.0.0.1", 443)
"""The address of the API server that every pod is given; no kube-proxy forwards it."""

_BRIDGE: Final = "pods"
_PODS: Final = "10.244.0.0/24"
# Without `isGateway` and `ipMasq` the plugin changes no kernel setting; the bridge already exists with its address.
_CONFLIST: Final = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": _BRIDGE,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": _PODS, "gateway": ADDRESS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
    ],
}


def set_up() -> None:
    """Bring up loopback and the bridge. Raises CalledProcessError outside of a namespace that the testbed created."""
    for arguments in (
        ("link", "set", "lo", "up"),
        ("link", "add", _BRIDGE, "type", "bridge"),
        ("address", "add", f"{ADDRESS}/24", "dev", _BRIDGE),
        ("address", "add", f"{API_SERVICE[0]}/32", "dev", "lo"),
        ("link", "set", _BRIDGE, "up"),
    ):
        subprocess.run(("ip", *arguments), check=True)


def write_conflist(folder: Path, *, leases: Path) -> Path:
    """Write the configuration of the network plugins, and return its folder."""
    folder.mkdir(parents=True)
    conflist = json.loads(json.dumps(_CONFLIST))
    conflist["plugins"][0]["ipam"]["dataDir"] = str(leases)
    (folder / "10-pods.conflist").write_text(json.dumps(conflist))
    return folder
