"""One namespace, its folder in Vault and a company at Pipedrive, for an operator that runs as its own process.

It arranges things and waits for conditions; the tests decide what is correct.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from itertools import count
from typing import Any, TypeVar

from support.manifests import credential, decoded
from testbed.api_client import ApiClient
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao
from testbed.pipedrive.client import ControlClient
from testbed.pipedrive.ledger import Call

Json = dict[str, Any]
T = TypeVar("T")
APP_PATH = "apps/crm-sync"
DEADLINE = 20.0
POLL_SECONDS = 0.05
_COMPANIES = count(1)
_PATHS = {
    "secret": "/api/v1/namespaces/{}/secrets",
    "pipedrivecredential": "/apis/pipedrive-operator.io/v1alpha1/namespaces/{}/pipedrivecredentials",
    "deployment": "/apis/apps/v1/namespaces/{}/deployments",
}
"""Where the API server keeps what tests look at, often and again."""


def eventually(look: Callable[[], T | None], *, within: float = DEADLINE) -> T:
    """Call `look` until it returns something true, and return that. Raises AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        if seen := look():
            return seen
        assert time.monotonic() < deadline, f"not within {within:.1f} s: {getattr(look, '__doc__', None) or look}"
        time.sleep(POLL_SECONDS)


@dataclass(kw_only=True)
class Tenant:
    """A team that uses the operator in one namespace."""

    cluster: ControlPlane
    openbao: OpenBao
    pipedrive: ControlClient
    namespace: str
    client_id: str
    company_id: int = field(default_factory=lambda: next(_COMPANIES))

    def __post_init__(self) -> None:
        """Create a company with one user."""
        self.domain = f"company-{self.company_id}"
        self.user_id = 1000 + self.company_id
        self.pipedrive.command("add-company", company_id=self.company_id, domain=self.domain)
        self.pipedrive.command("add-user", company_id=self.company_id, user_id=self.user_id)

    @cached_property
    def _api(self) -> ApiClient:
        return self.cluster.client()

    @property
    def api_token(self) -> str:
        """The user's current API token."""
        users = self.pipedrive.view("state")["users"]
        return str(next(user["api_token"] for user in users if user["id"] == self.user_id))

    def regenerate_api_token(self) -> str:
        """Create a new API token for the user, which revokes the old one."""
        self.pipedrive.command("regenerate-api-token", company_id=self.company_id, user_id=self.user_id)
        return self.api_token

    def consent(self) -> Json:
        """Let the user install the app, and return the token response."""
        found = self.pipedrive.install(self.client_id, self.company_id, self.user_id)
        answer: Json = found["answer"]
        return answer

    def path(self, name: str) -> str:
        """Return the path of a document of this tenant."""
        return f"pipedrive/{self.namespace}/{name}"

    def store(self, name: str, **values: Any) -> None:
        """Write a document to Vault, as a person would."""
        self.openbao.write_secret(self.path(name), values)

    def stored(self, name: str) -> Json:
        """Return a document from Vault."""
        found: Json | None = self.openbao.read_secret(self.path(name))
        assert found is not None
        return found

    def apply_api_token(self, name: str = "acme", *, api_token: str | None = None, **spec: Any) -> None:
        """Write an API token to Vault, and apply a credential for it."""
        self.store(name, api_token=api_token or self.api_token)
        self.apply(name, {"apiToken": {"path": self.path(name)}, **spec})

    def apply_oauth2(self, name: str = "acme", *, seed: Json | None = None, **spec: Any) -> None:
        """Consent, write the grant to Vault, and apply a credential for it."""
        self.store(name, **(seed or {"refresh_token": self.consent()["refresh_token"]}))
        oauth2 = {"client": {"app": "crm-sync"}, "grant": {"path": self.path(name)}} | spec.pop("oauth2", {})
        self.apply(name, {"oauth2": oauth2, **spec})

    def apply(self, name: str, spec: Json, **metadata: Any) -> None:
        """Apply a credential."""
        self.create(credential(name, spec, **metadata))

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Apply any object."""
        self.kubectl("apply", "--filename=-", stdin=json.dumps(manifest))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as administrator in this namespace."""
        return self.cluster.kubectl(*arguments, f"--namespace={self.namespace}", stdin=stdin)

    def patch(self, kind: str, name: str, patch: Json) -> None:
        """Merge-patch an object."""
        self.kubectl("patch", kind, name, "--type=merge", f"--patch={json.dumps(patch)}")

    def annotate(self, kind: str, name: str, **annotations: str) -> None:
        """Set annotations of the operator; underscores stand for dashes."""
        pairs = [f"pipedrive-operator.io/{key.replace('_', '-')}={value}" for key, value in annotations.items()]
        self.kubectl("annotate", "--overwrite", kind, name, *pairs)

    def get(self, kind: str, name: str) -> Json | None:
        """Return an object, or None."""
        return self._api.find(f"{_PATHS[kind].format(self.namespace)}/{name}")

    def all_of(self, kind: str) -> dict[str, Json]:
        """Return all objects of a kind by name."""
        items = self._api.get(_PATHS[kind].format(self.namespace))["items"]
        return {item["metadata"]["name"]: item for item in items}

    def secret(self, name: str = "acme") -> dict[str, str] | None:
        """Return the data of a Secret, decoded, or None."""
        found = self.get("secret", name)
        return None if found is None else decoded(found)

    def conditions(self, name: str = "acme") -> dict[str, Json]:
        """Return the conditions of a credential by type."""
        found = self.get("pipedrivecredential", name)
        assert found is not None
        return {one["type"]: one for one in found["status"].get("conditions", ())}

    def wait_for(self, reason: str, name: str = "acme", *, within: float = DEADLINE) -> Json:
        """Wait until a condition has this reason, and return it."""

        def look() -> Json | None:
            return next((one for one in self.conditions(name).values() if one["reason"] == reason), None)

        look.__doc__ = f"{reason} of {name}"
        return eventually(look, within=within)

    def wait_until_published(self, name: str = "acme") -> dict[str, str]:
        """Wait until the credential is published, and return the Secret's data."""
        self.wait_for("Published", name)
        found = self.secret(name)
        assert found is not None
        return found

    def wait_for_value(
        self, value: str, name: str = "acme", *, key: str = "api_token", within: float = DEADLINE
    ) -> None:
        """Wait until the Secret holds a value."""

        def look() -> bool:
            return (self.secret(name) or {}).get(key) == value

        look.__doc__ = f"another {key} in Secret {name}"
        eventually(look, within=within)

    def calls(self) -> list[Call]:
        """Return Pipedrive's ledger of requests about this company."""
        return [call for call in self.pipedrive.ledger().calls if call.subject.company_id == self.company_id]

    def refreshes(self) -> list[Call]:
        """Return the attempts to refresh a grant of this company: the ledger is shared with other tenants."""
        return [call for call in self.calls() if call.is_refresh]


def now() -> str:
    """Return the time in the format that a person would put into an annotation."""
    return datetime.now(UTC).isoformat()
