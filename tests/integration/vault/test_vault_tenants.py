"""Tenants log in with a real API server and a real OpenBao: no tenant ever acts as another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.kubernetes.api import Api
from pipedrive_operator.adapters.kubernetes.login_material import KubernetesLoginMaterial
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.adapters.vault.auth.session import REPLACEMENT_INTERVAL
from pipedrive_operator.config.settings import KubernetesSettings
from pipedrive_operator.config.vault import VaultSettings
from pipedrive_operator.core.grant.document import OPERATOR, TenantIdentity, VaultLocation
from pipedrive_operator.core.values.errors import VaultDenied, VaultUnavailable
from support.service_account import allow_tokens
from support.vault_clock import requests_to
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao

TENANTS = ("red", "blue")
OPERATIONS = 4000


@dataclass(frozen=True)
class Tenants:
    """Two tenants in one namespace, each with a ServiceAccount, a role, a policy and a document."""

    control_plane: ControlPlane
    openbao: OpenBao
    namespace: str
    mount: str
    method: str

    def identity(self, tenant: str, *, role: str | None = None) -> TenantIdentity:
        """Return the identity of a tenant."""
        return TenantIdentity(namespace=self.namespace, service_account=tenant, role=role or self.role(tenant))

    def role(self, tenant: str) -> str:
        """Return the name of a tenant's role and policy."""
        return f"{self.mount}-{tenant}"

    def location(self, tenant: str) -> VaultLocation:
        """Return the location of a tenant's document."""
        return VaultLocation(connection="default", mount="secret", path=f"{self.mount}/{tenant}")

    def add(self, tenant: str) -> None:
        """Add a tenant that may access its own document only."""
        self.control_plane.kubectl("create", "serviceaccount", tenant, f"--namespace={self.namespace}")
        path = self.location(tenant).path
        capabilities = '["read", "create", "update"]'
        self.openbao.put_policy(self.role(tenant), f'path "secret/data/{path}" {{ capabilities = {capabilities} }}')
        self.openbao.write_secret(path, {"owner": tenant})
        put_role = self.openbao.put_jwt_role if self.method == "jwt" else self.openbao.put_kubernetes_role
        put_role(
            self.role(tenant),
            service_account=f"{self.namespace}/{tenant}",
            policies=["default", self.role(tenant)],
            path=self.mount,
            audience="vault",
        )


@pytest.fixture
def method() -> str:
    """Return the auth method of the tenants."""
    return "kubernetes"


@pytest.fixture
def tenants(control_plane: ControlPlane, openbao: OpenBao, namespace: str, vault_prefix: str, method: str) -> Tenants:
    """Add two tenants, and allow the operator to request their tokens."""
    made = Tenants(control_plane, openbao, namespace, f"{method}-{vault_prefix}", method)
    enable = openbao.enable_jwt_auth if method == "jwt" else openbao.enable_kubernetes_auth
    enable(control_plane, path=made.mount)
    for tenant in TENANTS:
        made.add(tenant)
    allow_tokens(control_plane, namespace, *TENANTS, user="operator")
    return made


@pytest.fixture
async def vault(tenants: Tenants, clock: TurnedClock, token_file: object) -> AsyncIterator[VaultConnections]:
    """Open the adapter as an operator that may request the tenants' tokens and nothing else."""
    connection = {
        "address": tenants.openbao.address,
        "auth": {"method": "token", "tokenFile": token_file},
        "tenantAuth": {"enabled": True, "method": tenants.method, "mount": tenants.mount},
    }
    settings = VaultSettings.model_validate({"connections": {"default": connection}})
    async with AsyncExitStack() as stack:
        kubeconfig = tenants.control_plane.kubeconfig_for("operator")
        api = await stack.enter_async_context(await Api.connect(KubernetesSettings(kubeconfig=kubeconfig)))
        yield await stack.enter_async_context(
            VaultConnections(settings, clock, KubernetesLoginMaterial(api, tenants.namespace))
        )


