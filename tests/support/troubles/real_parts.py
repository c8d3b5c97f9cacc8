"""Starts the operator as its own process with real parts that tests may break, and reads what it reports.

Single troubles are in the modules beside this one.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from support.troubles.echo import echo
from testbed import probe
from testbed.control_plane import ControlPlane
from testbed.kubectl import cluster_entry, write_token_kubeconfig
from testbed.openbao import OpenBao
from testbed.openbao_api import OpenBaoError
from testbed.operator_process import OperatorProcess
from testbed.pipedrive.client import ControlClient
from testbed.processes import ChildProcess, free_port

ROOT = Path(__file__).parents[3]
RIGHTS = ROOT / "tests" / "testbed" / "rights.yaml"
ROOMS = ("", "-quota", "-rbac", "-stranger")
"""Endings of the namespaces: what is done to one of them must not meet the others' credentials."""
FAR = "far"
"""A Vault connection of its own server, which is sealed; the operator logs in there with its ServiceAccount."""
NOWHERE = "nowhere"
"""A Vault connection where nothing listens."""
UNKNOWN_ROLE = "unknown-role"
"""A Vault connection of its own server, whose login is refused."""
_START_SECONDS = 30.0

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Person:
    """A user of a company of their own."""

    company_id: int
    user_id: int
    domain: str
    api_token: str

    @property
    def key(self) -> dict[str, int]:
        """The arguments that identify the person in Pipedrive's commands."""
        return {"company_id": self.company_id, "user_id": self.user_id}


@dataclass(kw_only=True)
class Stage:
    """Everything that runs, and the verbs to arrange it."""

    cluster: ControlPlane
    openbao: OpenBao
    far: OpenBao
    strict: OpenBao
    pipedrive: ControlClient
    pipedrive_url: str
    echo_url: str
    home: str
    folder: Path
    denials: dict[str, str] = field(default_factory=dict)
    """Vault paths with what of them is allowed."""
    given: set[str] = field(default_factory=set)
    """The secrets that the operator was given to log in with."""
    _companies: "count[int]" = field(default_factory=lambda: count(100))

    @property
    def namespaces(self) -> tuple[str, ...]:
        """All namespaces that the operator watches."""
        return tuple(f"{self.home}{room}" for room in ROOMS)

    @property
    def policy(self) -> str:
        """The name of the operator's policy in both Vaults."""
        return f"operator-{self.home}"

    def person(self, name: str) -> Person:
        """Create a company with one user."""
        company_id = next(self._companies)
        self.pipedrive.command("add-company", company_id=company_id, domain=name)
        user = self.pipedrive.command("add-user", company_id=company_id, user_id=company_id + 1000)
        return Person(company_id=company_id, user_id=user["id"], domain=name, api_token=user["api_token"])

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Apply an object as administrator."""
        self.cluster.kubectl("apply", "--filename=-", stdin=json.dumps(manifest))

    def allow(self, path: str, capabilities: str | None) -> None:
        """Restrict the operator's capabilities for one path of its Vault; None removes the restriction."""
        if capabilities is None:
            del self.denials[path]
        else:
            self.denials[path] = capabilities
        self.openbao.put_policy(self.policy, self.rules())

    def rules(self) -> str:
        """Write the operator's policy to Vault."""
        wide = f'path "secret/data/pipedrive/{self.home}*" {{ capabilities = ["read", "create", "update"] }}\n'
        narrow = (f'path "secret/data/{path}" {{ capabilities = [{what}] }}\n' for path, what in self.denials.items())
        return wide + "".join(narrow)

    def objects(self, kinds: str) -> list[Json]:
        """Return all objects of some kinds in the operator's namespaces."""
        listed = json.loads(self.cluster.kubectl("get", kinds, "--all-namespaces", "--output=json"))
        return [item for item in listed["items"] if item["metadata"]["namespace"] in self.namespaces]

    def secret_versions(self) -> Iterator[Json]:
        """Yield every version of every document that either Vault holds for the operator."""
        for vault in (self.openbao, self.far):
            for namespace in self.namespaces:
                yield from _versions(vault, f"pipedrive/{namespace}")


@contextmanager
def set_up(cluster: ControlPlane, openbao: OpenBao, *, home: str, folder: Path) -> Iterator[Stage]:
    """Start what does not run yet, and create the namespaces; end and delete everything at the end."""
    with ExitStack() as stack:
        url = _start_pipedrive(stack, folder)
        for name in ("far", "strict"):
            (folder / name).mkdir()
        stage = Stage(
            cluster=cluster,
            openbao=openbao,
            far=stack.enter_context(OpenBao(folder=folder / "far")),
            strict=stack.enter_context(OpenBao(folder=folder / "strict")),
            pipedrive=ControlClient(url),
            pipedrive_url=url,
            echo_url=stack.enter_context(echo()),
            home=home,
            folder=folder,
        )
        for namespace in stage.namespaces:
            cluster.kubectl("create", "namespace", namespace)
            stack.callback(cluster.kubectl, "delete", "namespace", namespace, "--wait=false")
        yield stage


