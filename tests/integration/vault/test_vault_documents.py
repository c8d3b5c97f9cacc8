"""Documents in a real OpenBao: reads, writes, and the error that each refusal becomes."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.core.grant.document import OPERATOR, Document, VaultLocation
from pipedrive_operator.core.values.errors import CheckAndSetConflict, InvalidSpec, SourceMissing, VaultDenied
from support.vault_clock import read_once_ready, rewrite, trouble_of
from testbed.openbao import OpenBao

Connect = Callable[..., VaultConnections]


def stanza(denied: VaultDenied) -> str:
    """Return the policy in a message."""
    found = re.search(r'path "[^"]+" \{[^}]+\}', denied.message)
    assert found is not None
    return found.group()


async def test_a_document_is_read_with_its_version_and_its_time(
    vault: VaultConnections, openbao: OpenBao, location: VaultLocation
) -> None:
    """Vault's nanoseconds are cut to microseconds."""
    openbao.write_secret(location.path, {"token": "old"})
    openbao.write_secret(location.path, {"token": "new"})
    metadata = openbao.secret_metadata(location.path)
    assert metadata is not None

    document = await vault.read(location, OPERATOR)

    created_at = datetime.fromisoformat(metadata["versions"]["2"]["created_time"])
    assert document == Document(location=location, version=2, created_at=created_at, values={"token": "new"})
    assert created_at.tzinfo is not None


async def test_an_absent_document_is_none(vault: VaultConnections, location: VaultLocation) -> None:
    """The second read needs no further request about the mount."""
    assert await vault.read(location, OPERATOR) is None
    assert await vault.read(location, OPERATOR) is None


@pytest.mark.parametrize("how", ["delete", "destroy"])
async def test_a_deleted_document_has_a_version_and_no_values(
    vault: VaultConnections, openbao: OpenBao, location: VaultLocation, how: str
) -> None:
    """The next version can be written against it."""
    openbao.write_secret(location.path, {"token": "old"})
    openbao.request("POST", f"secret/{how}/{location.path}", json={"versions": [1]})

    document = await vault.read(location, OPERATOR)

    assert document is not None
    assert (document.version, document.values) == (1, {})
    assert await vault.write(location, {"token": "new"}, OPERATOR, cas=document.version) == 2


@pytest.mark.parametrize("configured", ["secret/metadata/{path}", "secret/config"])
async def test_a_version_that_vault_will_delete_later_is_alive(
    vault: VaultConnections, openbao: OpenBao, location: VaultLocation, configured: str
) -> None:
    """With `delete_version_after` on a document or a mount, every new version has a deletion time in the future."""
    setting = configured.format(path=location.path)
    openbao.request("POST", setting, json={"delete_version_after": "2160h"})
    try:
        openbao.write_secret(location.path, {"token": "t"})
    finally:
        openbao.request("POST", setting, json={"delete_version_after": "0s"})

    document = await vault.read(location, OPERATOR)

    metadata = openbao.secret_metadata(location.path)
    assert metadata is not None
    assert metadata["versions"]["1"]["deletion_time"]
    assert document is not None
    assert document.secret("token").reveal() == "t"


async def test_a_document_is_written_against_the_version_that_was_read(
    vault: VaultConnections, openbao: OpenBao, location: VaultLocation
) -> None:
    """The version of a document that does not exist is zero."""
    assert await vault.write(location, {"token": "first", "foreign": "kept"}, OPERATOR, cas=0) == 1
    assert await vault.write(location, {"token": "second", "foreign": "kept"}, OPERATOR, cas=1) == 2

    assert openbao.read_secret(location.path) == {"token": "second", "foreign": "kept"}


@pytest.mark.parametrize("cas", [0, 1, 3])
async def test_a_write_against_another_version_changes_nothing(
    vault: VaultConnections, openbao: OpenBao, location: VaultLocation, cas: int
) -> None:
    """Someone else changed the document."""
    openbao.write_secret(location.path, {"token": "first"})
    openbao.write_secret(location.path, {"token": "second"})

    with pytest.raises(CheckAndSetConflict):
        await vault.write(location, {"token": "third"}, OPERATOR, cas=cas)

    assert openbao.read_secret(location.path) == {"token": "second"}


async def test_of_many_writes_against_one_version_one_succeeds(
    vault: VaultConnections, location: VaultLocation
) -> None:
    """This protects a refresh token from being spent twice."""
    writes = (vault.write(location, {"number": str(number)}, OPERATOR, cas=0) for number in range(50))

    outcomes = await asyncio.gather(*writes, return_exceptions=True)

    assert outcomes.count(1) == 1
    assert sum(isinstance(outcome, CheckAndSetConflict) for outcome in outcomes) == 49


