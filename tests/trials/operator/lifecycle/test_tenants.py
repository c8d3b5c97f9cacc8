"""Two tenants, each with a ServiceAccount of its own in Vault; one names the grant of the other."""

import json
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from support.operated import Json
from support.service_account import allow_tokens
from support.tenant import Tenant, eventually, now
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao
from testbed.operator_process import OperatorProcess
from testbed.pipedrive.client import ControlClient
from testbed.pipedrive.ledger import Call

pytestmark = pytest.mark.usefixtures("operator")

USER = "operator-of-tenants"
MOUNT = "kubernetes-of-tenants"
ACCOUNT = "pipedrive"


@dataclass(kw_only=True)
class VaultTenant(Tenant):
    """A tenant whose credentials log in to Vault with its own ServiceAccount."""

    @property
    def role(self) -> str:
        """The name of its role and policy in Vault."""
        return f"role-of-{self.namespace}"

    def set_up(self) -> None:
        """Create the ServiceAccount, its role, and the operator's permission to request its tokens."""
        self.kubectl("create", "serviceaccount", ACCOUNT)
        allow_tokens(self.cluster, self.namespace, ACCOUNT, user=USER)
        self.openbao.put_kubernetes_role(
            self.role,
            service_account=f"{self.namespace}/{ACCOUNT}",
            policies=[self.role],
            path=MOUNT,
            audience="vault",
        )
        self.allow(self.path("*"))

    def allow(self, *paths: str) -> None:
        """Let Vault's policy allow these paths and no others."""
        stanza = 'path "secret/data/{}" {{ capabilities = ["read", "create", "update"] }}'
        self.openbao.put_policy(self.role, "\n".join(map(stanza.format, paths)))

    def name_grant(self, path: str, *, credential: str = "acme", role: str | None = None) -> None:
        """Apply a credential for the grant at a path."""
        oauth2 = {"client": {"app": "crm-sync"}, "grant": {"path": path}}
        auth = {"role": role or self.role, "serviceAccountRef": {"name": ACCOUNT}}
        self.apply(credential, {"oauth2": oauth2, "vault": {"auth": auth}})

    def reads(self, path: str) -> int:
        """Count the requests of this tenant's ServiceAccount for a path."""
        asked = (one for one in self.openbao.requests() if one.path == f"secret/data/{path}")
        return sum(one.display_name.endswith(f"{self.namespace}-{ACCOUNT}") for one in asked)

    def wait_for_read(self, path: str) -> None:
        """Wait for two more requests for a path, so that the response to the first one has been processed."""
        before = self.reads(path)
        eventually(lambda: self.reads(path) >= before + 2)

    def in_flight(self) -> list[Call]:
        """Return the requests that Pipedrive has not answered yet."""
        return [call for call in self.calls() if call.closed is None]

    def everything(self) -> list[Json]:
        """Return everything that the operator may have written for this tenant."""
        kinds = "pipedrivecredentials,secrets,events.v1.events.k8s.io"
        found: list[Json] = json.loads(self.kubectl("get", kinds, "--output=json"))["items"]
        return found


CreateTenant = Callable[[], VaultTenant]


@pytest.fixture(scope="module")
def operator(
    settings: Callable[[str], Json],
    crd: None,
    openbao: OpenBao,
    control_plane: ControlPlane,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OperatorProcess]:
    """Run an operator that lets tenants log in, polls each second, and waits a long time for a delayed response."""
    assert crd is None
    openbao.enable_kubernetes_auth(control_plane, path=MOUNT)
    wanted = settings(USER)
    wanted["vault"]["connections"]["default"]["tenantAuth"] = {"enabled": True, "mount": MOUNT}
    wanted["pipedrive"]["timeout"] = "60s"
    wanted["controller"]["pollInterval"] = "1s"
    with OperatorProcess(wanted, folder=tmp_path_factory.mktemp("operator-of-tenants")) as running:
        yield running