@contextmanager
def operate(stage: Stage, log: Mapping[str, str]) -> Iterator[OperatorProcess]:
    """Run the operator with Vault tokens of its own."""
    openbao_token = stage.openbao.create_token(_policy(stage, stage.openbao), period="1h")
    kubeconfig = _kubeconfig(stage)
    for vault in (stage.far, stage.strict):
        vault.enable_kubernetes_auth(stage.cluster)
    stage.far.put_kubernetes_role(
        "operator", service_account=f"{stage.home}/pipedrive-operator", policies=_policy(stage, stage.far)
    )
    jwt = stage.cluster.service_account_token(stage.home, "pipedrive-operator")
    stage.given |= {openbao_token, jwt}
    token_file, jwt_file = _private(stage, "vault-token", openbao_token), _private(stage, "jwt", jwt)
    with_jwt = {"method": "kubernetes", "serviceAccountTokenFile": jwt_file}
    connections = {
        "default": {"address": stage.openbao.address, "auth": {"method": "token", "tokenFile": token_file}},
        FAR: {"address": stage.far.address, "auth": {**with_jwt, "role": "operator"}},
        UNKNOWN_ROLE: {"address": stage.strict.address, "auth": {**with_jwt, "role": "nobody"}},
        NOWHERE: {"address": f"http://127.0.0.1:{free_port()}", "auth": {"method": "token", "tokenFile": token_file}},
    }
    settings = {
        "kubernetes": {
            "kubeconfig": kubeconfig,
            "namespaces": list(stage.namespaces),
            "operatorNamespace": stage.home,
        },
        "vault": {"connections": connections},
        "pipedrive": _pipedrive_settings(stage),
        "controller": {"pollInterval": "2s", "verifyInterval": "4s"},
        "leaderElection": {"enabled": False},
        "log": dict(log),
    }
    with OperatorProcess(settings, folder=stage.folder) as operator:
        yield operator


def _pipedrive_settings(stage: Stage) -> Json:
    """Return settings for the simulator, with an app that only the operator's own namespace may use."""
    app = {"path": f"pipedrive/{stage.home}/app", "allowedNamespaces": [stage.home]}
    return {
        "apiUrl": stage.pipedrive_url,
        "oauthUrl": stage.pipedrive_url,
        "allowedApiDomains": ["http://127.0.0.1:*", "https://*.pipedrive.com"],
        "timeout": "5s",
        "apps": {"crm-sync": app},
    }


def _policy(stage: Stage, vault: OpenBao) -> list[str]:
    vault.put_policy(stage.policy, stage.rules())
    return ["default", stage.policy]


def _kubeconfig(stage: Stage) -> str:
    """Grant a ServiceAccount what the operator needs in each of the namespaces, and write its kubeconfig."""
    for namespace in stage.namespaces:
        stage.cluster.kubectl("apply", f"--filename={RIGHTS}", f"--namespace={namespace}")
        subject = f"--serviceaccount={stage.home}:pipedrive-operator"
        arguments = ("rolebinding", "from-home", "--role=pipedrive-operator", subject)
        stage.cluster.kubectl("create", *arguments, f"--namespace={namespace}")
    token = stage.cluster.service_account_token(stage.home, "pipedrive-operator")
    stage.given.add(token)
    kubeconfig = stage.folder / "operator.kubeconfig"
    cluster = cluster_entry(stage.cluster.server, stage.cluster.ca)
    write_token_kubeconfig(kubeconfig, cluster=cluster, token=token)
    return str(kubeconfig)


def _start_pipedrive(stack: ExitStack, folder: Path) -> str:
    port = free_port()
    process = ChildProcess([sys.executable, "-m", "testbed.pipedrive", f"--port={port}"], log=folder / "pipedrive.log")
    stack.callback(process.kill)
    process.start()
    process.wait_ready(lambda: probe.is_ok(port, "/_simulator/health"), timeout=_START_SECONDS)
    return f"http://127.0.0.1:{port}"


def _private(stage: Stage, name: str, text: str) -> str:
    path = stage.folder / name
    path.touch(mode=0o600)
    path.write_text(text)
    return str(path)


def _versions(vault: OpenBao, folder: str) -> Iterator[Json]:
    for name in _listed(vault, folder):
        path = f"{folder}/{name}"
        for version in (vault.secret_metadata(path) or {"versions": {}})["versions"]:
            with suppress(OpenBaoError):  # this version was deleted
                yield vault.request("GET", f"secret/data/{path}?version={version}")["data"]["data"]


def _listed(vault: OpenBao, folder: str) -> list[str]:
    try:
        return list(vault.request("LIST", f"secret/metadata/{folder}")["data"]["keys"])
    except OpenBaoError:
        return []
