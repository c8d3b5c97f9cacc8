"""A real OpenBao that is sealed or killed, and recovers."""

from datetime import timedelta
from pathlib import Path

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.config.vault import VaultAuthSettings, VaultConnectionSettings, VaultSettings
from pipedrive_operator.core.grant.document import OPERATOR, VaultLocation
from pipedrive_operator.core.values.errors import VaultUnavailable
from support.vault_clock import trouble_of
from testbed.openbao import OpenBao


async def test_a_sealed_vault_is_reported_and_its_recovery_noticed_within_ten_seconds(
    vault: VaultConnections, openbao: OpenBao, location: VaultLocation, clock: TurnedClock
) -> None:
    """The number of failed tries does not matter."""
    openbao.write_secret(location.path, {"token": "old"})
    openbao.seal()
    try:
        for _ in range(10):
            clock.turn(timedelta(seconds=10))
            trouble = await trouble_of(vault, location)
    finally:
        openbao.unseal()

    assert isinstance(trouble, VaultUnavailable)
    assert trouble.message == 'Vault connection "default" is sealed: unseal it with `vault operator unseal`'
    assert trouble.retry_after is not None
    assert trouble.retry_after < timedelta(seconds=10)
    assert isinstance(await trouble_of(vault, location), VaultUnavailable)
    clock.turn(timedelta(seconds=10))
    assert await vault.read(location, OPERATOR) is not None


async def test_check_reports_a_sealed_vault(vault: VaultConnections, openbao: OpenBao) -> None:
    """It needs no login for that."""
    server = vault.connections["default"]
    openbao.seal()
    try:
        with pytest.raises(VaultUnavailable, match="is sealed: unseal it with `vault operator unseal`"):
            await server.require_unsealed()
    finally:
        openbao.unseal()

    await server.require_unsealed()


async def test_a_vault_that_was_killed_is_used_again_after_its_restart(
    tmp_path: Path, clock: TurnedClock, location: VaultLocation
) -> None:
    """The connection and the token stay the same."""
    with OpenBao(durable=True) as durable:
        durable.write_secret(location.path, {"token": "kept"})
        token_file = tmp_path / "token"
        token_file.write_text(durable.root_token)
        auth = VaultAuthSettings.model_validate({"method": "token", "token_file": token_file})
        connection = VaultConnectionSettings.model_validate({"address": durable.address, "auth": auth})
        async with VaultConnections(VaultSettings(connections={"default": connection}), clock) as vault:
            before = await vault.read(location, OPERATOR)
            durable.kill()
            assert isinstance(await trouble_of(vault, location), VaultUnavailable)
            durable.start()
            durable.unseal()
            clock.turn(timedelta(seconds=10))

            assert await vault.read(location, OPERATOR) == before
