"""One deployment of the operator: its replicas as processes, their ways out, and the credentials that they keep.

A replica has a user of its own at the API server and a token of its own in Vault, so that the audit logs tell what
each of them did; and links of its own, so that each can be cut off alone.
"""

import base64
import json
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Self

import yaml

from chaos.evidence import Death
from chaos.stage import APP_PATH, CLIENT_ID, CLIENT_SECRET, Json, Stage
from testbed.control_plane import ControlPlane
from testbed.link import Link
from testbed.operator_process import OperatorProcess

PIPEDRIVE_SECONDS: Final = 2
VAULT_SECONDS: Final = 3
KUBERNETES_SECONDS: Final = 5
LEASE_SECONDS: Final = 15
"""The shortest that the settings take."""
SHARED: Final = "pipedrive/shared/"
_API: Final = "/apis/pipedrive-operator.io/v1alpha1"
_RIGHTS: Final = Path(__file__).parents[1] / "testbed" / "rights.yaml"
_SELECTOR: Final = "labelSelector=pipedrive-operator.io%2Fcredential"


class Way(StrEnum):
    """Where a replica goes."""

    VAULT = "vault"
    CLUSTER = "cluster"
    PIPEDRIVE = "pipedrive"


@dataclass(kw_only=True)
class Replica:
    """One process of the operator, which dies and is started again."""

    name: str
    links: Mapping[Way, Link]
    process: OperatorProcess
    deaths: list[Death] = field(default_factory=list)

    def kill(self) -> None:
        """End it as a crash would, and remember when."""
        at = time.time()
        self.process.kill()
        self.deaths.append(Death(replica=self.name, at=at, gone_at=time.time()))

    def leads(self) -> bool:
        """Tell whether it says that it acts."""
        answer = self.process.get("/metrics")
        return answer is not None and "\npipedrive_operator_leader 1.0" in answer.text


@dataclass(kw_only=True)
class Grant:
    """A grant in Vault, and who has consented to it."""

    path: str
    company_id: int
    user_id: int
    client: Json = field(default_factory=lambda: {"app": CLIENT_ID})
    """How a credential names the OAuth2 client."""
    credentials: list[tuple[str, str]] = field(default_factory=list)
    """Namespace and name of each credential that uses it."""
    consents: list[str] = field(default_factory=list)
    """The simulator's ids, the newest last."""
    consented_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Sight:
    """A credential as the API server shows it, with its Secret."""

    conditions: Mapping[str, Json]
    secret: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """Whether it says that the Secret can be used."""
        return bool(self.conditions.get("Ready", {}).get("status") == "True")

    @property
    def authorized(self) -> str:
        """What it says of the grant."""
        return str(self.conditions.get("Authorized", {}).get("reason", ""))


