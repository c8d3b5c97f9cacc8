"""The refresh protocol with everything in order."""

import pytest

from support.refresh import Surroundings


@pytest.fixture
def around() -> Surroundings:
    """Give a protocol with everything in order."""
    return Surroundings()
