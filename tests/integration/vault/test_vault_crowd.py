"""Many credentials and one real OpenBao: during an outage, at its end, and while nothing happens."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipedrive_operator.adapters.clock import SystemClock
from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.config.vault import VaultSettings
from pipedrive_operator.core.grant.document import OPERATOR, VaultLocation
from pipedrive_operator.core.values.errors import CheckAndSetConflict, VaultUnavailable
from support.vault_clock import requests_to
from testbed.openbao import OpenBao

CROWD = 300
RECOVERY_SECONDS = 10.0
LOCATION = VaultLocation(connection="default", mount="secret", path="acme")


@pytest.fixture
def lone() -> Iterator[OpenBao]:
    """Run an OpenBao for one test, so that no other requests are counted."""
    with OpenBao() as running:
        running.write_secret("acme", {"token": "t"})
        yield running


def settings(openbao: OpenBao, folder: Path, *, address: str | None = None, ttl: str = "1h") -> VaultSettings:
    """Return settings that log in with AppRole and tokens of that lifetime."""
    openbao.enable_auth("approle")
    openbao.put_policy("reader", 'path "secret/data/*" { capabilities = ["read", "create", "update"] }')
    role = {"token_policies": ["default", "reader"], "token_ttl": ttl, "token_max_ttl": "24h"}
    openbao.request("POST", "auth/approle/role/operator", json=role)
    role_id = openbao.request("GET", "auth/approle/role/operator/role-id")["data"]["role_id"]
    secret_id = openbao.request("POST", "auth/approle/role/operator/secret-id")["data"]["secret_id"]
    (folder / "secret-id").write_text(secret_id)
    auth = {"method": "approle", "roleId": role_id, "secretIdFile": folder / "secret-id"}
    connection = {"address": address or openbao.address, "auth": auth}
    return VaultSettings.model_validate({"connections": {"default": connection}})


class Waiting:
    """Credentials that read, pause after a failure, and read again when the outage ends."""

    def __init__(self, vault: VaultConnections) -> None:
        """Subscribe to the end of outages."""
        self._vault = vault
        self._back = asyncio.Event()
        vault.on_return = lambda _: self._back.set()

    async def read(self) -> None:
        """Read until a read succeeds."""
        while True:
            try:
                assert await self._vault.read(LOCATION, OPERATOR)
            except VaultUnavailable as trouble:
                pause = trouble.retry_after or timedelta(0)
                try:
                    await asyncio.wait_for(self._back.wait(), pause.total_seconds())
                except TimeoutError:
                    continue
            else:
                return


async def test_an_outage_costs_few_requests_and_ends_for_everyone_within_ten_seconds(
    lone: OpenBao, tmp_path: Path
) -> None:
    """One of hundreds probes, and then each reads once."""
    async with VaultConnections(settings(lone, tmp_path), SystemClock()) as vault:
        await vault.read(LOCATION, OPERATOR)
        lone.seal()
        waiting = Waiting(vault)
        crowd = [asyncio.create_task(waiting.read()) for _ in range(CROWD)]
        await asyncio.sleep(6)
        assert not any(task.done() for task in crowd)
        read = requests_to(lone, "secret/data/acme")
        lone.unseal()

        async with asyncio.timeout(RECOVERY_SECONDS):
            await asyncio.gather(*crowd)

        assert requests_to(lone, "secret/data/acme") - read <= CROWD + 5
        assert requests_to(lone, "auth/approle/login") == 1


async def test_an_idle_session_renews_its_token_and_sends_nothing_else(lone: OpenBao, tmp_path: Path) -> None:
    """One login serves all; then the token is renewed at two thirds of its six seconds."""
    async with VaultConnections(settings(lone, tmp_path, ttl="6s"), SystemClock()) as vault:
        await asyncio.gather(*(vault.read(LOCATION, OPERATOR) for _ in range(100)))
        before, revoked = len(lone.requests()), requests_to(lone, "auth/token/revoke-self")
        await asyncio.sleep(9)

        idle = [request.path for request in lone.requests()[before:]]

        assert set(idle) == {"auth/token/renew-self"}
        assert 1 <= len(idle) <= 3
        assert requests_to(lone, "auth/approle/login") == 1
    assert requests_to(lone, "auth/token/revoke-self") == revoked + 1


async def test_a_mount_may_require_check_and_set(lone: OpenBao, tmp_path: Path) -> None:
    """A write against the newest version succeeds, one against another version conflicts."""
    lone.request("POST", "secret/config", json={"cas_required": True})
    async with VaultConnections(settings(lone, tmp_path), SystemClock()) as vault:
        assert await vault.write(LOCATION, {"token": "new"}, OPERATOR, cas=1) == 2
        with pytest.raises(CheckAndSetConflict):
            await vault.write(LOCATION, {"token": "newer"}, OPERATOR, cas=1)


@pytest.mark.parametrize(
    ("how", "message"),
    [("delete", "vault kv undelete -mount=secret -versions=1 acme"), ("destroy", "cannot be restored")],
)
async def test_a_version_that_was_removed_says_whether_it_can_be_restored(
    lone: OpenBao, tmp_path: Path, how: str, message: str
) -> None:
    """A deleted version can be restored, a destroyed one cannot."""
    lone.request("POST", f"secret/{how}/acme", json={"versions": [1]})
    async with VaultConnections(settings(lone, tmp_path), SystemClock()) as vault:
        document = await vault.read(LOCATION, OPERATOR)

    assert document is not None
    with pytest.raises(Exception, match=message):
        document.require_values()
