"""The parts that the chaos tests seal, kill and cut off; no other test uses them."""

from collections.abc import Iterator

import pytest

from chaos.kills import EXPIRES_IN
from chaos.surroundings import Environment, set_up


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """Run the parts; their logs are in pytest's temporary folder."""
    with set_up(tmp_path_factory.mktemp("chaos"), expires_in=EXPIRES_IN) as running:
        yield running
