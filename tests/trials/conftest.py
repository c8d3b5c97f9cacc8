"""The real parts of the chaos tests, which they seal, kill and cut off, and a cluster for the demo."""

from collections.abc import Iterator

import pytest

from chaos.kills import EXPIRES_IN
from chaos.surroundings import Environment, set_up
from support.file_order import run_first
from testbed.control_plane import ControlPlane

LONGEST = (
    "test_bad_input",
    "test_mutants",
    "test_chaos",
    "test_kubectl_plugin",
    "test_foreign_writers",
    "test_two_releases",
    "test_vault_page",
    "test_demo",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    run_first(items, LONGEST)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Run the parts; their logs are in pytest's temporary folder."""
    with set_up(tmp_path_factory.mktemp("chaos"), expires_in=EXPIRES_IN) as running:
        yield running


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Run the control plane that the demo takes for the user's own cluster."""
    with ControlPlane(folder=tmp_path_factory.mktemp("control-plane")) as running:
        yield running