async def test_two_tenants_in_parallel_never_see_each_others_values(
    vault: VaultConnections, tenants: Tenants, clock: TurnedClock
) -> None:
    """Each tenant reads both documents thousands of times, while tokens are revoked."""

    async def read(number: int) -> tuple[str, str, str]:
        reader, owner = TENANTS[number % 2], TENANTS[number // 2 % 2]
        if number % 500 == 0:
            path = f"sys/leases/revoke-prefix/auth/{tenants.mount}/login"
            await asyncio.to_thread(tenants.openbao.request, "PUT", path)
            clock.turn(REPLACEMENT_INTERVAL)
        try:
            found = await vault.read(tenants.location(owner), tenants.identity(reader))
        except (VaultDenied, VaultUnavailable):  # by the policy, or because the token was revoked a moment ago
            return reader, owner, "denied"
        return reader, owner, str(found.values["owner"] if found else None)

    seen = [
        one
        for start in range(0, OPERATIONS, 100)
        for one in await asyncio.gather(*map(read, range(start, start + 100)))
    ]

    crossed = {(reader, owner) for reader, owner, value in seen if reader != owner and value != "denied"}
    wrong = {value for reader, owner, value in seen if reader == owner and value not in {owner, "denied"}}
    assert (crossed, wrong) == (set(), set())
    served = [value for reader, owner, value in seen if reader == owner and value == owner]
    assert len(served) > OPERATIONS // 4


async def test_a_thousand_reads_of_one_tenant_cause_one_login(vault: VaultConnections, tenants: Tenants) -> None:
    """All reads share one session."""
    reads = (vault.read(tenants.location("red"), tenants.identity("red")) for _ in range(1000))

    await asyncio.gather(*reads)

    assert requests_to(tenants.openbao, f"auth/{tenants.mount}/login") == 1


@pytest.mark.parametrize("method", ["kubernetes", "jwt"])
async def test_a_role_is_part_of_an_identity(vault: VaultConnections, tenants: Tenants, method: str) -> None:
    """A session of one role serves no other, and another tenant's role refuses the login."""
    found = await vault.read(tenants.location("red"), tenants.identity("red"))
    assert found is not None
    assert {"owner": "red"} == found.values

    with pytest.raises(VaultDenied, match=rf"refuses the login of ServiceAccount .*/red by {method}"):
        await vault.read(tenants.location("blue"), tenants.identity("red", role=tenants.role("blue")))


@pytest.mark.parametrize("elsewhere", ["kube-system", "default"])
async def test_a_service_account_of_another_namespace_is_another_identity(
    vault: VaultConnections, tenants: Tenants, elsewhere: str
) -> None:
    """The operator may not request its token, and does not use the session of the first one."""
    await vault.read(tenants.location("red"), tenants.identity("red"))

    with pytest.raises(VaultDenied, match=f"ServiceAccount {elsewhere}/red"):
        await vault.read(tenants.location("red"), replace(tenants.identity("red"), namespace=elsewhere))


async def test_a_missing_permission_to_request_tokens_is_reported(vault: VaultConnections, tenants: Tenants) -> None:
    """The message shows the missing rule."""
    tenants.add("green")
    with pytest.raises(VaultDenied, match=r"allows `create` on `serviceaccounts/token` with resourceNames \[green\]"):
        await vault.read(tenants.location("green"), tenants.identity("green"))


async def test_a_denial_names_the_tenant_and_shows_the_policy(vault: VaultConnections, tenants: Tenants) -> None:
    """The policy would allow the request."""
    with pytest.raises(VaultDenied) as caught:
        await vault.read(tenants.location("blue"), tenants.identity("red"))

    assert f"denies ServiceAccount {tenants.namespace}/red with role {tenants.role('red')}" in caught.value.message
    assert f'path "secret/data/{tenants.location("blue").path}"' in caught.value.message


@pytest.mark.parametrize(("method", "setting"), [("kubernetes", "audience"), ("jwt", "bound_audiences")])
async def test_service_account_tokens_are_valid_for_the_configured_audience_only(
    vault: VaultConnections, tenants: Tenants, setting: str
) -> None:
    """A role that requires another audience refuses them."""
    path = f"auth/{tenants.mount}/role/{tenants.role('red')}"
    role = tenants.openbao.request("GET", path)["data"] | {setting: "elsewhere"}
    tenants.openbao.request("POST", path, json={key: value for key, value in role.items() if value})

    with pytest.raises(VaultDenied, match="audience vault"):
        await vault.read(tenants.location("red"), tenants.identity("red"))


async def test_the_tokens_of_tenants_are_revoked_at_the_end(vault: VaultConnections, tenants: Tenants) -> None:
    """The operator's token from the file is not revoked."""
    for tenant in TENANTS:
        await vault.read(tenants.location(tenant), tenants.identity(tenant))
    await vault.read(tenants.location("red"), OPERATOR)
    before = requests_to(tenants.openbao, "auth/token/revoke-self")

    await vault.connections["default"].aclose()

    assert requests_to(tenants.openbao, "auth/token/revoke-self") == before + 2


async def test_tenants_cannot_log_in_unless_the_setting_allows_it(tenants: Tenants, clock: TurnedClock) -> None:
    """The adapter refuses it even if the policy above it did not."""
    settings = VaultSettings.model_validate({"connections": {"default": {"address": tenants.openbao.address}}})
    async with VaultConnections(settings, clock) as vault:
        with pytest.raises(
            VaultDenied,
            match=r'do not let .* log in to Vault connection "default": set vault\..*\.default\.tenantAuth\.enabled',
        ):
            await vault.read(tenants.location("red"), tenants.identity("red"))
