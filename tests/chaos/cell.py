"""One deployment of the operator: its replicas as processes, their network links, and their credentials.

Each replica has its own API server user and its own Vault token, so that the audit logs show what it did, and its own
links, so that it can be cut off alone.
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
from chaos.surroundings import APP_PATH, CLIENT_ID, CLIENT_SECRET, REDIRECT_URI, Environment, Json
from testbed.control_plane import ControlPlane
from testbed.link import Link
from testbed.operator_process import OperatorProcess

PIPEDRIVE_SECONDS: Final = 2
VAULT_SECONDS: Final = 3
KUBERNETES_SECONDS: Final = 5
LEASE_SECONDS: Final = 15
"""The shortest duration that the settings accept."""
SHARED: Final = "pipedrive/shared/"
_API: Final = "/apis/pipedrive-operator.io/v1alpha1"
_RIGHTS: Final = Path(__file__).parents[1] / "testbed" / "rights.yaml"
_SELECTOR: Final = "labelSelector=pipedrive-operator.io%2Fcredential"


class Way(StrEnum):
    """What a link leads to."""

    VAULT = "vault"
    CLUSTER = "cluster"
    PIPEDRIVE = "pipedrive"


@dataclass(kw_only=True)
class Replica:
    """One operator process, which can be killed and restarted."""

    name: str
    links: Mapping[Way, Link]
    process: OperatorProcess
    deaths: list[Death] = field(default_factory=list)

    def kill(self) -> None:
        """Kill the process as a crash would, and record when."""
        at = time.time()
        self.process.kill()
        self.deaths.append(Death(replica=self.name, at=at, gone_at=time.time()))

    def leads(self) -> bool:
        """Return whether the replica reports that it leads."""
        return self.process.leads()


@dataclass(kw_only=True)
class Grant:
    """A grant in Vault, and the user who consented to it."""

    path: str
    company_id: int
    user_id: int
    client: Json = field(default_factory=lambda: {"app": CLIENT_ID})
    """How a credential names the OAuth2 client."""
    credentials: list[tuple[str, str]] = field(default_factory=list)
    """Namespace and name of each credential that uses it."""
    consents: list[str] = field(default_factory=list)
    """The simulator's ids of the consents whose grants a person wrote to Vault, newest last."""
    written: dict[str, float] = field(default_factory=dict)
    """When Vault acknowledged them, by their ids."""
    consented_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CredentialState:
    """A credential as the API server shows it, with its Secret."""

    conditions: Mapping[str, Json]
    secret: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """Whether the credential is Ready."""
        return bool(self.conditions.get("Ready", {}).get("status") == "True")

    @property
    def authorized(self) -> str:
        """The reason of the Authorized condition."""
        return str(self.conditions.get("Authorized", {}).get("reason", ""))


