"""The endpoints for the kubelet and Prometheus."""

import asyncio
import json
import threading
import tracemalloc
from collections.abc import Mapping
from contextlib import suppress

import aiohttp
import pytest

from pipedrive_operator import metrics
from pipedrive_operator.config.settings import HttpSettings
from pipedrive_operator.core.resource.uninstall import UninstallReport
from pipedrive_operator.health import HealthServer, Limits

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
    """The response has the format of Kubernetes' own endpoints."""
    assert (200, f"[+]caches ok\n{path[1:]} check passed\n") == await get(path, {"caches": None})


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_the_endpoint_fails_with_the_name_of_the_failed_check(path: str) -> None:
    """It also lists the checks that passed."""
    status, text = await get(path, {"crd": "not installed", "caches": None})

    assert 503 == status
    assert f"[-]crd failed: not installed\n[+]caches ok\n{path[1:]} check failed\n" == text


async def test_metrics_are_exposed() -> None:
    """The response has Prometheus' text format."""
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
    """The proof is verified elsewhere, so the response reveals nothing."""
    reports: list[UninstallReport] = []

    assert 202 == await post(json.dumps(REPORT).encode(), reports)
    assert [("a1", 1, 2)] == [(report.client_id, report.company_id, report.user_id) for report in reports]


@pytest.mark.parametrize(("body", "status"), [(b"{}", 400), (b"x" * 5000, 413)])
async def test_anything_else_is_no_report(body: bytes, status: int) -> None:
    """The size of the body does not matter."""
    reports: list[UninstallReport] = []

    assert status == await post(body, reports)
    assert [] == reports


async def test_without_consents_no_report_is_taken() -> None:
    """The endpoint does not exist then."""
    assert 404 == await post(json.dumps(REPORT).encode(), None)


def server(**limits: float) -> HealthServer:
    """Build a server whose checks pass."""
    return HealthServer(LOOPBACK, live=dict, ready=dict, limits=Limits(**limits))  # type: ignore[arg-type]  # numbers


async def connect(running: HealthServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a raw connection."""
    return await asyncio.open_connection("127.0.0.1", running.port)


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Wait until the server has closed a connection without a response."""
    with suppress(ConnectionError):
        return await reader.read() == b""
    return True


async def test_a_connection_carries_one_request() -> None:
    """No client can therefore keep one."""
    async with server() as running:
        reader, writer = await connect(running)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        response = await reader.read()
        writer.close()

    assert response.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in response


@pytest.mark.parametrize(
    "sent", [b"", b"GET /livez HTTP/1.1\r\nHost:", b"POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"]
)
async def test_a_client_that_does_not_finish_is_disconnected(sent: bytes) -> None:
    """It may send nothing, half of its headers, or no body."""
    async with asyncio.timeout(10), server(seconds=0.2) as running:
        reader, writer = await connect(running)
        writer.write(sent)
        response = b""
        with suppress(ConnectionError):
            response = await reader.read()
        writer.close()

    assert b"200 OK" not in response


async def test_idle_connections_take_no_place_from_the_kubelet() -> None:
    """Beyond a number of connections the oldest is closed, and a new one is served."""
    async with asyncio.timeout(30), server(connections=8, seconds=60) as running:
        idle = [await connect(running) for _ in range(200)]
        async with aiohttp.ClientSession() as session:
            for _ in range(3):
                async with session.get(f"http://127.0.0.1:{running.port}/livez") as response:
                    assert 200 == response.status
        closed = [await is_closed(reader) for reader, _ in idle[:192]]
        for _, writer in idle:
            writer.close()

    assert all(closed)
    assert 192 == len(closed)


async def test_the_metrics_are_rendered_once_for_all_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are rendered outside the event loop, and again only after a second."""
    rendered: list[int] = []

    def render() -> bytes:
        rendered.append(threading.get_ident())
        return b"x" * 300_000

    monkeypatch.setattr(metrics, "exposition", render)
    async with asyncio.timeout(30), server() as running, aiohttp.ClientSession() as session:

        async def scrape() -> int:
            async with session.get(f"http://127.0.0.1:{running.port}/metrics") as response:
                return len(await response.read())

        sizes = await asyncio.gather(*(scrape() for _ in range(40)))

    assert {300_000} == set(sizes)
    assert 1 == len(rendered)
    assert threading.get_ident() not in rendered


async def test_a_client_that_does_not_read_costs_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The metrics of ten thousand credentials are not copied for each connection."""
    monkeypatch.setattr(metrics, "exposition", lambda: b"x" * 50_000_000)
    async with asyncio.timeout(30), server() as running:
        writers = [await scrape_without_reading(running)]
        tracemalloc.start()
        writers += [await scrape_without_reading(running) for _ in range(10)]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        for writer in writers:
            writer.close()

    assert peak < 20_000_000


async def scrape_without_reading(running: HealthServer) -> asyncio.StreamWriter:
    """Ask for the metrics, read the headers, and leave the rest."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port, limit=1024)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readline()
    return writer


async def test_a_problem_is_masked() -> None:
    """Masking is the last defence, as in the log."""
    _, text = await get("/readyz", {"crd": f"Bearer {'ab' * 20}"})

    assert "[-]crd failed: Bearer (hidden)" in text
