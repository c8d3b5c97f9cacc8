"""The real parts of the chaos tests, which they seal, kill and cut off, and a cluster for the demo."""

from collections.abc import Iterator

import pytest

from chaos.kills import EXPIRES_IN
from chaos.surroundings import Environment, set_up
from testbed.control_plane import ControlPlane

LONGEST = ("test_mutants", "test_bad_input", "test_chaos", "test_vault_page", "test_published")
"""What begins first, so that no process is left with a long file after the others have ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files that take longest first, and keep the order of the others."""
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    name = item.path.stem
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


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
