"""One node for all tests of this folder, with the operator's image; Vault and Pipedrive run outside of it.

`python -m testbed.node` prepares it, and it runs in namespaces of its own. `make e2e` does both.
"""

import sys
import uuid
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from support.crd import install_crd
from support.tenant import APP_PATH
from testbed import binaries
from testbed.control_plane import ControlPlane
from testbed.helm import Helm
from testbed.node import image, node_network
from testbed.node.node import Node
from testbed.node.relay import Relay
from testbed.openbao import OpenBao
from testbed.pipedrive.client import ControlClient
from testbed.processes import ChildProcess, free_port

SCOPES = ["base", "deals:full"]


@pytest.fixture(scope="session")
def machine() -> None:
    """Set up the network in the namespace of this process."""
    node_network.set_up()


@pytest.fixture(scope="session")
def control_plane(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Run a control plane with all controllers and RBAC, and apply the CRDs as the README says."""
    assert machine is None
    with ControlPlane(controllers=("*",), folder=tmp_path_factory.mktemp("control-plane")) as running:
        install_crd(running)
        yield running


@pytest.fixture(scope="session")
def node(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Run a node with two images: the operator's, and Debian for workloads."""
    with Node(control_plane, tmp_path_factory.mktemp("node")) as running:
        running.containerd.load(image.debian())
        running.containerd.load(image.last_built().archive)
        yield running


@pytest.fixture(scope="session")
def openbao(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """Run an OpenBao server, which pods reach at the node's address."""
    assert machine is None
    with OpenBao(folder=tmp_path_factory.mktemp("openbao")) as running:
        port = urlsplit(running.address).port
        assert port is not None
        with Relay(node_network.ADDRESS, port, to=port):
            yield running


@pytest.fixture(scope="session")
def pipedrive(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlClient]:
    """Run the simulator at the address of the node: a refresh token can be used once."""
    assert machine is None
    port = free_port()
    address = (f"--host={node_network.ADDRESS}", f"--port={port}")
    command = [sys.executable, "-m", "testbed.pipedrive", *address, "--rotate=always"]
    control = ControlClient(f"http://{node_network.ADDRESS}:{port}")
    process = ChildProcess(command, log=tmp_path_factory.mktemp("pipedrive") / "pipedrive.log")
    process.start()
    try:
        process.wait_ready(lambda: _answers(control), timeout=30)
        yield control
    finally:
        process.kill()


def _answers(control: ControlClient) -> bool:
    try:
        control.view("health")
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def client_id(pipedrive: ControlClient, openbao: OpenBao) -> str:
    """Register the app, and write its client to Vault."""
    app = pipedrive.command("add-app", redirect_uri="http://127.0.0.1/callback", scopes=SCOPES)
    openbao.write_secret(APP_PATH, {"client_id": app["client_id"], "client_secret": app["client_secret"]})
    return str(app["client_id"])


@pytest.fixture(scope="session")
def helm(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Return Helm, as administrator."""
    program = binaries.ensure("helm")["helm"]
    return Helm(program, tmp_path_factory.mktemp("helm"), control_plane.kubeconfig)


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """Create a namespace for one test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    control_plane.kubectl("create", "namespace", name)
    return name
