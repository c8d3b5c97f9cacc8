"""A fleet of grants with short tokens: its app, companies, namespaces and replicas, and a watch of what it shows."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import yaml

from benchmarks.command import Say
from benchmarks.parts import RIGHTS, WORKERS, Parts
from benchmarks.scale import bulk
from benchmarks.scale.evidence import Published
from benchmarks.scale.plan import LEASE, MODEL_POLL, MODEL_VERIFY, Plan
from benchmarks.scale.waiting import wait_for, wait_for_leader
from benchmarks.workload import API_VERSION, KIND
from testbed.operator_process import OperatorProcess
from testbed.pipedrive.client import ControlClient

Json = dict[str, Any]
OPERATOR: Final = "fleet"
"""The operator's namespace, its user in the API server, and its name in Vault's audit log."""
NAMESPACES: Final = tuple(f"fleet-{number}" for number in range(4))
"""Several, because one namespace gets half of the operator's limits at most."""
VERIFICATIONS_PER_SECOND: Final = 50
"""The operator's default."""
_APP: Final = "fleet-app"
_APP_DOCUMENT: Final = {
    "client_id": _APP,
    "client_secret": "fleet-secret",
    "redirect_uri": "https://app.example.com/done",
    "scopes": ["base"],
}
_APP_PATH: Final = "apps/fleet"
_PREFIX: Final = "pipedrive/fleet/"
_POLICY: Final = f"""
path "secret/data/{_APP_PATH}" {{ capabilities = ["read"] }}
path "secret/data/{_PREFIX}*" {{ capabilities = ["read", "create", "update"] }}
"""
_FIRST_COMPANY: Final = 1_000
_SEED_SIZE: Final = 1_000
_BATCH_SECONDS: Final = 2.0
_READY_SECONDS: Final = 120.0
_LONG: Final = "12h"


@dataclass
class Watched:
    """The values that credentials published."""

    published: list[Published] = field(default_factory=list)
    newest: dict[str, str] = field(default_factory=dict)

    def see(self, _: float, __: str, credential: Mapping[str, Any]) -> None:
        """Note the status of a credential, if it has a new expiry."""
        name, status = credential["metadata"]["name"], credential.get("status", {})
        if not {"expiresAt", "renewalTime"} <= status.keys() or self.newest.get(name) == status["expiresAt"]:
            return
        self.newest[name] = status["expiresAt"]
        due_at, expires_at = (datetime.fromisoformat(status[key]).timestamp() for key in ("renewalTime", "expiresAt"))
        self.published.append(Published(name=name, seen_at=time.time(), due_at=due_at, expires_at=expires_at))


