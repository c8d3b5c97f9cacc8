"""Fixtures: the adapter connected to a real OpenBao, as root and as a ServiceAccount."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.config.vault import VaultAuthSettings, VaultConnectionSettings, VaultSettings
from pipedrive_operator.core.grant.document import VaultLocation
from support.vault_clock import ImpatientClock
from testbed.control_plane import ControlPlane
from testbed.openbao import OpenBao

Connect = Callable[..., VaultConnections]


@pytest.fixture
def clock() -> TurnedClock:
    """Return the clock of token lifetimes and pauses."""
    return ImpatientClock()


@pytest.fixture
def location(vault_prefix: str) -> VaultLocation:
    """Return the location of a document that no other test uses."""
    return VaultLocation(connection="default", mount="secret", path=f"{vault_prefix}/acme")


@pytest.fixture
async def connect(openbao: OpenBao, clock: TurnedClock) -> AsyncIterator[Connect]:
    """Return a function that opens the adapter with the given `auth`; it is closed after the test."""
    async with AsyncExitStack() as stack:

        def connected(namespace: str | None = None, **auth: object) -> VaultConnections:
            connection = VaultConnectionSettings.model_validate(
                {"address": openbao.address, "namespace": namespace, "auth": VaultAuthSettings.model_validate(auth)}
            )
            vault = VaultConnections(VaultSettings(connections={"default": connection}), clock)
            stack.push_async_exit(vault)
            return vault

        yield connected


@pytest.fixture
def token_file(tmp_path: Path, openbao: OpenBao) -> Path:
    """Write the root token to a file."""
    path = tmp_path / "token"
    path.write_text(f"{openbao.root_token}\n")
    return path


@pytest.fixture
def vault(connect: Connect, token_file: Path) -> VaultConnections:
    """Open the adapter as root."""
    return connect(method="token", token_file=token_file)


@pytest.fixture
def kubernetes_auth(openbao: OpenBao, control_plane: ControlPlane, namespace: str, vault_prefix: str) -> str:
    """Enable the Kubernetes auth method for one test, with a role `operator` for one ServiceAccount."""
    control_plane.kubectl("create", "serviceaccount", "operator", f"--namespace={namespace}")
    mount = f"kubernetes-{vault_prefix}"
    openbao.enable_kubernetes_auth(control_plane, path=mount)
    openbao.put_policy(vault_prefix, f'path "secret/data/{vault_prefix}/*" {{ capabilities = ["read"] }}')
    account = f"{namespace}/operator"
    openbao.put_kubernetes_role("operator", service_account=account, policies=[vault_prefix], path=mount)
    return mount


@pytest.fixture
def jwt_file(control_plane: ControlPlane, namespace: str, kubernetes_auth: str, tmp_path: Path) -> Path:
    """Write a token of the operator's ServiceAccount to a file."""
    assert kubernetes_auth
    path = tmp_path / "jwt"
    path.write_text(control_plane.service_account_token(namespace, "operator"))
    return path


@pytest.fixture
def operator(connect: Connect, kubernetes_auth: str, jwt_file: Path) -> VaultConnections:
    """Open the adapter as a ServiceAccount that may read below the test's prefix."""
    return connect(method="kubernetes", mount=kubernetes_auth, role="operator", service_account_token_file=jwt_file)
