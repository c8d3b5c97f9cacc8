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
NAMESPACE_SUFFIXES = ("", "-quota", "-rbac", "-stranger")
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
class RealParts:
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
    provided_secrets: set[str] = field(default_factory=set)
    """The secrets that the operator was provided_secrets to log in with."""
    _companies: "count[int]" = field(default_factory=lambda: count(100))

    @property
    def namespaces(self) -> tuple[str, ...]:
        """All namespaces that the operator watches."""
        return tuple(f"{self.home}{namespace_suffix}" for namespace_suffix in NAMESPACE_SUFFIXES)

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
def set_up(cluster: ControlPlane, openbao: OpenBao, *, home: str, folder: Path) -> Iterator[RealParts]:
    """Start what does not run yet, and create the namespaces; end and delete everything at the end."""
    with ExitStack() as stack:
        url = _start_pipedrive(stack, folder)
        for name in ("far", "strict"):
            (folder / name).mkdir()
        parts = RealParts(
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
        for namespace in parts.namespaces:
            cluster.kubectl("create", "namespace", namespace)
            stack.callback(cluster.kubectl, "delete", "namespace", namespace, "--wait=false")
        yield parts


@contextmanager
def operate(parts: RealParts, log: Mapping[str, str]) -> Iterator[OperatorProcess]:
    """Run the operator with Vault tokens of its own."""
    openbao_token = parts.openbao.create_token(_policy(parts, parts.openbao), period="1h")
    kubeconfig = _kubeconfig(parts)
    for vault in (parts.far, parts.strict):
        vault.enable_kubernetes_auth(parts.cluster)
    parts.far.put_kubernetes_role(
        "operator", service_account=f"{parts.home}/pipedrive-operator", policies=_policy(parts, parts.far)
    )
    jwt = parts.cluster.service_account_token(parts.home, "pipedrive-operator")
    parts.provided_secrets |= {openbao_token, jwt}
    token_file, jwt_file = _private(parts, "vault-token", openbao_token), _private(parts, "jwt", jwt)
    with_jwt = {"method": "kubernetes", "serviceAccountTokenFile": jwt_file}
    connections = {
        "default": {"address": parts.openbao.address, "auth": {"method": "token", "tokenFile": token_file}},
        FAR: {"address": parts.far.address, "auth": {**with_jwt, "role": "operator"}},
        UNKNOWN_ROLE: {"address": parts.strict.address, "auth": {**with_jwt, "role": "nobody"}},
        NOWHERE: {"address": f"http://127.0.0.1:{free_port()}", "auth": {"method": "token", "tokenFile": token_file}},
    }
    settings = {
        "kubernetes": {
            "kubeconfig": kubeconfig,
            "namespaces": list(parts.namespaces),
            "operatorNamespace": parts.home,
        },
        "vault": {"connections": connections},
        "pipedrive": _pipedrive_settings(parts),
        "controller": {"pollInterval": "2s", "verifyInterval": "4s"},
        "leaderElection": {"enabled": False},
        "log": dict(log),
    }
    with OperatorProcess(settings, folder=parts.folder) as operator:
        yield operator


def _pipedrive_settings(parts: RealParts) -> Json:
    """Return settings for the simulator, with an app that only the operator's own namespace may use."""
    app = {"path": f"pipedrive/{parts.home}/app", "allowedNamespaces": [parts.home]}
    return {
        "apiUrl": parts.pipedrive_url,
        "oauthUrl": parts.pipedrive_url,
        "allowedApiDomains": ["http://127.0.0.1:*", "https://*.pipedrive.com"],
        "timeout": "5s",
        "apps": {"crm-sync": app},
    }


def _policy(parts: RealParts, vault: OpenBao) -> list[str]:
    vault.put_policy(parts.policy, parts.rules())
    return ["default", parts.policy]


def _kubeconfig(parts: RealParts) -> str:
    """Grant a ServiceAccount what the operator needs in each of the namespaces, and write its kubeconfig."""
    for namespace in parts.namespaces:
        parts.cluster.kubectl("apply", f"--filename={RIGHTS}", f"--namespace={namespace}")
        subject = f"--serviceaccount={parts.home}:pipedrive-operator"
        arguments = ("rolebinding", "from-home", "--role=pipedrive-operator", subject)
        parts.cluster.kubectl("create", *arguments, f"--namespace={namespace}")
    token = parts.cluster.service_account_token(parts.home, "pipedrive-operator")
    parts.provided_secrets.add(token)
    kubeconfig = parts.folder / "operator.kubeconfig"
    cluster = cluster_entry(parts.cluster.server, parts.cluster.ca)
    write_token_kubeconfig(kubeconfig, cluster=cluster, token=token)
    return str(kubeconfig)


def _start_pipedrive(stack: ExitStack, folder: Path) -> str:
    port = free_port()
    process = ChildProcess([sys.executable, "-m", "testbed.pipedrive", f"--port={port}"], log=folder / "pipedrive.log")
    stack.callback(process.kill)
    process.start()
    process.wait_ready(lambda: probe.is_ok(port, "/_simulator/health"), timeout=_START_SECONDS)
    return f"http://127.0.0.1:{port}"


def _private(parts: RealParts, name: str, text: str) -> str:
    path = parts.folder / name
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
