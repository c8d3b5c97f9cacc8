"""The parts of a cluster, the model and the real one in turn; asserts in what tests share tell as much as theirs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("contracts")

from contracts.kubernetes import ClusterPart, ModelledCluster, real_cluster  # noqa: E402  after the rewriting is set


@pytest.fixture(params=["model", "real"])
async def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ClusterPart]:
    """Arrange each part in turn."""
    if request.param == "model":
        yield ModelledCluster()
        return
    control_plane, namespace, _ = (request.getfixturevalue(name) for name in ("control_plane", "namespace", "crd"))
    async with real_cluster(control_plane, namespace, tmp_path) as real:
        yield real