@pytest.fixture
def create_tenant(
    control_plane: ControlPlane, openbao: OpenBao, pipedrive: ControlClient, client_id: str
) -> Iterator[CreateTenant]:
    """Return a function that creates a tenant in a namespace of its own."""
    namespaces: list[str] = []

    def created() -> VaultTenant:
        namespace = f"test-{uuid.uuid4().hex[:8]}"
        control_plane.kubectl("create", "namespace", namespace)
        namespaces.append(namespace)
        parts: dict[str, Any] = {"cluster": control_plane, "openbao": openbao, "pipedrive": pipedrive}
        tenant = VaultTenant(**parts, namespace=namespace, client_id=client_id)
        tenant.set_up()
        return tenant

    yield created
    pipedrive.clear_faults()
    control_plane.kubectl("delete", "namespace", "--wait=false", *namespaces)


@pytest.fixture
def owner(create_tenant: CreateTenant) -> VaultTenant:
    """Create the tenant that owns the grant."""
    return create_tenant()


@pytest.fixture
def other(create_tenant: CreateTenant) -> VaultTenant:
    """Create a tenant that may read no path except its own."""
    return create_tenant()


def leaked(values: set[str], objects: list[Json]) -> set[str]:
    """Return the values that occur in objects, as text or base64."""
    text = json.dumps(objects)
    return {value for value in values if value in text or b64encode(value.encode()).decode() in text}


def secret_values(tenant: VaultTenant, *more: str) -> set[str]:
    """Return the values of a tenant's grant that nobody else may see."""
    stored = tenant.stored("acme")
    return {stored["access_token"], stored["refresh_token"], tenant.domain, *more}


def test_a_credential_that_cannot_read_a_grant_learns_nothing_about_its_refresh(
    owner: VaultTenant, other: VaultTenant
) -> None:
    """This holds during the refresh and after it, even if the credential names the role of the owner."""
    path, seed = owner.path("acme"), owner.consent()["refresh_token"]
    owner.store("acme", refresh_token=seed)
    owner.pipedrive.add_fault("hang", endpoint="token", company_id=owner.company_id)
    owner.name_grant(path)
    eventually(owner.in_flight)

    other.name_grant(path)
    other.name_grant(path, credential="impostor", role=owner.role)
    denied = other.wait_for("VaultDenied")["message"]
    refused = other.wait_for("VaultDenied", "impostor")["message"]
    other.wait_for_read(path)
    held = [call.outcome for call in owner.in_flight()]
    owner.pipedrive.clear_faults()
    published = owner.wait_until_published()
    other.wait_for_read(path)

    assert ["pending"] == held
    assert f'path "secret/data/{path}" {{ capabilities = ["read"] }}' in denied
    assert f"refuses the login of ServiceAccount {other.namespace}/{ACCOUNT}" in refused
    assert owner.stored("acme")["access_token"] == published["access_token"]
    for credential in ("acme", "impostor"):
        assert "VaultDenied" == other.conditions(credential)["Ready"]["reason"]
        assert other.secret(credential) is None
    assert set() == leaked(secret_values(owner, seed), other.everything())
    assert 1 == owner.pipedrive.ledger().spent(seed)


def test_a_permission_that_is_withdrawn_while_ready_ends_at_the_next_poll(
    owner: VaultTenant, other: VaultTenant
) -> None:
    """What was published stays until it expires. Once the permission is granted again, it is used."""
    path = owner.path("acme")
    other.allow(path)
    owner.store("acme", refresh_token=owner.consent()["refresh_token"])
    for tenant in (owner, other):
        tenant.name_grant(path)
    before = [tenant.wait_until_published() for tenant in (owner, other)]

    other.allow(other.path("*"))
    denied = other.wait_for("VaultDenied")
    owner.annotate("pipedrivecredential", "acme", requested_at=now(), request="refresh")
    eventually(lambda: owner.secret() != before[0])
    other.wait_for_read(path)
    kept, ready = other.secret(), other.conditions()["Ready"]
    newer = secret_values(owner)
    seen = leaked(newer - {owner.domain}, other.everything())
    other.allow(path)
    other.wait_for_value(owner.stored("acme")["access_token"], key="access_token")

    assert before[0]["access_token"] == before[1]["access_token"]
    assert ("Unknown", "Authorized") == (denied["status"], denied["type"])
    assert before[1] == kept
    assert ("True", "Published") == (ready["status"], ready["reason"])
    assert set() == seen
