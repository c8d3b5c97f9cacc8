"""Tenants' ServiceAccounts before a real API server and a real OpenBao: each is who it is, and never another."""

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
from pipedrive_operator.core.values.errors import VaultDenied
from support.service_account import allow_tokens
from support.vault import requests_to
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao

TENANTS = ("red", "blue")
OPERATIONS = 4000


@dataclass(frozen=True)
class Street:
    """A namespace where two tenants live, each with a ServiceAccount, a role, a policy and a document."""

    control_plane: ControlPlane
    openbao: OpenBao
    namespace: str
    mount: str
    method: str

    def identity(self, tenant: str, *, role: str | None = None) -> TenantIdentity:
        """Name a tenant."""
        return TenantIdentity(namespace=self.namespace, service_account=tenant, role=role or self.role(tenant))

    def role(self, tenant: str) -> str:
        """Name a role and its policy."""
        return f"{self.mount}-{tenant}"

    def location(self, tenant: str) -> VaultLocation:
        """Name a document."""
        return VaultLocation(connection="default", mount="secret", path=f"{self.mount}/{tenant}")

    def settle(self, tenant: str) -> None:
        """Let a tenant in, to its own document alone."""
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
    """Say how tenants log in."""
    return "kubernetes"


@pytest.fixture
def street(control_plane: ControlPlane, openbao: OpenBao, namespace: str, vault_prefix: str, method: str) -> Street:
    """Let two tenants move in, and the operator have tokens of them."""
    made = Street(control_plane, openbao, namespace, f"{method}-{vault_prefix}", method)
    enable = openbao.enable_jwt_auth if method == "jwt" else openbao.enable_kubernetes_auth
    enable(control_plane, path=made.mount)
    for tenant in TENANTS:
        made.settle(tenant)
    allow_tokens(control_plane, namespace, *TENANTS, user="operator")
    return made


@pytest.fixture
async def vault(street: Street, clock: TurnedClock, token_file: object) -> AsyncIterator[VaultConnections]:
    """Open the adapter as an operator whom RBAC allows the tenants' tokens and nothing else."""
    connection = {
        "address": street.openbao.address,
        "auth": {"method": "token", "tokenFile": token_file},
        "tenantAuth": {"enabled": True, "method": street.method, "mount": street.mount},
    }
    settings = VaultSettings.model_validate({"connections": {"default": connection}})
    async with AsyncExitStack() as stack:
        kubeconfig = street.control_plane.kubeconfig_for("operator")
        api = await stack.enter_async_context(await Api.connect(KubernetesSettings(kubeconfig=kubeconfig)))
        yield await stack.enter_async_context(
            VaultConnections(settings, clock, KubernetesLoginMaterial(api, street.namespace))
        )


async def test_two_tenants_in_parallel_never_see_each_others_values(
    vault: VaultConnections, street: Street, clock: TurnedClock
) -> None:
    """Thousands of reads, of their own and of the other's, half of them while tokens die."""

    async def read(number: int) -> tuple[str, str, str]:
        reader, owner = TENANTS[number % 2], TENANTS[number // 2 % 2]
        if number % 500 == 0:
            path = f"sys/leases/revoke-prefix/auth/{street.mount}/login"
            await asyncio.to_thread(street.openbao.request, "PUT", path)
            clock.turn(REPLACEMENT_INTERVAL)
        try:
            found = await vault.read(street.location(owner), street.identity(reader))
        except VaultDenied:
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


async def test_a_thousand_reads_of_one_tenant_are_one_login(vault: VaultConnections, street: Street) -> None:
    """And one TokenRequest."""
    reads = (vault.read(street.location("red"), street.identity("red")) for _ in range(1000))

    await asyncio.gather(*reads)

    assert requests_to(street.openbao, f"auth/{street.mount}/login") == 1


@pytest.mark.parametrize("method", ["kubernetes", "jwt"])
async def test_a_role_is_part_of_who_somebody_is(vault: VaultConnections, street: Street, method: str) -> None:
    """A token of one role serves no other, and another's role does not let in, whoever checks the signature."""
    found = await vault.read(street.location("red"), street.identity("red"))
    assert found is not None
    assert {"owner": "red"} == found.values

    with pytest.raises(VaultDenied, match=rf"refuses the login of ServiceAccount .*/red by {method}"):
        await vault.read(street.location("blue"), street.identity("red", role=street.role("blue")))


@pytest.mark.parametrize("elsewhere", ["kube-system", "default"])
async def test_another_namespaces_account_of_the_same_name_is_another(
    vault: VaultConnections, street: Street, elsewhere: str
) -> None:
    """Its token cannot be had, and the one that is in the cache is not its."""
    await vault.read(street.location("red"), street.identity("red"))

    with pytest.raises(VaultDenied, match=f"ServiceAccount {elsewhere}/red"):
        await vault.read(street.location("red"), replace(street.identity("red"), namespace=elsewhere))


async def test_an_account_without_a_role_for_the_operator_is_told(vault: VaultConnections, street: Street) -> None:
    """With the rule that is missing; and one that is not there."""
    street.settle("green")
    with pytest.raises(VaultDenied, match=r"allows `create` on `serviceaccounts/token` with resourceNames \[green\]"):
        await vault.read(street.location("green"), street.identity("green"))


async def test_a_tenants_policy_is_told_with_who_it_is(vault: VaultConnections, street: Street) -> None:
    """And the stanza that would allow it."""
    with pytest.raises(VaultDenied) as caught:
        await vault.read(street.location("blue"), street.identity("red"))

    assert f"denies ServiceAccount {street.namespace}/red with role {street.role('red')}" in caught.value.message
    assert f'path "secret/data/{street.location("blue").path}"' in caught.value.message


@pytest.mark.parametrize(("method", "setting"), [("kubernetes", "audience"), ("jwt", "bound_audiences")])
async def test_tokens_are_for_the_configured_audience_alone(
    vault: VaultConnections, street: Street, setting: str
) -> None:
    """A role that asks for another audience does not let in."""
    path = f"auth/{street.mount}/role/{street.role('red')}"
    role = street.openbao.request("GET", path)["data"] | {setting: "elsewhere"}
    street.openbao.request("POST", path, json={key: value for key, value in role.items() if value})

    with pytest.raises(VaultDenied, match="audience vault"):
        await vault.read(street.location("red"), street.identity("red"))


async def test_tenants_are_logged_out_at_the_end(vault: VaultConnections, street: Street) -> None:
    """Of both, and not of the token in the file."""
    for tenant in TENANTS:
        await vault.read(street.location(tenant), street.identity(tenant))
    await vault.read(street.location("red"), OPERATOR)
    before = requests_to(street.openbao, "auth/token/revoke-self")

    await vault.connections["default"].aclose()

    assert requests_to(street.openbao, "auth/token/revoke-self") == before + 2


async def test_without_the_setting_nobody_logs_in_as_a_tenant(street: Street, clock: TurnedClock) -> None:
    """The adapter refuses it too, whatever decided above it."""
    settings = VaultSettings.model_validate({"connections": {"default": {"address": street.openbao.address}}})
    async with VaultConnections(settings, clock) as vault:
        with pytest.raises(
            VaultDenied,
            match=r"may not log in to Vault \(default\): set vault\.connections\.default\.tenantAuth\.enabled",
        ):
            await vault.read(street.location("red"), street.identity("red"))