async def test_a_path_with_every_allowed_character_arrives_unchanged(
    vault: VaultConnections, openbao: OpenBao, location: VaultLocation
) -> None:
    """No layer decodes or resolves it."""
    odd = replace(location, path=f"{location.path}/..a.b_c@d=e+f-g")

    await vault.write(odd, {"token": "odd"}, OPERATOR, cas=0)

    assert openbao.request("LIST", f"secret/metadata/{location.path}")["data"]["keys"] == ["..a.b_c@d=e+f-g"]
    assert (await vault.read(odd, OPERATOR) or pytest.fail("absent")).values == {"token": "odd"}


async def test_a_denial_shows_a_policy_that_allows_the_request(
    connect: Connect, openbao: OpenBao, location: VaultLocation, token_file: Path, vault_prefix: str
) -> None:
    """Vault accepts the policy as the message shows it."""
    openbao.put_policy(vault_prefix, 'path "nothing" { capabilities = ["read"] }')
    rewrite(token_file, openbao.create_token([vault_prefix]))
    vault = connect(method="token", token_file=token_file)

    with pytest.raises(VaultDenied) as read:
        await vault.read(location, OPERATOR)
    with pytest.raises(VaultDenied) as write:
        await vault.write(location, {"token": "new"}, OPERATOR, cas=0)

    openbao.put_policy(vault_prefix, stanza(write.value))
    assert await vault.write(location, {"token": "new"}, OPERATOR, cas=0) == 1
    assert await vault.write(location, {"token": "newer"}, OPERATOR, cas=1) == 2
    openbao.put_policy(vault_prefix, stanza(read.value))
    assert await vault.read(location, OPERATOR) is not None


async def test_a_missing_mount_is_reported(vault: VaultConnections, location: VaultLocation) -> None:
    """The message names the mount."""
    trouble = await trouble_of(vault, replace(location, mount="nowhere"))

    assert isinstance(trouble, SourceMissing)
    assert "has no KV version 2 secrets engine at nowhere/" in trouble.message


async def test_another_secrets_engine_is_reported(
    vault: VaultConnections, openbao: OpenBao, location: VaultLocation
) -> None:
    """A transit engine, and the cubbyhole, whose responses look like those for a missing document."""
    openbao.request("POST", f"sys/mounts/{location.path}", json={"type": "transit"})

    for mount in (location.path, "cubbyhole"):
        assert isinstance(await trouble_of(vault, replace(location, mount=mount)), SourceMissing)


async def test_a_kv_engine_without_versions_is_reported(
    vault: VaultConnections, openbao: OpenBao, location: VaultLocation, vault_prefix: str
) -> None:
    """It is reported with and without a document, and used once it has versions."""
    openbao.request("POST", f"sys/mounts/{vault_prefix}", json={"type": "kv", "options": {"version": "1"}})
    unversioned = replace(location, mount=vault_prefix, path="acme")

    absent = await trouble_of(vault, unversioned)
    openbao.request("POST", f"{vault_prefix}/data/acme", json={"data": {"token": "old"}})
    present = await trouble_of(vault, unversioned)

    assert type(absent) is type(present) is SourceMissing
    assert f"vault kv enable-versioning {vault_prefix}/" in absent.message
    openbao.request("DELETE", f"{vault_prefix}/data/acme")
    openbao.request("POST", f"sys/mounts/{vault_prefix}/tune", json={"options": {"version": "2"}})
    assert await read_once_ready(vault, unversioned) is None


async def test_a_connection_that_is_not_configured_is_reported(
    vault: VaultConnections, location: VaultLocation
) -> None:
    """An app of the settings may name one."""
    with pytest.raises(InvalidSpec, match="no connection other"):
        await vault.read(replace(location, connection="other"), OPERATOR)


async def test_a_vault_namespace_has_its_own_documents(
    connect: Connect, openbao: OpenBao, location: VaultLocation, token_file: Path, vault_prefix: str
) -> None:
    """A token of the parent namespace is valid in it."""
    openbao.request("POST", f"sys/namespaces/{vault_prefix}")
    openbao.request("POST", f"{vault_prefix}/sys/mounts/secret", json={"type": "kv", "options": {"version": "2"}})
    vault = connect(namespace=vault_prefix, method="token", token_file=token_file)
    await read_once_ready(vault, location)

    await vault.write(location, {"token": "of the namespace"}, OPERATOR, cas=0)

    assert openbao.read_secret(location.path) is None
    assert openbao.read_secret(location.path, mount=f"{vault_prefix}/secret") == {"token": "of the namespace"}
