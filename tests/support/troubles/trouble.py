"""What a trouble is: how a credential is set up, how the trouble is caused, what the operator must report, and the fix.

The troubles themselves are in the modules beside this one, and `run_all` runs them.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Any

from support.manifests import credential
from support.troubles.real_parts import Person, RealParts
from testbed.openbao import OpenBao


class Kind(Enum):
    """Which kind of credential a trouble needs."""

    API_TOKEN = auto()
    OAUTH2 = auto()


@dataclass(frozen=True, kw_only=True)
class TroubledCredential:
    """One credential of one person, and the verbs to break and to fix what it depends on."""

    parts: RealParts
    name: str
    namespace: str
    kind: Kind
    person: Person
    vault: OpenBao
    spec: dict[str, Any]

    @property
    def path(self) -> str:
        """The path of its API token or grant in Vault."""
        return f"pipedrive/{self.namespace}/{self.name}"

    @property
    def app_path(self) -> str:
        """The path of its app's client id and secret in Vault."""
        return f"{self.path}-app"

    def write(self, **values: str) -> None:
        """Replace its document in Vault."""
        self.vault.write_secret(self.path, values)

    def read(self) -> dict[str, str]:
        """Return its document in Vault."""
        return self.vault.read_secret(self.path) or {}

    def erase(self, path: str) -> None:
        """Delete a document with all its versions."""
        self.vault.request("DELETE", f"secret/metadata/{path}")

    def apply(self) -> None:
        """Apply the credential with its current spec."""
        self.parts.apply(credential(self.name, self.spec, namespace=self.namespace))

    def change(self, **spec: object) -> None:
        """Change top-level fields of the spec; None removes a field."""
        patch = json.dumps({"spec": spec})
        self.kubectl("patch", "pdc", self.name, "--type=merge", f"--patch={patch}")

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl as administrator in the credential's namespace."""
        return self.parts.cluster.kubectl(*arguments, f"--namespace={self.namespace}")

    def fault(self, kind: str, **fields: object) -> None:
        """Inject a fault into Pipedrive's responses to this company only."""
        self.parts.pipedrive.add_fault(kind, company_id=self.person.company_id, **fields)

    def lift_faults(self) -> None:
        """Remove the faults of this company."""
        for fault in self.parts.pipedrive.view("state")["faults"]:
            if fault["company_id"] == self.person.company_id:
                self.parts.pipedrive.command("clear-faults", fault_id=fault["id"])

    def consent(self) -> None:
        """Consent again, and replace the grant in Vault."""
        self.vault.write_secret(self.path, _texts(install(self.parts, self.person, self.name)["answer"]))

    def age(self) -> None:
        """Let the access token in Vault expire soon, so that a refresh is due."""
        now = datetime.now(UTC).replace(microsecond=0)
        times = {"obtained_at": now - timedelta(minutes=50), "expires_at": now + timedelta(minutes=10)}
        held = {key: value for key, value in self.read().items() if key != "expires_in"}
        self.vault.write_secret(self.path, held | {key: f"{at:%Y-%m-%dT%H:%M:%SZ}" for key, at in times.items()})


Change = Callable[[TroubledCredential], None]


def nothing(_subject: TroubledCredential) -> None:
    """Change nothing."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Something wrong with one credential. By default, it happens to a credential that was ready."""

    name: str
    """The name of the credential, and of the test."""
    reason: str
    says: tuple[str, ...]
    """Parts of the message: what happened, and the next step. `{subject.path}` and the like are replaced."""
    cause: Change = nothing
    fix: Change
    kind: Kind = Kind.API_TOKEN
    spec: Mapping[str, Any] = field(default_factory=dict)
    namespace_suffix: str = ""
    """Follows the name of the operator's own namespace."""
    vault: str | None = None
    """The Vault connection, if it is not the default."""
    starts_ready: bool = True
    """Whether an accepted value was published before the trouble."""
    stalled: bool = False
    """Whether a person must act."""
    stays_ready: bool = True
    """Whether the published value can still be used."""


def install(parts: RealParts, person: Person, app: str) -> dict[str, Any]:
    """Let the person install the app; return the grant's id and the raw token response."""
    return parts.pipedrive.install(app, **person.key)


def write_documents(parts: RealParts, trouble: Trouble) -> TroubledCredential:
    """Write to Vault what a trouble's credential needs; the credential itself is applied later."""
    namespace = f"{parts.home}{trouble.namespace_suffix}"
    vault = parts.far if trouble.vault == "far" else parts.openbao
    path = f"pipedrive/{namespace}/{trouble.name}"
    person = parts.person(trouble.name)
    spec: dict[str, Any] = {"apiToken": {"path": path}}
    if trouble.vault is not None:
        spec["vault"] = {"connection": trouble.vault}
    if trouble.kind is Kind.OAUTH2:
        spec |= {"oauth2": {"client": {"path": f"{path}-app"}, "grant": {"path": path}}}
        del spec["apiToken"]
        _seed_grant(parts, vault, person, trouble.name, path)
    else:
        vault.write_secret(path, {"api_token": person.api_token})
    return TroubledCredential(
        parts=parts,
        name=trouble.name,
        namespace=namespace,
        kind=trouble.kind,
        person=person,
        vault=vault,
        spec=_merged(spec, trouble.spec),
    )


def _seed_grant(parts: RealParts, vault: OpenBao, person: Person, name: str, path: str) -> None:
    app = parts.pipedrive.command("add-app", client_id=name, redirect_uri="http://127.0.0.1/callback")
    consent = install(parts, person, name)
    vault.write_secret(f"{path}-app", {"client_id": name, "client_secret": app["client_secret"]})
    vault.write_secret(path, _texts(consent["answer"]))


def _texts(answer: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in answer.items()}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
