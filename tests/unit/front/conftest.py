"""A front with one consent whose link can be used."""

from collections.abc import AsyncIterator

import pytest

from support.front import Front, Fronts, linked


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    """Serve a front on loopback."""
    async with Fronts().serve() as served:
        served.consents.put(linked())
        yield served
