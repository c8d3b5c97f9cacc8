"""Everything that `connect` needs, for real: API server, Vault, operator, front and plugin; Pipedrive is the simulator.

Front, Pipedrive and the company's page are served with TLS on origins of their own. The browser resolves their names
to loopback; the operator reaches Pipedrive by its address.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from browser.connect.keyboard import Keyboard
from integration.kubernetes.rights import grant_rights
from pipedrive_operator.adapters.kubernetes.permissions import (
    required,
    required_for_consents,
    required_for_escrow,
    required_for_front,
)
from support import plugin as plugins
from support.crd import install_crd
from support.operated import settings_for
from support.plugin import Plugin
from support.tenant import eventually
from testbed import binaries, probe
from testbed.certificates import Authority, KeyPair
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess
from testbed.pipedrive.client import ControlClient
from testbed.processes import ChildProcess, free_port

Json = dict[str, Any]
Connect = Callable[..., Keyboard]
NAMESPACE: Final = "crm"
FRONT: Final = "connect.operator.test"
COMPANY: Final = "acme.pipedrive.test"
ELSEWHERE: Final = "https://intranet.operator.test/done"
SCOPES: Final = ["base", "deals:full", "contacts:read"]
WORLD: Final = {
    "companies": [{"company_id": 12, "domain": "acme"}, {"company_id": 56, "domain": "other"}],
    "users": [{"company_id": 12, "user_id": 34, "name": "Ada"}, {"company_id": 56, "user_id": 78, "name": "Grace"}],
}
_POLICY: Final = """
path "secret/data/apps/*" { capabilities = ["read"] }
path "secret/data/pipedrive/*" { capabilities = ["read", "create", "update"] }
"""


@dataclass(kw_only=True)
class Place:
    """A cluster with an operator, and what the tests look at in it."""

    cluster: ControlPlane
    openbao: OpenBao
    front_url: str

    def apply(self, name: str, app: str) -> None:
        """Apply a credential without a grant."""
        grant = {"path": f"pipedrive/{NAMESPACE}/{name}"}
        spec = {"oauth2": {"client": {"app": app}, "grant": grant}, "account": {"companyDomain": "acme"}}
        manifest = {
            "apiVersion": "pipedrive-operator.io/v1alpha1",
            "kind": "PipedriveCredential",
            "metadata": {"name": name},
            "spec": spec,
        }
        self.kubectl("apply", "--filename=-", stdin=yaml.safe_dump(manifest))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as administrator in the namespace."""
        return self.cluster.kubectl(*arguments, f"--namespace={NAMESPACE}", stdin=stdin)

    def stored(self, name: str) -> Json | None:
        """Return the grant of a credential in Vault."""
        return self.openbao.read_secret(f"pipedrive/{NAMESPACE}/{name}")

    def published(self, name: str) -> str:
        """Return the access token in the Secret of a credential, in base64."""
        return self.kubectl("get", "secret", name, "--output=jsonpath={.data.access_token}")

    def links(self) -> str:
        """Return the names of the consents."""
        return self.kubectl("get", "pipedriveconsents", "--output=name")


@dataclass(frozen=True, kw_only=True)
class Origins:
    """The certificate of all servers, and where the front listens."""

    pair: KeyPair
    authority: Path
    front_port: int

    @property
    def front_url(self) -> str:
        """The public address of the front."""
        return f"https://{FRONT}:{self.front_port}/connect"


@pytest.fixture(scope="session")
def origins(tmp_path_factory: pytest.TempPathFactory) -> Origins:
    """Issue a certificate, and choose a port."""
    authority = Authority(tmp_path_factory.mktemp("pki"))
    pair = authority.serving("site", [FRONT, COMPANY, "127.0.0.1"])
    return Origins(pair=pair, authority=authority.certificate, front_port=free_port())


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Run an API server with both CRDs and the namespace."""
    binaries.ensure(*binaries.TESTS_NEED)
    with ControlPlane(folder=tmp_path_factory.mktemp("control-plane")) as running:
        install_crd(running)
        running.kubectl("create", "namespace", NAMESPACE)
        yield running


@pytest.fixture(scope="session")
def openbao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """Run a Vault."""
    with OpenBao(folder=tmp_path_factory.mktemp("openbao")) as running:
        running.put_policy("pipedrive-operator", _POLICY)
        yield running


@pytest.fixture(scope="session")
def pipedrive(origins: Origins, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlClient]:
    """Run the simulator with two companies; its page is first on a domain of its own, and then on the company's."""
    port = free_port()
    tls = (f"--certificate={origins.pair.public}", f"--key={origins.pair.key}")
    command = [sys.executable, "-m", "testbed.pipedrive", f"--port={port}", "--rotate=always", *tls]
    process = ChildProcess(command, log=tmp_path_factory.mktemp("pipedrive") / "pipedrive.log")
    client = ControlClient(f"https://127.0.0.1:{port}", authority=origins.authority)
    process.start()
    try:
        process.wait_ready(lambda: _is_healthy(client), timeout=30)
        client.set_switches(company_page=f"https://{COMPANY}:{port}")
        client.seed(WORLD)
        yield client
    finally:
        process.kill()


