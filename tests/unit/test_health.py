"""The endpoints for the kubelet and Prometheus."""

import json
from collections.abc import Mapping

import aiohttp
import pytest

from pipedrive_operator.config.settings import HttpSettings
from pipedrive_operator.core.resource.uninstall import UninstallReport
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


REPORT = {"clientId": "a1", "companyId": 1, "userId": 2, "timestamp": "", "proof": "0" * 64}


async def post(body: bytes, reports: list[UninstallReport] | None) -> int:
    """Send a report of an uninstall; return the status of the response."""

    async def take(report: UninstallReport) -> None:
        assert reports is not None
        reports.append(report)

    on_uninstall = None if reports is None else take
    async with (
        HealthServer(LOOPBACK, live=dict, ready=dict, on_uninstall=on_uninstall) as server,
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{server.port}/uninstalls", data=body) as response,
    ):
        return response.status


async def test_a_report_of_an_uninstall_is_taken() -> None:
    """Whether it is proven is verified elsewhere, so the response reveals nothing."""
    reports: list[UninstallReport] = []

    assert 202 == await post(json.dumps(REPORT).encode(), reports)
    assert [("a1", 1, 2)] == [(report.client_id, report.company_id, report.user_id) for report in reports]


@pytest.mark.parametrize(("body", "status"), [(b"{}", 400), (b"x" * 5000, 413)])
async def test_anything_else_is_no_report(body: bytes, status: int) -> None:
    """Of any size."""
    reports: list[UninstallReport] = []

    assert status == await post(body, reports)
    assert [] == reports


async def test_without_consents_no_report_is_taken() -> None:
    """The endpoint does not exist then."""
    assert 404 == await post(json.dumps(REPORT).encode(), None)
