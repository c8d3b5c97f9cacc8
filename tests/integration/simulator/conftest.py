"""A simulator per test, on a clock that stands still."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from integration.simulator.acme import REDIRECT_URI, Acme, TurnedClock
from testbed.pipedrive import PipedriveSimulator


@pytest.fixture
async def acme() -> AsyncIterator[Acme]:
    """Serve a world of one company, one user and one app."""
    clock = TurnedClock()
    async with PipedriveSimulator(clock=clock) as simulator, aiohttp.ClientSession() as session:
        company = simulator.world.add_company(domain="acme")
        user = simulator.world.add_user(company_id=company.id)
        app = simulator.world.add_app(redirect_uri=REDIRECT_URI, scopes=("base", "deals:full"))
        yield Acme(simulator, session, clock, company, user, app)
