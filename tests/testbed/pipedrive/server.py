"""Serves a simulation over HTTP, in a test's own event loop or as a process (`python -m testbed.pipedrive`)."""

import ssl
import time
from collections.abc import Callable, Iterable
from typing import Self

from aiohttp import web

from testbed.pipedrive.api import ApiEndpoints
from testbed.pipedrive.authorize import AuthorizeEndpoint
from testbed.pipedrive.conductor import Conductor
from testbed.pipedrive.control import Control
from testbed.pipedrive.faults import Fault
from testbed.pipedrive.oauth import OAuthEndpoints
from testbed.pipedrive.simulation import Simulation
from testbed.pipedrive.switches import Switches


class PipedriveSimulator(Simulation):
    """A simulation that serves HTTP during an `async with` block.

    `url` replaces oauth.pipedrive.com, api.pipedrive.com and the address of every company.
    """

    def __init__(
        self,
        *,
        switches: Switches | None = None,
        faults: Iterable[Fault] = (),
        clock: Callable[[], float] = time.time,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare a simulator; port 0 chooses a free port at the start."""
        super().__init__(switches=switches, clock=clock)
        for fault in faults:
            self.faults.add(fault)
        self._address = (host, port)
        self._tls = tls
        self._conductor = Conductor(self.faults, self.ledger, self.now)
        # Without cancellation, a client that disconnects before the response would go unnoticed.
        self._runner = web.AppRunner(
            self._application(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )

    async def __aenter__(self) -> Self:
        """Start serving."""
        await self._runner.setup()
        host, port = self._address
        await web.TCPSite(self._runner, host, port, backlog=1024, ssl_context=self._tls).start()
        self.url = f"{'https' if self._tls else 'http'}://{host}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop serving, and abort requests that are still waiting."""
        self._conductor.stop()
        await self._runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application()
        for part in (
            AuthorizeEndpoint(self, self._conductor),
            OAuthEndpoints(self, self._conductor),
            ApiEndpoints(self, self._conductor),
            Control(self),
        ):
            application.add_routes(part.routes())
        return application
