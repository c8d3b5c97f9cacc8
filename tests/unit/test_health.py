"""The endpoints for the kubelet and Prometheus."""

from collections.abc import Mapping

import aiohttp
import pytest

from pipedrive_operator.config.settings import HttpSettings
from pipedrive_operator.health import HealthServer

LOOPBACK = HttpSettings(address="127.0.0.1", port=0)


async def asked(path: str, checks: Mapping[str, str | None]) -> tuple[int, str]:
    """Ask a server that finds this."""
    async with (
        HealthServer(LOOPBACK, live=lambda: checks, ready=lambda: checks) as server,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}{path}") as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_all_well_passes(path: str) -> None:
    """In the words of Kubernetes' own endpoints."""
    assert (200, f"[+]caches ok\n{path[1:]} check passed\n") == await asked(path, {"caches": None})


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_one_problem_fails_and_is_named(path: str) -> None:
    """Beside what is well."""
    status, text = await asked(path, {"crd": "not installed", "caches": None})

    assert 503 == status
    assert f"[-]crd failed: not installed\n[+]caches ok\n{path[1:]} check failed\n" == text


async def test_metrics_are_exposed() -> None:
    """As Prometheus reads them."""
    status, text = await asked("/metrics", {})

    assert 200 == status
    assert "pipedrive_operator_build_info" in text
