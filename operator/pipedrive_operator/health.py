"""The HTTP endpoints for the kubelet, Prometheus and the consent front.

Whether the operator is healthy, and what an uninstall means, is decided elsewhere.

`/livez` fails if only a restart can help, `/readyz` if the operator cannot work. Both respond in the format of
Kubernetes' own endpoints (https://kubernetes.io/docs/reference/using-api/health-checks/). `/metrics` is for Prometheus.
`/uninstalls` takes reports of uninstalls from the consent front; its response reveals nothing about a report.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, Self

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pipedrive_operator import metrics
from pipedrive_operator.config.settings import HttpSettings
from pipedrive_operator.core.resource.uninstall import LARGEST_REPORT, UninstallReport, read_report

Checks = Callable[[], Mapping[str, str | None]]
"""Returns the names of the checks, each with its problem or None."""
OnUninstall = Callable[[UninstallReport], Awaitable[None]]
"""Takes a report that has the right form; its proof has not been verified."""

UNINSTALLS: Final = "/uninstalls"
_SHUTDOWN_TIMEOUT: Final = 1.0
"""Seconds that open requests may take at the end; none of them takes longer."""


class HealthServer:
    """Serves the endpoints inside its `async with` block."""

    def __init__(
        self, settings: HttpSettings, *, live: Checks, ready: Checks, on_uninstall: OnUninstall | None = None
    ) -> None:
        """Prepare the endpoints; `live` and `ready` are called for each request.

        Without `on_uninstall`, reports of uninstalls are not taken.
        """
        self._settings = settings
        app = web.Application(client_max_size=LARGEST_REPORT)
        if on_uninstall is not None:
            app.router.add_post(UNINSTALLS, _take_uninstalls(on_uninstall))
        app.router.add_get("/livez", _handler("livez", live))
        app.router.add_get("/readyz", _handler("readyz", ready))
        app.router.add_get("/metrics", _serve_metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT)

    async def __aenter__(self) -> Self:
        """Start to listen."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._settings.address, self._settings.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port that the server listens on; a free one if the settings say 0."""
        return int(self._runner.addresses[0][1])


def _handler(name: str, run_checks: Checks) -> Handler:
    async def handle(_: web.Request) -> web.Response:
        checks = run_checks()
        failed = any(problem is not None for problem in checks.values())
        lines = [*(_line(*check) for check in checks.items()), f"{name} check {'failed' if failed else 'passed'}"]
        status = HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK
        return web.Response(text="\n".join(lines) + "\n", status=status)

    return handle


def _take_uninstalls(on_uninstall: OnUninstall) -> Handler:
    async def handle(request: web.Request) -> web.Response:
        report = read_report(await request.read())
        if report is None:
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        await on_uninstall(report)
        return web.Response(status=HTTPStatus.ACCEPTED)

    return handle


def _line(check: str, problem: str | None) -> str:
    return f"[+]{check} ok" if problem is None else f"[-]{check} failed: {problem}"


async def _serve_metrics(_: web.Request) -> web.Response:
    return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
