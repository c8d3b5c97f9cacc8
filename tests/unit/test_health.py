"""The endpoints for the kubelet and Prometheus."""

from collections.abc import Mapping

import aiohttp
import pytest

from pipedrive_operator.config.settings import HttpSettings
from pipedrive_operator.health import HealthServer

LOOPBACK = HttpSettings(address="127.0.0.1", port=0)


async def get(path: str, checks: Mapping[str, str | None]) -> tuple[int, str]:
    """Send a request to a server with these results of its checks."""
    async with (
        HealthServer(LOOPBACK, live=lambda: checks, ready=lambda: checks) as server,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}{path}") as response,
    ):
        return response.status, await response.text()


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_the_endpoint_passes_if_all_checks_do(path: str) -> None:
    """In the format of Kubernetes' own endpoints."""
    assert (200, f"[+]caches ok\n{path[1:]} check passed\n") == await get(path, {"caches": None})


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_the_endpoint_fails_with_the_name_of_the_failed_check(path: str) -> None:
    """And also lists the checks that passed."""
    status, text = await get(path, {"crd": "not installed", "caches": None})

    assert 503 == status
    assert f"[-]crd failed: not installed\n[+]caches ok\n{path[1:]} check failed\n" == text


async def test_metrics_are_exposed() -> None:
    """In Prometheus' text format."""
    status, text = await get("/metrics", {})

    assert 200 == status
    assert "pipedrive_operator_build_info" in text
