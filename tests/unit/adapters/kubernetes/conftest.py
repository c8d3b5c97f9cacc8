"""Fixtures for the Kubernetes adapter."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from fakes.api_server import FakeApiServer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[FakeApiServer]:
    """Run a fake API server."""
    fake = FakeApiServer(tmp_path)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    async with TestServer(app) as running:
        fake.address = str(running.make_url("/")).rstrip("/")
        yield fake
