"""The parts of the n8n tier: the operator with its real parts, the token endpoint beside n8n, and n8n itself."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from integration.conftest import control_plane, crd, openbao  # noqa: F401  fixtures
from n8n.install import ensure
from n8n.instance import N8n
from n8n.vendor import Vendor
from pipedrive_operator.token_endpoint.clients import digest, new_secret
from support.tenant import Tenant, eventually
from testbed.certificates import Authority
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess
from testbed.pipedrive.client import ControlClient
from trials.operator.lifecycle.conftest import (  # noqa: F401  fixtures
    client_id,
    operator,
    pipedrive,
    settings,
    user,
    vault_token,
)

SAMPLE: Final = Path(__file__).parents[2] / "crds" / "samples" / "n8n.yaml"
_SYNC: Final = 0.5
"""In seconds, between two reads of the Secret, about as long as the kubelet's interval."""


@dataclass(frozen=True)
class Company:
    """A company whose n8n is fed by the sample: both Secrets are published."""

    tenant: Tenant
    overwrites: Path
    """The file that CREDENTIALS_OVERWRITE_DATA_FILE names."""
    client_secret: str
    """The client secret that n8n sends to the token endpoint, as the client `acme`."""

    def overwrite(self, port: int) -> None:
        """Write the mounted file as the kubelet does; the sample's port is replaced by that of this endpoint."""
        secret = self.tenant.secret("n8n-credentials")
        assert secret is not None
        self.overwrites.write_text(secret["overwrites.json"].replace(":8081/", f":{port}/"))


@dataclass
class Kubelet:
    """Keeps a folder in sync with a Secret, as the kubelet does for a volume."""

    folder: Path
    read: Callable[[], Mapping[str, str] | None]
    versions: set[str] = field(default_factory=set)
    """Every access token that was mounted."""

    def __post_init__(self) -> None:
        """Prepare to start."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        """Mount the Secret, and follow it."""
        self.folder.mkdir(parents=True)
        self.sync()
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._ended.set()
        self._thread.join()

    def sync(self) -> None:
        """Replace all files at once by way of `..data`."""
        values = self.read() or {}
        if values.get("access_token") in self.versions | {None}:
            return
        version = self.folder / f"..{len(self.versions)}"
        version.mkdir()
        for key, value in values.items():
            (version / key).write_text(value)
            if not (self.folder / key).is_symlink():
                (self.folder / key).symlink_to(f"..data/{key}")
        fresh = self.folder / "..fresh"
        fresh.symlink_to(version.name)
        fresh.rename(self.folder / "..data")
        self.versions.add(values["access_token"])

    def _keep(self) -> None:
        while not self._ended.wait(_SYNC):
            self.sync()


@pytest.fixture(scope="module")
def company(  # noqa: PLR0917  fixtures
    operator: OperatorProcess,  # noqa: F811
    control_plane: ControlPlane,  # noqa: F811
    openbao: OpenBao,  # noqa: F811
    pipedrive: ControlClient,  # noqa: F811
    client_id: str,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Company:
    """Apply the sample as a tenant's, and wait for both Secrets."""
    assert operator
    control_plane.kubectl("create", "namespace", "n8n")
    tenant = Tenant(cluster=control_plane, openbao=openbao, pipedrive=pipedrive, namespace="n8n", client_id=client_id)
    app = openbao.read_secret("apps/crm-sync")
    assert app is not None
    tenant.store("acme-token", api_token=tenant.api_token)
    tenant.store("acme", refresh_token=tenant.consent()["refresh_token"], **app)
    text = SAMPLE.read_text().replace("pipedrive/crm/", "pipedrive/n8n/")
    for manifest in yaml.safe_load_all(text.replace("companyDomain: acme", f"companyDomain: {tenant.domain}")):
        if manifest["kind"] == "PipedriveCredential":
            tenant.create(manifest)
            tenant.wait_for("Published", manifest["metadata"]["name"])
    folder = tmp_path_factory.mktemp("mounts")
    return Company(tenant=tenant, overwrites=folder / "overwrites.json", client_secret=new_secret())


@pytest.fixture(scope="module")
def mount(company: Company) -> Iterator[Kubelet]:
    """Keep the OAuth2 Secret mounted where the token endpoint reads it."""
    kubelet = Kubelet(company.overwrites.parent / "tokens" / "acme", lambda: company.tenant.secret("n8n-oauth2-acme"))
    kubelet.start()
    yield kubelet
    kubelet.stop()


@pytest.fixture(scope="module")
def sidecar(company: Company, mount: Kubelet) -> Iterator[int]:
    """Run the token endpoint as the sample's sidecar, and return its port."""
    clients = company.overwrites.parent / "clients"
    clients.mkdir()
    (clients / "acme").write_text(digest(company.client_secret))
    folders = ("--tokens", str(mount.folder.parent), "--clients", str(clients))
    command = (sys.executable, "-m", "pipedrive_operator", "token-endpoint", *folders, "--port", "0")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"127\.0\.0\.1:(\d+)/token", process.stderr.readline())
        assert found is not None
        yield int(found.group(1))
        process.terminate()