class Cell:
    """A deployment between `with` and its end; its replicas are started by whoever uses it."""

    def __init__(
        self,
        stage: Stage,
        name: str,
        *,
        replicas: int = 2,
        cluster: ControlPlane | None = None,
        namespaces: Sequence[str] = (),
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Describe it; one replica goes without an election. `settings` are laid over those of `_settings`."""
        self.name = name
        self._stage = stage
        self.cluster = cluster or stage.cluster
        self.namespaces = (name, *namespaces)
        self._count = replicas
        self._own = settings or {}
        self._stack = ExitStack()
        self.replicas: list[Replica] = []
        self.grants: dict[str, Grant] = {}
        self._company = next(stage.companies)

    def __enter__(self) -> Self:
        """Make its namespaces, rights and company. Raises KubectlError."""
        self._api = self.cluster.client()
        self._folder = self._stage.folder / self.name
        self._folder.mkdir()
        names = [f"{self.name}-{number}" for number in range(self._count)]
        self.cluster.kubectl("apply", "--filename=-", stdin=json.dumps(self._objects(names)))
        self._stage.openbao.put_policy(self.name, self._policy())
        self._stage.pipedrive.command("add-company", company_id=self._company, domain=f"{self.name}-company")
        with ExitStack() as stack:
            self.replicas = [self._replica(name, stack) for name in names]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what still runs."""
        self._stack.close()

    def start(self) -> None:
        """Start all replicas, and wait until they are ready. Raises ProcessError."""
        for replica in self.replicas:
            replica.process.start()
        for replica in self.replicas:
            replica.process.wait_ready()

    def stop(self) -> None:
        """Let all replicas end in order: what was won is stored."""
        for replica in self.replicas:
            replica.process.stop()

    def leader(self) -> Replica | None:
        """Return the replica that says it acts."""
        return next((replica for replica in self.replicas if replica.leads()), None)

    def add_grant(self, name: str, *, shared: bool = False) -> Grant:
        """Let somebody consent, and put the grant into Vault."""
        path = f"{SHARED}{self.name}-{name}" if shared else f"pipedrive/{self.name}/{name}"
        user_id = 1000 * self._company + len(self.grants)
        self._stage.pipedrive.command("add-user", company_id=self._company, user_id=user_id)
        grant = self.grants[name] = Grant(path=path, company_id=self._company, user_id=user_id)
        self.consent(grant)
        return grant

    def consent(self, grant: Grant) -> None:
        """Let somebody consent to a grant, anew perhaps, and write its refresh token into Vault over what is there."""
        made = self._stage.pipedrive.install(CLIENT_ID, grant.company_id, grant.user_id)
        grant.consents.append(made["grant_id"])
        self._stage.openbao.write_secret(grant.path, {"refresh_token": made["answer"]["refresh_token"]})
        grant.consented_at = time.time()

    def apply(self, uses: Mapping[tuple[str, str], Grant], **oauth2: Any) -> None:
        """Apply credentials by their namespaces and names, each for a grant. Raises KubectlError."""
        for key, grant in uses.items():
            grant.credentials.append(key)
        items = [_credential(key, grant, oauth2) for key, grant in uses.items()]
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        self.cluster.kubectl("apply", "--server-side", "--filename=-", stdin=manifest)

    def own_client(self, grant: Grant) -> str:
        """Put the app's client beside a grant, so that the log tells for which grant it is read; return its path."""
        path = f"{grant.path}-client"
        self._stage.openbao.write_secret(path, {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
        grant.client = {"path": path, "idKey": "client_id", "secretKey": "client_secret"}
        return path

    def look(self, namespace: str | None = None) -> dict[str, Sight]:
        """Return the credentials of a namespace by their names. Raises ApiError."""
        where = namespace or self.name
        listed = self._api.get(f"/api/v1/namespaces/{where}/secrets?{_SELECTOR}")["items"]
        secrets = {item["metadata"]["name"]: decoded(item) for item in listed}
        credentials = self._api.get(f"{_API}/namespaces/{where}/pipedrivecredentials")["items"]
        return {
            name: Sight(
                conditions={one["type"]: one for one in item.get("status", {}).get("conditions", ())},
                secret=secrets.get(name, {}),
            )
            for item in credentials
            if (name := item["metadata"]["name"])
        }

    def escrow(self) -> list[Json]:
        """Return the Secrets that are in escrow. Raises ApiError."""
        selector = "labelSelector=pipedrive-operator.io%2Fescrow"
        found: list[Json] = self._api.get(f"/api/v1/namespaces/{self.name}/secrets?{selector}")["items"]
        return found

    def lease(self) -> Json:
        """Return the spec of the Lease. Raises ApiError."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.name}/leases/pipedrive-operator"
        spec: Json = self._api.get(path)["spec"]
        return spec

    def request_refresh(self, name: str, *, at: float) -> None:
        """Ask for a refresh by annotation, as a person does. Raises ApiError."""
        annotations = {
            "pipedrive-operator.io/requested-at": f"{at:.3f}",
            "pipedrive-operator.io/request": "refresh",
        }
        path = f"{_API}/namespaces/{self.name}/pipedrivecredentials/{name}"
        self._api.merge_patch(path, {"metadata": {"annotations": annotations}})

    def mend(self) -> None:
        """Mend every link."""
        for replica in self.replicas:
            for link in replica.links.values():
                link.delay(0)
                link.mend()

    def _replica(self, name: str, stack: ExitStack) -> Replica:
        links = {
            Way.VAULT: self._stage.links.to(self._stage.openbao.port),
            Way.CLUSTER: self._stage.links.to(self.cluster.port),
            Way.PIPEDRIVE: self._stage.links.to(self._stage.pipedrive_port),
        }
        process = OperatorProcess(self._settings(name, links), folder=self._folder, name=name)
        stack.callback(process.kill)
        return Replica(name=name, links=links, process=process)

    def _settings(self, name: str, links: Mapping[Way, Link]) -> Json:
        token = self._folder / f"{name}.vault-token"
        token.touch(mode=0o600)
        token.write_text(self._stage.openbao.create_token([self.name], period="24h", display_name=name))
        kubeconfig = self.cluster.kubeconfig_for(name, server=f"https://127.0.0.1:{links[Way.CLUSTER].port}")
        vault = {
            "address": links[Way.VAULT].url,
            "timeout": f"{VAULT_SECONDS}s",
            "auth": {"method": "token", "tokenFile": str(token)},
            "pathPrefixes": ["pipedrive/{namespace}/", SHARED],
        }
        settings: dict[str, Json] = {
            "kubernetes": {
                "kubeconfig": str(kubeconfig),
                "namespaces": list(self.namespaces),
                "operatorNamespace": self.name,
                "timeout": f"{KUBERNETES_SECONDS}s",
            },
            "vault": {"connections": {"default": vault}},
            "pipedrive": {
                "apiUrl": links[Way.PIPEDRIVE].url,
                "oauthUrl": links[Way.PIPEDRIVE].url,
                "allowedApiDomains": ["http://127.0.0.1:*", "https://*.pipedrive.com"],
                "timeout": f"{PIPEDRIVE_SECONDS}s",
                "apps": {CLIENT_ID: {"path": APP_PATH, "allowedNamespaces": ["*"]}},
            },
            "controller": {"pollInterval": "2s"},
            "leaderElection": {"enabled": self._count > 1, "leaseDuration": f"{LEASE_SECONDS}s"},
        }
        return {section: {**values, **self._own.get(section, {})} for section, values in settings.items()}

    def _objects(self, users: Sequence[str]) -> Json:
        role = next(one for one in yaml.safe_load_all(_RIGHTS.read_text()) if one["kind"] == "Role")
        items: list[Json] = []
        for namespace in self.namespaces:
            items.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
            items.append({**role, "metadata": {"name": role["metadata"]["name"], "namespace": namespace}})
            items.append(
                {
                    "apiVersion": role["apiVersion"],
                    "kind": "RoleBinding",
                    "metadata": {"name": "operators", "namespace": namespace},
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "Role",
                        "name": role["metadata"]["name"],
                    },
                    "subjects": [{"kind": "User", "name": user} for user in users],
                }
            )
        return {"apiVersion": "v1", "kind": "List", "items": items}

    def _policy(self) -> str:
        rules = [f'path "secret/data/{APP_PATH}" {{ capabilities = ["read"] }}']
        prefixes = (*(f"pipedrive/{namespace}/" for namespace in self.namespaces), SHARED)
        rules += [
            f'path "secret/data/{prefix}*" {{ capabilities = ["read", "create", "update"] }}' for prefix in prefixes
        ]
        return "\n".join(rules)


def decoded(secret: Json) -> dict[str, str]:
    """Return a Secret's data as text."""
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}


def _credential(key: tuple[str, str], grant: Grant, oauth2: Json) -> Json:
    namespace, name = key
    return {
        "apiVersion": "pipedrive-operator.io/v1alpha1",
        "kind": "PipedriveCredential",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"oauth2": {"client": grant.client, "grant": {"path": grant.path}, **oauth2}},
    }
