"""Provides the cluster of a contract test: the fake, then the real one. Assertions of `contracts` show their values."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("contracts")

from contracts.kubernetes_contract import ClusterPart, FakedCluster, real_cluster  # noqa: E402  after the rewriting is set


@pytest.fixture(params=["fake", "real"])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ClusterPart]:
    """Provide the fakes, then the adapters with a real API server."""
    if request.param == "fake":
        yield FakedCluster()
        return
    control_plane, namespace, _ = (request.getfixturevalue(name) for name in ("control_plane", "namespace", "crd"))
    async with real_cluster(control_plane, namespace, tmp_path) as real:
        yield real
