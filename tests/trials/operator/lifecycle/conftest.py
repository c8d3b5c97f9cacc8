"""One operator for all tests of a module, which watches all namespaces; each test has a namespace of its own.

It acts as a user with the permissions of the chart's ClusterRole, and no others.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from support.operated import Json, settings_for
from support.tenant import APP_PATH, Tenant
from testbed import probe
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess
from testbed.pipedrive.client import ControlClient
from testbed.processes import ChildProcess, free_port

ROOT = Path(__file__).parents[4]
RIGHTS = ROOT / "tests" / "testbed" / "rights.yaml"
FRONT_RIGHTS = RIGHTS.with_name("rights-front.yaml")
POLICY = f"""
path "secret/data/{APP_PATH}" {{ capabilities = ["read"] }}
path "secret/data/pipedrive/*" {{ capabilities = ["read", "create", "update"] }}
"""
READS_ITS_CRD = {
    "apiGroups": ["apiextensions.k8s.io"],
    "resources": ["customresourcedefinitions"],
    "resourceNames": ["pipedrivecredentials.pipedrive-operator.io"],
    "verbs": ["get"],
}
SCOPES = ["base", "deals:full"]


@pytest.fixture(scope="session")
def pipedrive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlClient]:
    """Run the simulator: a refresh token can be used once, and an access token is valid for a minute."""
    port = free_port()
    command = [sys.executable, "-m", "testbed.pipedrive", f"--port={port}", "--rotate=always", "--expires-in=60"]
    process = ChildProcess(command, log=tmp_path_factory.mktemp("pipedrive") / "pipedrive.log")
    process.start()
    try:
        process.wait_ready(lambda: probe.is_ok(port, "/_simulator/health"), timeout=30)
        yield ControlClient(f"http://127.0.0.1:{port}")
    finally:
        process.kill()


@pytest.fixture(scope="session")
def client_id(pipedrive: ControlClient, openbao: OpenBao) -> str:
    """Register the app, and write its client to Vault."""
    app = pipedrive.command("add-app", redirect_uri="http://127.0.0.1/callback", scopes=SCOPES)
    openbao.write_secret(APP_PATH, {"client_id": app["client_id"], "client_secret": app["client_secret"]})
    return str(app["client_id"])


@pytest.fixture(scope="session")
def user(control_plane: ControlPlane) -> Callable[[str], Path]:
    """Return a function that creates users with the operator's permissions in all namespaces."""
    create_cluster_role(control_plane, RIGHTS, READS_ITS_CRD)

    def made(name: str) -> Path:
        arguments = ("--clusterrole=pipedrive-operator", f"--user={name}")
        control_plane.kubectl("create", "clusterrolebinding", name, *arguments)
        return control_plane.kubeconfig_for(name)

    return made


@pytest.fixture(scope="session")
def front_kubeconfig(control_plane: ControlPlane) -> Path:
    """Return the kubeconfig of a user with the permissions of the consent front in all namespaces."""
    create_cluster_role(control_plane, FRONT_RIGHTS)
    arguments = ("--clusterrole=pipedrive-consent-front", "--user=front")
    control_plane.kubectl("create", "clusterrolebinding", "front", *arguments)
    return control_plane.kubeconfig_for("front")


def create_cluster_role(control_plane: ControlPlane, rights: Path, *more: Json) -> None:
    """Create a ClusterRole with the rules of the Role in a file, and more of them."""
    role = next(one for one in yaml.safe_load_all(rights.read_text()) if one["kind"] == "Role")
    cluster_role = {**role, "kind": "ClusterRole", "rules": [*role["rules"], *more]}
    control_plane.kubectl("apply", "--filename=-", stdin=json.dumps(cluster_role))


@pytest.fixture(scope="session")
def vault_token(openbao: OpenBao, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Vault token for the operator."""
    openbao.put_policy("pipedrive-operator", POLICY)
    path = tmp_path_factory.mktemp("vault") / "token"
    path.write_text(openbao.create_token(["pipedrive-operator"], period="1h"))
    return path


@pytest.fixture(scope="session")
def settings(
    openbao: OpenBao, pipedrive: ControlClient, user: Callable[[str], Path], vault_token: Path
) -> Callable[[str], Json]:
    """Return a function that builds settings for an operator with a user of its own."""

    def made(name: str) -> Json:
        return settings_for(openbao, pipedrive.url, kubeconfig=user(name), token_file=vault_token)

    return made


@pytest.fixture(scope="module")
def operator(
    settings: Callable[[str], Json], crd: None, client_id: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OperatorProcess]:
    """Run the operator that the tests of a module share; it would interfere with those of other modules."""
    assert crd is None
    assert client_id
    folder = tmp_path_factory.mktemp("operator")
    with OperatorProcess(settings(folder.name), folder=folder) as running:
        yield running


@pytest.fixture
def tenant(
    control_plane: ControlPlane, openbao: OpenBao, pipedrive: ControlClient, namespace: str, client_id: str
) -> Tenant:
    """Provide a namespace, a folder in Vault and a company."""
    return Tenant(cluster=control_plane, openbao=openbao, pipedrive=pipedrive, namespace=namespace, client_id=client_id)
