"""Sets up what is attacked: real parts, one operator, honest namespaces with short-lived tokens, and a hostile one.

The operator runs as the chart runs it: with a Lease, and watching all namespaces. Nothing is attacked or judged here.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from attack.kept_connection import KeptConnection
from chaos.surroundings import APP_PATH, CLIENT_ID, CLIENT_SECRET, Environment, set_up
from testbed.kubectl import Kubectl
from testbed.operator_process import OperatorProcess

Json = dict[str, Any]
HOSTILE: Final = "hostile"
OPERATORS: Final = "operators"
DENIED: Final = f"pipedrive/{HOSTILE}/denied"
"""A path below the prefix of the hostile namespace that Vault's policy denies to the operator."""
API: Final = "/apis/pipedrive-operator.io/v1alpha1"
GRANT: Final = "grant"
TOKEN: Final = "token"
_RIGHTS: Final = Path(__file__).parents[1] / "testbed" / "rights.yaml"
_HOSTILE_COMPANY: Final = 999
_POLICY: Final = f"""
path "secret/data/{APP_PATH}" {{ capabilities = ["read"] }}
path "secret/data/pipedrive/*" {{ capabilities = ["read", "create", "update"] }}
path "secret/data/{DENIED}" {{ capabilities = ["deny"] }}
"""


@dataclass(kw_only=True)
class AttackEnvironment:
    """The parts, the operator and the namespaces."""

    parts: Environment
    operator: OperatorProcess
    viewer: Kubectl
    """Acts as a user with the ClusterRole `view` in all namespaces, and that can also read the credentials."""
    honest: tuple[str, ...]
    secrets: dict[str, str] = field(default_factory=dict)
    """Every secret value, by what it is."""

    def connect(self) -> KeptConnection:
        """Return a connection to the API server, as administrator, that stays open."""
        return KeptConnection(self.parts.cluster.client())

    def write(self, path: str, values: Mapping[str, str]) -> None:
        """Write a document to Vault."""
        self.parts.openbao.write_secret(path, values)

    def api_token(self, company_id: int, user_id: int) -> str:
        """Create a user of a company, and return the user's API token."""
        user = self.parts.pipedrive.command("add-user", company_id=company_id, user_id=user_id)
        return str(user["api_token"])

    def grant(self, company_id: int, user_id: int) -> str:
        """Consent as a user of a company, and return the refresh token."""
        made = self.parts.pipedrive.install(CLIENT_ID, company_id, user_id)
        return str(made["answer"]["refresh_token"])

    @property
    def hostile_company(self) -> int:
        """The company of the hostile namespace."""
        return _HOSTILE_COMPANY


@contextmanager
def set_up_attack(
    folder: Path, *, tenants: int, expires_in: int, source: Path | None = None
) -> Iterator[AttackEnvironment]:
    """Set up everything for the duration of a block; `source` names the folder of another version of the operator.

    Raises:
        ProcessError, BuildError, KubectlError: a part does not start.
    """
    with set_up(folder, expires_in=expires_in) as parts:
        honest = tuple(f"honest-{number:02}" for number in range(tenants))
        cluster = parts.cluster
        cluster.kubectl("apply", "--filename=-", stdin=json.dumps(_objects([*honest, HOSTILE, OPERATORS])))
        parts.openbao.put_policy("operator", _POLICY)
        changed = None if source is None else {"PYTHONPATH": str(source)}
        operator = OperatorProcess(_settings(parts), folder=folder, environment=changed)
        viewer = cluster.kubectl_as(cluster.kubeconfig_for("viewer"))
        environment = AttackEnvironment(parts=parts, operator=operator, viewer=viewer, honest=honest)
        environment.secrets["client secret"] = CLIENT_SECRET
        parts.pipedrive.command("add-company", company_id=_HOSTILE_COMPANY, domain=HOSTILE)
        for number, namespace in enumerate(honest, start=1):
            _populate(environment, namespace, number)
        with operator:
            yield environment


def credential(name: str, spec: Json, namespace: str = HOSTILE) -> Json:
    """Return a credential as a manifest."""
    return {
        "apiVersion": "pipedrive-operator.io/v1alpha1",
        "kind": "PipedriveCredential",
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    }


def _populate(environment: AttackEnvironment, namespace: str, company: int) -> None:
    """Give an honest namespace a grant and an API token, and a credential for each."""
    environment.parts.pipedrive.command("add-company", company_id=company, domain=namespace)
    token = environment.secrets[f"API token of {namespace}"] = environment.api_token(company, company)
    refresh_token = environment.secrets[f"first refresh token of {namespace}"] = environment.grant(company, company)
    environment.write(f"pipedrive/{namespace}/{TOKEN}", {"api_token": token})
    environment.write(f"pipedrive/{namespace}/{GRANT}", {"refresh_token": refresh_token})
    oauth2 = {"client": {"app": CLIENT_ID}, "grant": {"path": f"pipedrive/{namespace}/{GRANT}"}}
    items = [
        credential(GRANT, {"oauth2": oauth2}, namespace),
        credential(TOKEN, {"apiToken": {"path": f"pipedrive/{namespace}/{TOKEN}"}}, namespace),
    ]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    environment.parts.cluster.kubectl("apply", "--server-side", "--filename=-", stdin=manifest)


def _settings(parts: Environment) -> Json:
    token = parts.folder / "vault-token"
    token.touch(mode=0o600)
    token.write_text(parts.openbao.create_token(["operator"], period="24h", display_name="operator"))
    url = parts.pipedrive.url
    return {
        "kubernetes": {
            "kubeconfig": str(parts.cluster.kubeconfig_for("operator")),
            "operatorNamespace": OPERATORS,
        },
        "vault": {
            "connections": {
                "default": {
                    "address": parts.openbao.address,
                    "auth": {"method": "token", "tokenFile": str(token)},
                    "pathPrefixes": ["pipedrive/{namespace}/"],
                }
            }
        },
        "pipedrive": {
            "apiUrl": url,
            "oauthUrl": url,
            "timeout": "10s",
            "allowedApiDomains": ["http://127.0.0.1:*", "https://*.pipedrive.com"],
            "apps": {CLIENT_ID: {"path": APP_PATH, "allowedNamespaces": ["*"]}},
        },
        "controller": {"pollInterval": "30s", "verifyInterval": "60s"},
        "leaderElection": {"enabled": True},
    }


def _objects(namespaces: list[str]) -> Json:
    role = next(one for one in yaml.safe_load_all(_RIGHTS.read_text()) if one["kind"] == "Role")
    reading = [{"apiGroups": ["pipedrive-operator.io"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]
    items: list[Json] = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in namespaces]
    items += _cluster_role("operator", role["rules"])
    items += _cluster_role("viewer", reading)
    items.append(_binding("viewer", "view"))
    return {"apiVersion": "v1", "kind": "List", "items": items}


def _cluster_role(user: str, rules: list[Json]) -> list[Json]:
    api = "rbac.authorization.k8s.io/v1"
    role = {"apiVersion": api, "kind": "ClusterRole", "metadata": {"name": f"attack-{user}"}, "rules": rules}
    return [role, _binding(user, f"attack-{user}")]


def _binding(user: str, role: str) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"{role}-{user}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
