"""A simulator and an adapter per test."""

import socket
from collections.abc import AsyncIterator

import pytest

from integration.pipedrive.acme import TIMEOUT, Acme, adapter
from testbed.pipedrive import PipedriveSimulator, Rotation


@pytest.fixture
async def acme() -> AsyncIterator[Acme]:
    """Serve a Pipedrive that rotates refresh tokens, so that a spent one is refused."""
    async with PipedriveSimulator() as simulator:
        simulator.switches.rotate = Rotation.ALWAYS
        company = simulator.world.add_company(domain="acme")
        user = simulator.world.add_user(company_id=company.id)
        app = simulator.world.add_app(redirect_uri="http://127.0.0.1:9/", scopes=("base", "deals:full"))
        install = simulator.install(client_id=app.client_id, company_id=company.id, user_id=user.id)
        async with adapter(simulator.url, timeout=TIMEOUT) as api:
            yield Acme(simulator, api, user, app, install.grant_id)


@pytest.fixture
def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
