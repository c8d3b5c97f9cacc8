"""Starts the parts of the demo: OpenBao with its seed, the Pipedrive simulator, the operator and the consent front.

Everything runs until the caller's stack is closed, and writes only to one folder. `steps` has the steps of the tour.
"""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from testbed import probe
from testbed.demo.connect import accept, create_link, describe_front, public_url
from testbed.demo.demo_cluster import NAMESPACE, Cluster, definitions, namespace
from testbed.demo.snapshot import Snapshot, read_snapshot
from testbed.demo.tour import Guide
from testbed.kubectl import write_token_kubeconfig
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess
from testbed.pipedrive.client import ControlClient
from testbed.processes import ChildProcess, ProcessError, free_port

TOKEN_PATH = f"pipedrive/{NAMESPACE}/acme-token"
OPERATOR_LOG = "operator.log"
_HERE = f"--namespace={NAMESPACE}"
_APP_PATH = "apps/crm-sync"
_RIGHTS = Path(__file__).parent.with_name("rights.yaml")
_START_SECONDS = 30.0
_POLICY = f"""
path "secret/data/{_APP_PATH}" {{ capabilities = ["read"] }}
path "secret/data/pipedrive/{NAMESPACE}/*" {{ capabilities = ["read", "create", "update"] }}
"""
_USER = {"company_id": 1, "user_id": 7}
_SEED: dict[str, Any] = {
    "companies": [{"company_id": 1, "domain": "acme"}],
    "users": [{**_USER, "name": "Ada"}],
}
_APP = {"client_id": "crm-sync", "name": "CRM sync", "scopes": ["base", "deals:full"]}
UNINSTALLED = json.dumps({"client_id": _APP["client_id"], **_USER})
"""What the simulator is sent so that the user uninstalls the app."""


@dataclass(frozen=True, kw_only=True)
class Pipedrive:
    """The simulator, with one user of one company."""

    control: ControlClient
    url: str

    def api_token(self) -> str:
        """Return the user's current API token."""
        return str(self.control.view("state")["users"][0]["api_token"])

    def regenerate_api_token(self) -> None:
        """Regenerate the user's API token, which revokes the old one."""
        self.control.command("regenerate-api-token", **_USER)


@dataclass(frozen=True, kw_only=True)
class DemoEnvironment:
    """Everything that is running."""

    cluster: Cluster
    openbao: OpenBao
    pipedrive: Pipedrive
    operator: OperatorProcess
    say: Callable[[str], None]
    """Shows a line to the person."""
    accepts: bool
    """Whether the demo accepts in Pipedrive itself, in place of a person."""

    def create_link(self, credential: str) -> str:
        """Return a link that connects an account to a credential. Raises KubectlError."""
        return create_link(self.cluster, credential)

    def accept(self, link: str) -> None:
        """Do what a person does with a link."""
        accept(link, **_USER)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl as administrator in the demo's namespace. Raises KubectlError."""
        return self.cluster.kubectl(*arguments, _HERE)

    def look(self) -> Snapshot:
        """Return the current state. Raises KubectlError, and ProcessError if the operator has exited."""
        if self.operator.has_ended():
            message = "the operator has exited"
            raise ProcessError(message)
        document = self.kubectl("get", "pipedrivecredentials,secrets,events", "--output=json")
        return read_snapshot(document, at=datetime.now(UTC))


