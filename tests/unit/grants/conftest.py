"""The refresh protocol in a healthy state."""

import pytest

from support.refresh import Surroundings


@pytest.fixture
def around() -> Surroundings:
    """Provide a protocol in a healthy state."""
    return Surroundings()
