"""Logins to a real OpenBao: how many there are, how long they last, and the message of a refused one."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.core.grant.document import OPERATOR, VaultLocation
from pipedrive_operator.core.values.errors import VaultDenied
from support.vault_clock import requests_to, rewrite, trouble_of
from testbed.openbao import OpenBao

Connect = Callable[..., VaultConnections]


async def test_a_thousand_reads_cause_one_login(
    operator: VaultConnections, openbao: OpenBao, location: VaultLocation, kubernetes_auth: str
) -> None:
    """The operator logs in with its ServiceAccount, which Vault has the API server review."""
    openbao.write_secret(location.path, {"token": "t"})

    documents = await asyncio.gather(*(operator.read(location, OPERATOR) for _ in range(1000)))

    assert {document.values["token"] for document in documents if document} == {"t"}
    assert requests_to(openbao, f"auth/{kubernetes_auth}/login") == 1
    assert requests_to(openbao, f"secret/data/{location.path}") == 1001


async def test_a_revoked_token_is_replaced_by_one_login(
    operator: VaultConnections, openbao: OpenBao, location: VaultLocation, kubernetes_auth: str
) -> None:
    """Concurrent reads do not fail."""
    openbao.write_secret(location.path, {"token": "t"})
    await operator.read(location, OPERATOR)
    openbao.request("PUT", f"sys/leases/revoke-prefix/auth/{kubernetes_auth}/login")

    documents = await asyncio.gather(*(operator.read(location, OPERATOR) for _ in range(100)))

    assert all(documents)
    assert requests_to(openbao, f"auth/{kubernetes_auth}/login") == 2


async def test_denied_reads_of_one_path_cause_one_login(
    operator: VaultConnections, openbao: OpenBao, location: VaultLocation, kubernetes_auth: str
) -> None:
    """The first denial leads to a login, the others are attributed to the policy."""
    denied = replace(location, path=f"elsewhere/{location.path}")

    outcomes = await asyncio.gather(*(operator.read(denied, OPERATOR) for _ in range(100)), return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {VaultDenied}
    assert requests_to(openbao, f"auth/{kubernetes_auth}/login") == 2


async def test_a_token_is_renewed_while_it_is_used(
    operator: VaultConnections, openbao: OpenBao, location: VaultLocation, kubernetes_auth: str, clock: TurnedClock
) -> None:
    """It is renewed at two thirds of its lifetime, which is 32 days unless the role sets it."""
    await operator.read(location, OPERATOR)
    renewals = requests_to(openbao, "auth/token/renew-self")
    clock.turn(timedelta(days=32) * 2 / 3)

    await asyncio.gather(*(operator.read(location, OPERATOR) for _ in range(100)))

    assert requests_to(openbao, "auth/token/renew-self") == renewals + 1
    assert requests_to(openbao, f"auth/{kubernetes_auth}/login") == 1


async def test_a_rotated_service_account_token_is_used_at_the_next_login(
    operator: VaultConnections, jwt_file: Path, location: VaultLocation, clock: TurnedClock
) -> None:
    """The file is read at each login."""
    good = rewrite(jwt_file, "not a token")
    assert isinstance(await trouble_of(operator, location), VaultDenied)

    rewrite(jwt_file, good)
    clock.turn(timedelta(seconds=10))

    assert await operator.read(location, OPERATOR) is None


async def test_a_refused_login_names_method_mount_and_role(
    connect: Connect, kubernetes_auth: str, jwt_file: Path, location: VaultLocation
) -> None:
    """The message quotes Vault, too."""
    stranger = {"role": "stranger", "service_account_token_file": jwt_file}
    vault = connect(method="kubernetes", mount=kubernetes_auth, **stranger)

    trouble = await trouble_of(vault, location)

    assert isinstance(trouble, VaultDenied)
    assert f"by kubernetes at auth/{kubernetes_auth} with role stranger" in trouble.message
    assert "invalid role name" in trouble.message
    with pytest.raises(VaultDenied):
        await vault.connections["default"].log_in()


async def test_a_login_at_a_mount_that_is_not_enabled_is_refused(
    connect: Connect, jwt_file: Path, location: VaultLocation
) -> None:
    """The mount is misspelt."""
    vault = connect(method="kubernetes", mount="kubernetse", role="operator", service_account_token_file=jwt_file)

    assert isinstance(await trouble_of(vault, location), VaultDenied)


async def test_a_token_that_was_replaced_in_its_file_is_used_when_the_old_one_is_revoked(
    vault: VaultConnections, openbao: OpenBao, location: VaultLocation, token_file: Path, vault_prefix: str
) -> None:
    """An agent keeps the file up to date."""
    openbao.put_policy(vault_prefix, f'path "secret/data/{vault_prefix}/*" {{ capabilities = ["read"] }}')
    first, second = (openbao.create_token([vault_prefix], ttl="1h") for _ in range(2))
    rewrite(token_file, first)
    await vault.read(location, OPERATOR)
    openbao.request("POST", "auth/token/revoke", json={"token": first})
    rewrite(token_file, second)

    assert await vault.read(location, OPERATOR) is None


@pytest.mark.parametrize("content", [None, "", "s.of-nobody"])
async def test_an_unusable_token_file_is_reported_without_its_content(
    vault: VaultConnections, location: VaultLocation, token_file: Path, content: str | None
) -> None:
    """It is missing, empty, or contains a token that Vault refuses."""
    rewrite(token_file, content)

    trouble = await trouble_of(vault, location)

    assert isinstance(trouble, VaultDenied)
    assert str(token_file) in trouble.message
    assert "s.of-nobody" not in trouble.message


async def test_the_token_of_the_environment_is_not_used(
    vault: VaultConnections,
    openbao: OpenBao,
    location: VaultLocation,
    token_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither the token in the home folder nor VAULT_ADDR is used."""
    rewrite(token_file, "s.of-nobody")
    rewrite(token_file.parent / ".vault-token", openbao.root_token)
    for name, value in {
        "HOME": str(token_file.parent),
        "VAULT_TOKEN": openbao.root_token,
        "BAO_TOKEN": openbao.root_token,
        "VAULT_ADDR": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)

    trouble = await trouble_of(vault, location)

    assert isinstance(trouble, VaultDenied)
    assert "refuses the token" in trouble.message
