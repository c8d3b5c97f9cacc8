"""A stage of its own: what is sealed, killed and cut here is nobody else's."""

from collections.abc import Iterator

import pytest

from chaos.kills import EXPIRES_IN
from chaos.stage import Stage, set_up


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Run the parts; their logs stay in pytest's temporary folder."""
    with set_up(tmp_path_factory.mktemp("chaos"), expires_in=EXPIRES_IN) as running:
        yield running