@dataclass(kw_only=True)
class Fleet:
    """The running fleet."""

    parts: Parts
    plan: Plan
    pipedrive: ControlClient
    watched: Watched
    replicas: list[OperatorProcess] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    """The credential of each grant of the simulator."""

    def leader(self) -> OperatorProcess:
        """Return the replica that leads. Raises MissingError if none does."""
        return wait_for_leader(self.replicas, timeout=_READY_SECONDS)

    def start(self, *, quiet: bool) -> float:
        """Start all replicas, and return when the first start began. `quiet`: nothing happens but refreshes."""
        settings = _settings(self.parts, self.plan, quiet=quiet)
        names = (f"fleet-{one}" for one in ("a", "b"))
        self.replicas = [OperatorProcess(settings, folder=self.parts.folder, name=name) for name in names]
        began = time.time()
        for replica in self.replicas:
            replica.start()
        for replica in self.replicas:
            replica.wait_ready(timeout=_READY_SECONDS)
        return began

    def stop(self) -> None:
        """Stop all replicas."""
        for replica in self.replicas:
            replica.terminate()
        for replica in self.replicas:
            replica.stop()

    def kill(self) -> None:
        """Kill the processes that still run."""
        for replica in self.replicas:
            replica.kill()

    def populate(self, say: Say) -> None:
        """Add the grants evenly over the time between two refreshes, as customers come one by one."""
        batches = max(1, int(self.plan.period / _BATCH_SECONDS))
        say(f"refreshes: {self.plan.grants:,} grants are added, during {self.plan.period:.0f} s")
        for batch in range(batches):
            due = time.monotonic() + _BATCH_SECONDS
            self._add(range(batch, self.plan.grants, batches))
            time.sleep(max(0.0, due - time.monotonic()))
        wait_for(
            lambda: len(self.watched.newest) >= self.plan.grants,
            "not every grant was published",
            timeout=_READY_SECONDS,
        )

    def _add(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            name = f"grant-{number}"
            company = _FIRST_COMPANY + number
            made = self.pipedrive.install(_APP, company, company)
            self.names[made["grant_id"]] = name
            token = made["answer"]["refresh_token"]
            self.parts.openbao.write_secret(f"{_PREFIX}{name}", {"refresh_token": token})
        for place, namespace in enumerate(NAMESPACES):
            objects = [_credential(namespace, one) for one in numbers if one % len(NAMESPACES) == place]
            bulk.create_credentials(self.parts.control_plane.client(), namespace, objects)


@contextmanager
def running(parts: Parts, plan: Plan) -> Iterator[Fleet]:
    """Prepare the fleet, without its grants; its replicas are not started yet. Raises KubectlError."""
    pipedrive = ControlClient(parts.pipedrive_url)
    pipedrive.set_switches(rotate="always", expires_in=int(plan.token_lifetime))
    pipedrive.command("add-app", **_APP_DOCUMENT)
    for first in range(0, plan.grants, _SEED_SIZE):
        pipedrive.seed(_companies(range(first, min(first + _SEED_SIZE, plan.grants))))
    parts.openbao.put_policy(OPERATOR, _POLICY)
    parts.openbao.write_secret(_APP_PATH, {key: str(_APP_DOCUMENT[key]) for key in ("client_id", "client_secret")})
    parts.control_plane.kubectl("apply", "--filename=-", stdin=json.dumps(_objects()))
    watched = Watched()
    client = parts.control_plane.client()
    with ExitStack() as stack:
        for namespace in NAMESPACES:
            path = f"/apis/{API_VERSION}/namespaces/{namespace}/pipedrivecredentials"
            stack.enter_context(client.watch(path, watched.see))
        fleet = Fleet(parts=parts, plan=plan, pipedrive=pipedrive, watched=watched)
        stack.callback(fleet.kill)
        yield fleet


def _settings(parts: Parts, plan: Plan, *, quiet: bool) -> Json:
    token = parts.folder / "fleet.vault-token"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(parts.openbao.create_token([OPERATOR], period="24h", display_name=OPERATOR))
    vault = {
        "address": parts.openbao.address,
        "auth": {"method": "token", "tokenFile": str(token)},
        "pathPrefixes": [_PREFIX],
    }
    intervals = {"pollInterval": _LONG, "verifyInterval": _LONG}
    if not quiet:
        poll, verify = (plan.in_proportion(seconds) for seconds in (MODEL_POLL, MODEL_VERIFY))
        intervals = {"pollInterval": f"{max(1, poll):.0f}s", "verifyInterval": f"{max(1, verify):.0f}s"}
    return {
        "kubernetes": {
            "kubeconfig": str(parts.control_plane.kubeconfig_for(OPERATOR)),
            "namespaces": list(NAMESPACES),
            "operatorNamespace": OPERATOR,
        },
        "vault": {"connections": {"default": vault}},
        "pipedrive": {
            "apiUrl": parts.pipedrive_url,
            "oauthUrl": parts.pipedrive_url,
            "allowedApiDomains": ["http://127.0.0.1:*"],
            "requestsPerSecond": VERIFICATIONS_PER_SECOND,
            "apps": {_APP: {"path": _APP_PATH, "allowedNamespaces": ["*"]}},
        },
        "controller": {"workers": WORKERS, **intervals},
        "leaderElection": {"enabled": True, "leaseDuration": f"{LEASE:.0f}s"},
    }


def _companies(numbers: Iterable[int]) -> Json:
    """Return a company with one user for each grant, as the customers of a Marketplace app are."""
    ids = [_FIRST_COMPANY + number for number in numbers]
    return {
        "companies": [{"company_id": one, "domain": f"customer-{one}"} for one in ids],
        "users": [{"company_id": one, "user_id": one} for one in ids],
    }


def _credential(namespace: str, number: int) -> Json:
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"namespace": namespace, "name": f"grant-{number}"},
        "spec": {"oauth2": {"client": {"app": _APP}, "grant": {"path": f"{_PREFIX}grant-{number}"}}},
    }


def _objects() -> Json:
    role = next(one for one in yaml.safe_load_all(RIGHTS.read_text()) if one["kind"] == "Role")
    group = role["apiVersion"].partition("/")[0]
    binding = {
        "apiVersion": role["apiVersion"],
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": group, "kind": "Role", "name": role["metadata"]["name"]},
        "subjects": [{"kind": "User", "name": OPERATOR}],
    }
    items: list[Json] = []
    for namespace in (OPERATOR, *NAMESPACES):
        items.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        items += [
            {
                **one,
                "metadata": {"name": OPERATOR if one is binding else role["metadata"]["name"], "namespace": namespace},
            }
            for one in (role, binding)
        ]
    return {"apiVersion": "v1", "kind": "List", "items": items}