def set_up(
    stack: ExitStack, guide: Guide, folder: Path, cluster: Cluster, *, say: Callable[[str], None], accepts: bool
) -> DemoEnvironment:
    """Start everything except the cluster, until the stack is closed. Raises StepError."""
    front_port = free_port()
    with guide.step("CRD", "kubectl applies the CRDs and creates a namespace") as report:
        report(stack.enter_context(definitions(cluster)))
        report(stack.enter_context(namespace(cluster)))
    with guide.step("Pipedrive", "a simulator of Pipedrive answers") as report:
        pipedrive = _start_pipedrive(stack, folder, callback=f"{public_url(front_port)}/callback")
        report(f"simulated at {pipedrive.url}; access tokens expire after 60 s, and a refresh token works once")
    with guide.step("Vault", "OpenBao answers, with the secrets that a person would write") as report:
        openbao = stack.enter_context(OpenBao(folder=_made(folder / "openbao")))
        _seed(openbao, pipedrive)
        report(f"OpenBao at {openbao.address} holds an API token and the app's client secret; nobody has consented yet")
    with guide.step("operator", "the operator starts as a separate process") as report:
        settings = _settings(folder, cluster, openbao=openbao, pipedrive=pipedrive, front=public_url(front_port))
        operator = stack.enter_context(OperatorProcess(settings, folder=folder))
        report(
            f"process {operator.pid} is ready, with a ServiceAccount that has the necessary permissions in {NAMESPACE}"
        )
    with guide.step("front", "the consent front, on which people connect accounts, starts as another one") as report:
        front = describe_front(
            folder, cluster, port=front_port, pipedrive=settings["pipedrive"], operator_port=operator.port
        )
        stack.enter_context(front)
        report(f"its pages are at {public_url(front_port)}; it can read and answer consents, and nothing else")
    return DemoEnvironment(
        cluster=cluster, openbao=openbao, pipedrive=pipedrive, operator=operator, say=say, accepts=accepts
    )


def _start_pipedrive(stack: ExitStack, folder: Path, *, callback: str) -> Pipedrive:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    seed = folder / "pipedrive.json"
    seed.write_text(json.dumps({**_SEED, "apps": [{**_APP, "redirect_uri": callback}]}))
    options = [f"--port={port}", f"--seed-file={seed}", "--rotate=always", "--expires-in=60"]
    process = ChildProcess([sys.executable, "-m", "testbed.pipedrive", *options], log=folder / "pipedrive.log")
    stack.callback(process.stop)
    process.start()
    process.wait_ready(lambda: probe.is_ok(port, "/_simulator/health"), timeout=_START_SECONDS)
    return Pipedrive(control=ControlClient(url), url=url)


def _seed(openbao: OpenBao, pipedrive: Pipedrive) -> None:
    app = pipedrive.control.view("state")["apps"][0]
    openbao.write_secret(TOKEN_PATH, {"api_token": pipedrive.api_token()})
    openbao.write_secret(_APP_PATH, {"client_id": app["client_id"], "client_secret": app["client_secret"]})
    openbao.put_policy("pipedrive-operator", _POLICY)


def _settings(folder: Path, cluster: Cluster, *, openbao: OpenBao, pipedrive: Pipedrive, front: str) -> dict[str, Any]:
    vault_token = _private(folder / "vault-token", openbao.create_token(["pipedrive-operator"], period="1h"))
    return {
        "kubernetes": {
            "kubeconfig": str(_operators_kubeconfig(folder, cluster)),
            "namespaces": [NAMESPACE],
            "operatorNamespace": NAMESPACE,
        },
        "vault": {
            "connections": {
                "default": {
                    "address": openbao.address,
                    "auth": {"method": "token", "tokenFile": str(vault_token)},
                }
            }
        },
        "pipedrive": {
            "apiUrl": pipedrive.url,
            "oauthUrl": pipedrive.url,
            "allowedApiDomains": ["http://127.0.0.1:*", "https://*.pipedrive.com"],
            "apps": {"crm-sync": {"path": _APP_PATH, "allowedNamespaces": [NAMESPACE]}},
        },
        "consent": {"enabled": True, "publicUrl": front},
        "controller": {"pollInterval": "5s", "verifyInterval": "15s"},
        "log": {"format": "console"},
    }


def _operators_kubeconfig(folder: Path, cluster: Cluster) -> Path:
    """Write a kubeconfig for a ServiceAccount with the operator's permissions in the demo's namespace only."""
    cluster.kubectl("apply", f"--filename={_RIGHTS}", _HERE)
    token = cluster.kubectl("create", "token", "pipedrive-operator", _HERE, "--duration=24h").strip()
    kubeconfig = folder / "operator.kubeconfig"
    write_token_kubeconfig(kubeconfig, cluster=cluster.connection(), token=token)
    return kubeconfig


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path