@pytest.fixture(scope="module")
def surroundings(pipedrive: ControlClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:  # noqa: F811
    """Serve Pipedrive's host names, and return the environment in which n8n uses them."""
    authority = Authority(tmp_path_factory.mktemp("vendor"))
    with Vendor(authority, int(pipedrive.url.rpartition(":")[2])) as vendor:
        yield {
            "HTTPS_PROXY": f"http://127.0.0.1:{vendor.port}",
            "HTTP_PROXY": f"http://127.0.0.1:{vendor.port}",
            "NO_PROXY": "127.0.0.1,localhost",
            "NODE_EXTRA_CA_CERTS": str(authority.certificate),
        }


@pytest.fixture(scope="module")
def beta(company: Company, sidecar: int) -> Iterator[Company]:
    """Add a second company to the same n8n: a credential, a mount and a client of the token endpoint."""
    assert sidecar
    first = company.tenant
    tenant = Tenant(
        cluster=first.cluster,
        openbao=first.openbao,
        pipedrive=first.pipedrive,
        namespace=first.namespace,
        client_id=first.client_id,
    )
    account, target = {"companyDomain": tenant.domain}, {"name": "n8n-oauth2-beta"}
    tenant.apply_oauth2("beta", account=account, target=target)
    tenant.wait_for("Published", "beta")
    mounts, client_secret = company.overwrites.parent, new_secret()
    (mounts / "clients" / "beta").write_text(digest(client_secret))
    kubelet = Kubelet(mounts / "tokens" / "beta", lambda: tenant.secret("n8n-oauth2-beta"))
    kubelet.start()
    yield Company(tenant=tenant, overwrites=company.overwrites, client_secret=client_secret)
    kubelet.stop()


@pytest.fixture(scope="module")
def environment(company: Company, sidecar: int, surroundings: dict[str, str]) -> dict[str, str]:
    """Return the environment of the sample's n8n."""
    company.overwrite(sidecar)
    return {**surroundings, "CREDENTIALS_OVERWRITE_DATA_FILE": str(company.overwrites)}


@pytest.fixture(scope="module")
def n8n(
    environment: dict[str, str],
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[N8n]:
    """Run n8n with the overwrites of the sample."""
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        installed = ensure()
    running = N8n(installed, tmp_path_factory.mktemp("n8n"), environment)
    running.start()
    yield running
    running.stop()


def deals(version: int, authentication: str, credential: str) -> Mapping[str, Any]:
    """Return a node that lists the deals of a company."""
    kind = "pipedriveApi" if authentication == "apiToken" else "pipedriveOAuth2Api"
    return {
        "name": "Deals",
        "type": "n8n-nodes-base.pipedrive",
        "typeVersion": version,
        "parameters": {
            "authentication": authentication,
            "resource": "deal",
            "operation": "getAll",
            "returnAll": False,
            "limit": 1,
        },
        "credentials": {kind: {"id": credential, "name": credential}},
    }


def upload(version: int, credential: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the nodes that make a file of the webhook's address, and upload it."""
    make = {
        "name": "File",
        "type": "n8n-nodes-base.convertToFile",
        "typeVersion": 1.1,
        "parameters": {
            "operation": "toText",
            "sourceProperty": "webhookUrl",
            "options": {"fileName": "note.txt"},
        },
    }
    send = {
        "name": "Upload",
        "type": "n8n-nodes-base.pipedrive",
        "typeVersion": version,
        "parameters": {
            "authentication": "oAuth2",
            "resource": "file",
            "operation": "create",
            "binaryPropertyName": "data",
        },
        "credentials": {"pipedriveOAuth2Api": {"id": credential, "name": credential}},
    }
    return make, send


def http_request(url: str, credential: str) -> Mapping[str, Any]:
    """Return a node that calls any address with the OAuth2 credential."""
    return {
        "name": "Request",
        "type": "n8n-nodes-base.httpRequest",
        "typeVersion": 4.2,
        "parameters": {
            "url": url,
            "authentication": "predefinedCredentialType",
            "nodeCredentialType": "pipedriveOAuth2Api",
        },
        "credentials": {"pipedriveOAuth2Api": {"id": credential, "name": credential}},
    }


def webhook(path: str) -> Mapping[str, Any]:
    """Return a node that starts a workflow by a request, and answers with what the last node returns."""
    return {
        "name": "Start",
        "type": "n8n-nodes-base.webhook",
        "typeVersion": 2,
        "webhookId": path,
        "parameters": {"path": path, "responseMode": "lastNode", "httpMethod": "GET"},
    }


def ask(n8n: N8n, path: str) -> tuple[int, str]:
    """Run a workflow by its webhook, once n8n has registered it, and return the status and the answer as text."""

    def answered() -> tuple[int, Any] | None:
        found = n8n.request("GET", f"/webhook/{path}")
        return None if found[0] == HTTPStatus.NOT_FOUND else found

    status, answer = eventually(answered, within=60)
    return status, json.dumps(answer)
