"""Roles and namespaces of a real OpenBao that keep the operator out: each message names the setting at fault."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.values.errors import SourceMissing, VaultDenied
from support.vault_clock import trouble_of
from testbed.openbao import OpenBao

Connect = Callable[..., VaultConnections]


@dataclass(frozen=True)
class Role:
    """An AppRole role that may read below the test's prefix, and the settings that log in with it."""

    openbao: OpenBao
    mount: str
    secret_id_file: Path

    @property
    def settings(self) -> dict[str, Any]:
        """Return the `auth` settings."""
        role_id = self.openbao.request("GET", f"auth/{self.mount}/role/operator/role-id")["data"]["role_id"]
        return {
            "method": "approle",
            "mount": self.mount,
            "role_id": role_id,
            "secret_id_file": self.secret_id_file,
        }

    def set(self, **settings: object) -> None:
        """Change the role."""
        self.openbao.request("POST", f"auth/{self.mount}/role/operator", json=settings)


@pytest.fixture
def role(openbao: OpenBao, vault_prefix: str, tmp_path: Path) -> Role:
    """Enable AppRole for one test."""
    mount = f"approle-{vault_prefix}"
    openbao.enable_auth("approle", path=mount)
    openbao.put_policy(vault_prefix, f'path "secret/data/{vault_prefix}/*" {{ capabilities = ["read"] }}')
    role = Role(openbao, mount, tmp_path / "secret-id")
    role.set(token_policies=["default", vault_prefix])
    answer = openbao.request("POST", f"auth/{mount}/role/operator/secret-id")
    role.secret_id_file.write_text(answer["data"]["secret_id"])
    return role


async def test_tokens_with_few_uses_are_reported_at_the_login(
    connect: Connect, role: Role, location: VaultLocation
) -> None:
    """A role with token_num_uses would otherwise look like a policy that denies every third read."""
    role.set(token_num_uses=3)
    vault = connect(**role.settings)

    trouble = await trouble_of(vault, location)

    assert isinstance(trouble, VaultDenied)
    assert "to 3 requests, but the operator sends many with the same token: set token_num_uses=0" in trouble.message


async def test_a_wrapped_secret_id_is_reported(connect: Connect, role: Role, location: VaultLocation) -> None:
    """A wrapping token was written in place of the secret_id that it wraps."""
    wrapping_token = role.openbao.create_token(["default"])
    role.secret_id_file.write_text(wrapping_token)

    message = (await trouble_of(connect(**role.settings), location)).message

    assert "unwrap it with `vault unwrap -field=secret_id`" in message
    assert wrapping_token not in message


@pytest.mark.parametrize("method", ["approle", "token"])
async def test_a_namespace_that_does_not_exist_is_reported(
    connect: Connect, role: Role, location: VaultLocation, token_file: Path, method: str
) -> None:
    """The message does not blame the credentials, for any auth method."""
    settings = role.settings if method == "approle" else {"method": "token", "token_file": token_file}

    trouble = await trouble_of(connect(namespace="nowhere", **settings), location)

    assert isinstance(trouble, SourceMissing)
    assert "does not have the configured namespace: correct vault.connections.default.namespace" in trouble.message


async def test_a_namespace_may_end_with_a_slash(
    connect: Connect, openbao: OpenBao, token_file: Path, vault_prefix: str
) -> None:
    """`vault namespace list` prints it that way."""
    openbao.request("POST", f"sys/namespaces/{vault_prefix}")

    await connect(namespace=f"{vault_prefix}/", method="token", token_file=token_file).connections["default"].log_in()