def _is_healthy(simulator: ControlClient) -> bool:
    try:
        return bool(simulator.view("health"))
    except OSError:
        return False


@pytest.fixture(scope="session")
def apps(pipedrive: ControlClient, openbao: OpenBao, origins: Origins) -> Json:
    """Register an app for each mode, and return the settings of the apps."""
    callbacks = {
        "hosted": f"{origins.front_url}/callback",
        "loopback": f"http://localhost:{free_port()}/callback",
        "paste": ELSEWHERE,
    }
    found: Json = {}
    for name, redirect_uri in callbacks.items():
        (app,) = pipedrive.seed({"apps": {"name": "CRM sync", "redirect_uri": redirect_uri, "scopes": SCOPES}})["apps"]
        openbao.write_secret(f"apps/{name}", {"client_id": app["client_id"], "client_secret": app["client_secret"]})
        found[name] = {"path": f"apps/{name}", "allowedNamespaces": [NAMESPACE], "redirectUri": redirect_uri}
    return found


@pytest.fixture(scope="session")
def kubeconfig(control_plane: ControlPlane) -> Path:
    """Return the kubeconfig of the operator, with the rights that it has and no others."""
    rights = [*required([NAMESPACE]), *required_for_consents([NAMESPACE]), *required_for_escrow(NAMESPACE)]
    grant_rights(control_plane, "operator", rights)
    return control_plane.kubeconfig_for("operator")


@pytest.fixture(scope="session")
def settings(openbao: OpenBao, pipedrive: ControlClient, origins: Origins, apps: Json, kubeconfig: Path) -> Json:
    """Return the settings of operator and front."""
    token = kubeconfig.with_name("vault-token")
    token.write_text(openbao.create_token(["pipedrive-operator"], period="1h"))
    chosen = settings_for(openbao, pipedrive.url, kubeconfig=kubeconfig, token_file=token)
    domains = [pipedrive.url, f"https://{COMPANY}:{pipedrive.url.rpartition(':')[2]}"]
    chosen["kubernetes"] |= {"namespaces": [NAMESPACE], "operatorNamespace": NAMESPACE, "clusterName": "prod"}
    chosen["pipedrive"] |= {"apps": apps, "caFile": str(origins.authority), "allowedApiDomains": domains}
    chosen["consent"] = {
        "enabled": True,
        "publicUrl": origins.front_url,
        "address": "127.0.0.1",
        "port": origins.front_port,
        "tls": {"certFile": str(origins.pair.public), "keyFile": str(origins.pair.key)},
    }
    return chosen


@pytest.fixture(scope="session")
def operator(settings: Json, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorProcess]:
    """Run the operator."""
    with OperatorProcess(settings, folder=tmp_path_factory.mktemp("operator")) as running:
        yield running


@pytest.fixture(scope="session")
def front(settings: Json, control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the front, with the rights that it has and no others, and return its address."""
    folder, probes = tmp_path_factory.mktemp("front"), free_port()
    grant_rights(control_plane, "front", required_for_front([NAMESPACE]))
    kubernetes = settings["kubernetes"] | {"kubeconfig": str(control_plane.kubeconfig_for("front"))}
    config = folder / "front.yaml"
    config.write_text(
        yaml.safe_dump({**settings, "kubernetes": kubernetes, "http": {"address": "127.0.0.1", "port": probes}})
    )
    command = [sys.executable, "-m", "pipedrive_operator", "consent", f"--config={config}"]
    process = ChildProcess(command, log=folder / "front.log")
    process.start()
    try:
        process.wait_ready(lambda: probe.is_ok(probes, "/readyz"), timeout=30)
        yield str(settings["consent"]["publicUrl"])
    finally:
        process.stop()


@pytest.fixture(scope="session")
def place(control_plane: ControlPlane, openbao: OpenBao, operator: OperatorProcess, front: str) -> Place:
    """Return the cluster with everything running."""
    assert operator.is_ready()
    return Place(cluster=control_plane, openbao=openbao, front_url=front)


@pytest.fixture(scope="session")
def plugin(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Plugin:
    """Return the plugin of someone with the role `edit`."""
    folder = tmp_path_factory.mktemp("plugin")
    plugins.install(folder)
    plugins.create_roles(control_plane)
    kubeconfig = plugins.user(control_plane, "jane", namespace=NAMESPACE, role="edit")
    return Plugin(folder=folder, kubeconfig=kubeconfig, namespace=NAMESPACE)


@pytest.fixture
def connect(place: Place, plugin: Plugin, tmp_path: Path) -> Callable[..., Keyboard]:
    """Return a function that applies a credential without a grant, and types `kubectl pipedrive connect` for it."""

    def typed(name: str, *flags: str, app: str) -> Keyboard:
        place.apply(name, app)
        eventually(lambda: "GrantMissing" in place.kubectl("get", "pdc", name, "--output=json"))
        command = (f"{plugin.folder}/kubectl", "pipedrive", "connect", name, f"--namespace={NAMESPACE}", *flags)
        return Keyboard(command, environment=plugin.environment(), folder=tmp_path)

    return typed