class Cell:
    """A deployment, as a context manager. The caller starts its replicas."""

    def __init__(
        self,
        environment: Environment,
        name: str,
        *,
        replicas: int = 2,
        cluster: ControlPlane | None = None,
        namespaces: Sequence[str] = (),
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        vault_seconds: int = VAULT_SECONDS,
    ) -> None:
        """Describe the deployment. A single replica runs without leader election; `settings` override `_settings`."""
        self.name = name
        self._environment = environment
        self.cluster = cluster or environment.cluster
        self.namespaces = (name, *namespaces)
        self._count = replicas
        self._own = settings or {}
        self._vault_seconds = vault_seconds
        self._stack = ExitStack()
        self.replicas: list[Replica] = []
        self.grants: dict[str, Grant] = {}
        self._company = next(environment.companies)
        self._strangers = next(environment.companies)

    def __enter__(self) -> Self:
        """Create the namespaces, rights and company. Raises KubectlError."""
        self._api = self.cluster.client()
        self._folder = self._environment.folder / self.name
        self._folder.mkdir()
        names = [f"{self.name}-{number}" for number in range(self._count)]
        self.cluster.kubectl("apply", "--filename=-", stdin=json.dumps(self._objects(names)))
        self._environment.openbao.put_policy(self.name, self._policy())
        self._environment.pipedrive.command("add-company", company_id=self._company, domain=f"{self.name}-company")
        self._environment.pipedrive.command("add-company", company_id=self._strangers, domain=f"{self.name}-strangers")
        self._environment.pipedrive.command("add-user", company_id=self._strangers, user_id=self.stranger[1])
        with ExitStack() as stack:
            self.replicas = [self._replica(name, stack) for name in names]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the processes that still run."""
        self._stack.close()

    def start(self) -> None:
        """Start all replicas, and wait until they are ready. Raises ProcessError."""
        for replica in self.replicas:
            replica.process.start()
        for replica in self.replicas:
            replica.process.wait_ready()

    def stop(self) -> None:
        """Shut all replicas down gracefully: they store what they still hold."""
        for replica in self.replicas:
            replica.process.stop()

    def leader(self) -> Replica | None:
        """Return the replica that reports that it leads."""
        return next((replica for replica in self.replicas if replica.leads()), None)

    def add_grant(self, name: str, *, shared: bool = False) -> Grant:
        """Consent as a new user, and store the grant in Vault."""
        path = f"{SHARED}{self.name}-{name}" if shared else f"pipedrive/{self.name}/{name}"
        user_id = 1000 * self._company + len(self.grants)
        self._environment.pipedrive.command("add-user", company_id=self._company, user_id=user_id)
        grant = self.grants[name] = Grant(path=path, company_id=self._company, user_id=user_id)
        self.consent(grant)
        return grant

    def consent(self, grant: Grant) -> None:
        """Consent to a grant, possibly again, and overwrite its document in Vault with the new refresh token."""
        made = self._environment.pipedrive.install(CLIENT_ID, grant.company_id, grant.user_id)
        grant.consents.append(made["grant_id"])
        self._environment.openbao.write_secret(grant.path, {"refresh_token": made["answer"]["refresh_token"]})
        grant.consented_at = grant.written[made["grant_id"]] = time.time()

    def apply(self, uses: Mapping[tuple[str, str], Grant], **oauth2: Any) -> None:
        """Apply credentials, each for a grant, by namespace and name. Raises KubectlError."""
        for key, grant in uses.items():
            grant.credentials.append(key)
        items = [_credential(key, grant, oauth2) for key, grant in uses.items()]
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        self.cluster.kubectl("apply", "--server-side", "--filename=-", stdin=manifest)

    def own_client(self, grant: Grant) -> str:
        """Store the app's client next to a grant, so that its reads show in the audit log; return its path."""
        path = f"{grant.path}-client"
        self._environment.openbao.write_secret(path, {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET})
        grant.client = {"path": path, "idKey": "client_id", "secretKey": "client_secret"}
        return path

    def look(self, namespace: str | None = None) -> dict[str, CredentialState]:
        """Return the credentials of a namespace by their names. Raises ApiError."""
        where = namespace or self.name
        listed = self._api.get(f"/api/v1/namespaces/{where}/secrets?{_SELECTOR}")["items"]
        secrets = {item["metadata"]["name"]: decoded(item) for item in listed}
        credentials = self._api.get(f"{_API}/namespaces/{where}/pipedrivecredentials")["items"]
        return {
            name: CredentialState(
                conditions={one["type"]: one for one in item.get("status", {}).get("conditions", ())},
                secret=secrets.get(name, {}),
            )
            for item in credentials
            if (name := item["metadata"]["name"])
        }

    def escrow(self) -> list[Json]:
        """Return the escrow Secrets. Raises ApiError."""
        selector = "labelSelector=pipedrive-operator.io%2Fescrow"
        found: list[Json] = self._api.get(f"/api/v1/namespaces/{self.name}/secrets?{selector}")["items"]
        return found

    def lease(self) -> Json:
        """Return the spec of the Lease. Raises ApiError."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.name}/leases/pipedrive-operator"
        spec: Json = self._api.get(path)["spec"]
        return spec

    def request_refresh(self, name: str, *, at: float) -> None:
        """Request a refresh by annotation. Raises ApiError."""
        annotations = {
            "pipedrive-operator.io/requested-at": f"{at:.3f}",
            "pipedrive-operator.io/request": "refresh",
        }
        path = f"{_API}/namespaces/{self.name}/pipedrivecredentials/{name}"
        self._api.merge_patch(path, {"metadata": {"annotations": annotations}})

    @property
    def stranger(self) -> tuple[int, int]:
        """The ids of a company to which no grant of this deployment belongs, and of its user."""
        return self._strangers, 1000 * self._strangers

    def create_consent(self, name: str, credential: str, *, state_digest: str) -> None:
        """Create a consent for a credential. Raises ApiError."""
        kind = {"apiVersion": "pipedrive-operator.io/v1alpha1", "kind": "PipedriveConsent", "metadata": {"name": name}}
        spec = {"credential": credential, "stateDigest": state_digest}
        self._api.create(f"{_API}/namespaces/{self.name}/pipedriveconsents", {**kind, "spec": spec})

    def answer_consent(self, name: str, *, code: str, state: str) -> None:
        """Hand Pipedrive's answer to a consent. Raises ApiError."""
        path = f"{_API}/namespaces/{self.name}/pipedriveconsents/{name}"
        self._api.merge_patch(path, {"spec": {"answer": {"code": code, "state": state}}})

    def consent_status(self, name: str) -> Json:
        """Return the status of a consent. Raises ApiError."""
        found = self._api.get(f"{_API}/namespaces/{self.name}/pipedriveconsents/{name}")
        return dict(found.get("status", {}))

    def mend(self) -> None:
        """Restore every link."""
        for replica in self.replicas:
            for link in replica.links.values():
                link.delay(0)
                link.mend()

    def _replica(self, name: str, stack: ExitStack) -> Replica:
        links = {
            Way.VAULT: self._environment.links.to(self._environment.openbao.port),
            Way.CLUSTER: self._environment.links.to(self.cluster.port),
            Way.PIPEDRIVE: self._environment.links.to(self._environment.pipedrive_port),
        }
        process = OperatorProcess(self._settings(name, links), folder=self._folder, name=name)
        stack.callback(process.kill)
        return Replica(name=name, links=links, process=process)

    def _settings(self, name: str, links: Mapping[Way, Link]) -> Json:
        token = self._folder / f"{name}.vault-token"
        token.touch(mode=0o600)
        token.write_text(self._environment.openbao.create_token([self.name], period="24h", display_name=name))
        kubeconfig = self.cluster.kubeconfig_for(name, server=f"https://127.0.0.1:{links[Way.CLUSTER].port}")
        vault = {
            "address": links[Way.VAULT].url,
            "timeout": f"{self._vault_seconds}s",
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
                "apps": {CLIENT_ID: {"path": APP_PATH, "allowedNamespaces": ["*"], "redirectUri": REDIRECT_URI}},
            },
            "consent": {"enabled": True},
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
