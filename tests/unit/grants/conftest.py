"""The refresh protocol and the exchange in a healthy state."""

import pytest

from support.exchanges import ConsentSurroundings
from support.refresh import Surroundings


@pytest.fixture
def around() -> Surroundings:
    """Provide a protocol in a healthy state."""
    return Surroundings()


@pytest.fixture
def consent() -> ConsentSurroundings:
    """Provide an exchange with a grant in Vault that a consent does not end."""
    made = ConsentSurroundings()
    made.pipedrive.consent_ends_others = False
    return made
