"""The HTTP endpoints for the kubelet and Prometheus. What is healthy is decided elsewhere; here it is only told.

`/livez`: would a restart help? `/readyz`: can it work? Both in the words of Kubernetes' own endpoints. `/metrics`.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, Self

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from pipedrive_operator import metrics
from pipedrive_operator.config.settings import HttpSettings

Checks = Callable[[], Mapping[str, str | None]]
"""Each thing that was checked, with what is wrong with it or None."""

_SHUTDOWN: Final = 1.0
"""In seconds: nobody asks for anything that takes longer."""


class HealthServer:
    """Serves the endpoints while the block lasts."""

    def __init__(self, settings: HttpSettings, *, live: Checks, ready: Checks) -> None:
        """Take the address and what to ask."""
        self._settings = settings
        app = web.Application()
        app.router.add_get("/livez", _teller("livez", live))
        app.router.add_get("/readyz", _teller("readyz", ready))
        app.router.add_get("/metrics", _exposed)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN)

    async def __aenter__(self) -> Self:
        """Listen."""
        await self._runner.setup()
        await web.TCPSite(self._runner, self._settings.address, self._settings.port).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port that is listened on; with `port: 0` a free one."""
        return int(self._runner.addresses[0][1])


def _teller(name: str, ask: Checks) -> Handler:
    async def tell(_: web.Request) -> web.Response:
        checks = ask()
        failed = any(problem is not None for problem in checks.values())
        lines = [*(_line(*check) for check in checks.items()), f"{name} check {'failed' if failed else 'passed'}"]
        status = HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK
        return web.Response(text="\n".join(lines) + "\n", status=status)

    return tell


def _line(what: str, problem: str | None) -> str:
    return f"[+]{what} ok" if problem is None else f"[-]{what} failed: {problem}"


async def _exposed(_: web.Request) -> web.Response:
    return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
