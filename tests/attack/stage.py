"""Sets the stage: the real parts, one operator, honest namespaces with short-lived tokens, and one hostile namespace.

The operator runs as the chart runs it: with a Lease, and watching all namespaces. Nothing is attacked or judged here.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from attack.hand import Hand
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
class Stage:
    """The parts, the operator and the namespaces."""

    environment: Environment
    operator: OperatorProcess
    viewer: Kubectl
    """Acts as a user with the ClusterRole `view` in all namespaces, who may also read the credentials."""
    honest: tuple[str, ...]
    secrets: dict[str, str] = field(default_factory=dict)
    """Every secret value, by what it is."""

    def hand(self) -> Hand:
        """Return a connection to the API server as administrator."""
        return Hand(self.environment.cluster.client())

    def write(self, path: str, values: Mapping[str, str]) -> None:
        """Write a document to Vault."""
        self.environment.openbao.write_secret(path, values)

    def api_token(self, company_id: int, user_id: int) -> str:
        """Create a user of a company, and return the user's API token."""
        user = self.environment.pipedrive.command("add-user", company_id=company_id, user_id=user_id)
        return str(user["api_token"])

    def grant(self, company_id: int, user_id: int) -> str:
        """Consent as a user of a company, and return the refresh token."""
        made = self.environment.pipedrive.install(CLIENT_ID, company_id, user_id)
        return str(made["answer"]["refresh_token"])

    @property
    def hostile_company(self) -> int:
        """The company of the hostile namespace."""
        return _HOSTILE_COMPANY


@contextmanager
def staged(folder: Path, *, tenants: int, expires_in: int, source: Path | None = None) -> Iterator[Stage]:
    """Set the stage for the duration of a block; `source` names the folder of another version of the operator.

    Raises:
        ProcessError, BuildError, KubectlError: a part does not start.
    """
    with set_up(folder, expires_in=expires_in) as environment:
        honest = tuple(f"honest-{number:02}" for number in range(tenants))
        cluster = environment.cluster
        cluster.kubectl("apply", "--filename=-", stdin=json.dumps(_objects([*honest, HOSTILE, OPERATORS])))
        environment.openbao.put_policy("operator", _POLICY)
        changed = None if source is None else {"PYTHONPATH": str(source)}
        operator = OperatorProcess(_settings(environment), folder=folder, environment=changed)
        viewer = cluster.kubectl_as(cluster.kubeconfig_for("viewer"))
        stage = Stage(environment=environment, operator=operator, viewer=viewer, honest=honest)
        stage.secrets["client secret"] = CLIENT_SECRET
        environment.pipedrive.command("add-company", company_id=_HOSTILE_COMPANY, domain=HOSTILE)
        for number, namespace in enumerate(honest, start=1):
            _populate(stage, namespace, number)
        with operator:
            yield stage


def credential(name: str, spec: Json, namespace: str = HOSTILE) -> Json:
    """Return a credential as a manifest."""
    return {
        "apiVersion": "pipedrive-operator.io/v1alpha1",
        "kind": "PipedriveCredential",
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    }


def _populate(stage: Stage, namespace: str, company: int) -> None:
    """Give an honest namespace a grant and an API token, and a credential for each."""
    stage.environment.pipedrive.command("add-company", company_id=company, domain=namespace)
    token = stage.secrets[f"API token of {namespace}"] = stage.api_token(company, company)
    refresh_token = stage.secrets[f"first refresh token of {namespace}"] = stage.grant(company, company)
    stage.write(f"pipedrive/{namespace}/{TOKEN}", {"api_token": token})
    stage.write(f"pipedrive/{namespace}/{GRANT}", {"refresh_token": refresh_token})
    oauth2 = {"client": {"app": CLIENT_ID}, "grant": {"path": f"pipedrive/{namespace}/{GRANT}"}}
    items = [
        credential(GRANT, {"oauth2": oauth2}, namespace),
        credential(TOKEN, {"apiToken": {"path": f"pipedrive/{namespace}/{TOKEN}"}}, namespace),
    ]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    stage.environment.cluster.kubectl("apply", "--server-side", "--filename=-", stdin=manifest)


def _settings(environment: Environment) -> Json:
    token = environment.folder / "vault-token"
    token.touch(mode=0o600)
    token.write_text(environment.openbao.create_token(["operator"], period="24h", display_name="operator"))
    url = environment.pipedrive.url
    return {
        "kubernetes": {
            "kubeconfig": str(environment.cluster.kubeconfig_for("operator")),
            "operatorNamespace": OPERATORS,
        },
        "vault": {
            "connections": {
                "default": {
                    "address": environment.openbao.address,
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
        "leaderElection": {"enabled": True, "leaseDuration": "15s"},
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
