"""Quotas of a real OpenBao: a path over its quota waits, and stops no other."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipedrive_operator.adapters.vault import VaultConnections
from pipedrive_operator.core.grant.document import OPERATOR, VaultLocation
from pipedrive_operator.core.values.errors import VaultUnavailable
from testbed.openbao import OpenBao


@pytest.fixture
def quota(openbao: OpenBao, location: VaultLocation, vault_prefix: str) -> Iterator[str]:
    """Allow one read of a document in ten seconds."""
    name = f"sys/quotas/rate-limit/{vault_prefix}"
    path = f"secret/data/{location.path}"
    openbao.request("POST", name, json={"path": path, "rate": 1, "interval": "10s", "block_interval": "1h"})
    yield name
    openbao.request("DELETE", name)


async def test_a_quota_of_one_path_stops_no_other(
    vault: VaultConnections, openbao: OpenBao, location: VaultLocation, quota: str
) -> None:
    """The path over its quota waits; its neighbour is read."""
    assert quota
    neighbour = replace(location, path=f"{location.path}-neighbour")
    openbao.write_secret(neighbour.path, {"token": "t"})
    await vault.read(location, OPERATOR)

    with pytest.raises(
        VaultUnavailable, match=r'limits the rate of these requests \(429, ".*rate limit quota'
    ) as caught:
        await vault.read(location, OPERATOR)

    assert caught.value.retry_after
    assert await vault.read(neighbour, OPERATOR) is not None
    with pytest.raises(VaultUnavailable):
        await vault.read(location, OPERATOR)
