"""The implementation of `ports.Watch`: runs kopf again and again in a thread, and delivers events to the main loop.

kopf needs a thread of its own because it installs signal handlers, and because it cancels every task of its event loop
when it ends. And it does end, for example after the API server has been unreachable for a while. No event is
interpreted here.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import aiohttp
import structlog

from pipedrive_operator.adapters.kubernetes.watch.kopf_run import KopfRun
from pipedrive_operator.adapters.kubernetes.watch.request_monitor import STREAM_SECONDS, RequestMonitor
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.ports import Clock, WatchedKind

OnEvent = Callable[[WatchedKind, str | None, Mapping[str, Any]], None]
"""Receives the type of an event and the object."""
OpenSession = Callable[[aiohttp.ClientMiddlewareType], Awaitable[tuple[str, aiohttp.ClientSession]]]
"""Opens an authenticated session with a middleware in the running loop; returns the server's address and the session.
Raises ApiServerUnavailable."""

LONGEST_RECONNECT_PAUSE: Final = 30.0
"""In seconds, between two runs of kopf."""
_STABLE: Final = 60.0
"""In seconds: a run that lasted longer than this ends a series of failures."""
_STOP: Final = 10.0
"""In seconds: how long `stop` waits for the thread."""

_log = structlog.stdlib.get_logger(__name__)


class Watch:
    """Watches credentials and the Secrets with our label, and reconnects after every failure."""

    def __init__(
        self,
        open_session: OpenSession,
        on_event: OnEvent,
        clock: Clock,
        *,
        on_interruption: Callable[[], None],
        on_list: Callable[[], None],
        namespaces: Sequence[str] = (),
        with_consents: bool = False,
    ) -> None:
        """Watch these namespaces, or the whole cluster if none are given; consents only if `with_consents` is set.

        The functions are called in the loop that is running now. `on_list` asks the caller to list everything: the
        watch delivers only what changes from then on. An interruption may mean that the CRD was replaced, because the
        API server then ends the watches of its resource.
        """
        self._open_session = open_session
        self._on_event = on_event
        self._clock = clock
        self._namespaces = namespaces
        self._with_consents = with_consents
        self._main_loop = asyncio.get_running_loop()
        self._monitor = RequestMonitor(
            clock,
            on_interruption=lambda: self._in_main_loop(on_interruption),
            on_list=lambda: self._in_main_loop(on_list),
            namespaces=namespaces,
        )
        self._run: KopfRun | None = None
        self._stopping = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run_repeatedly, name="watch", daemon=True)

    @property
    def period(self) -> float:
        """The longest time, in seconds, that a working watch goes without a new request to the API server."""
        return STREAM_SECONDS

    @property
    def alive(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def age(self) -> float:
        """Return the seconds since the API server last answered the watch that has been silent the longest."""
        return self._monitor.age()

    def start(self) -> None:
        """Start the thread. Call this once."""
        logging.getLogger("kopf").setLevel(logging.WARNING)  # at DEBUG, kopf logs whole objects
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # it warns about running in a thread
        self._thread.start()

    def restart(self) -> None:
        """End the current run of kopf; the next one asks for a list, and watches everything again."""
        if self._run is not None:
            self._run.end()

    async def stop(self) -> None:
        """End the thread, and wait until it has ended."""
        if not self.alive:
            return
        self._stopping.set()
        self.restart()
        try:
            async with asyncio.timeout(_STOP):
                await self._ended.wait()
        except TimeoutError:
            _log.warning("The watch did not stop in time; its thread ends with the process", seconds=_STOP)
        else:
            self._thread.join()

    def _run_repeatedly(self) -> None:
        """Run kopf until `stop`. This is the body of the thread."""
        failures = 0
        while not self._stopping.is_set():
            started = self._clock.monotonic()
            error = asyncio.run(self._run_once())
            failures = 1 if self._clock.monotonic() - started > _STABLE else failures + 1
            self._pause(failures, error)
        self._in_main_loop(self._ended.set)

    def _pause(self, failures: int, error: BaseException | None) -> None:
        if self._stopping.is_set():
            return
        seconds = min(pause(failures, spread_by="watch").total_seconds(), LONGEST_RECONNECT_PAUSE)
        _log.warning("The watch ended and will reconnect", error=repr(error), seconds=seconds)
        self._stopping.wait(seconds)

    async def _run_once(self) -> BaseException | None:
        self._run = KopfRun(
            self._open_monitored_session, self._deliver, self._namespaces, with_consents=self._with_consents
        )
        if self._stopping.is_set():  # stop() may have ended the run before this one
            return None
        return await self._run.run()

    async def _open_monitored_session(self) -> tuple[str, aiohttp.ClientSession]:
        return await self._open_session(self._monitor.observe)

    def _deliver(self, kind: WatchedKind, event_type: str | None, body: Mapping[str, Any]) -> None:
        self._in_main_loop(self._on_event, kind, event_type, body)

    def _in_main_loop(self, callback: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the main loop is closed: the process is ending
            self._main_loop.call_soon_threadsafe(callback, *arguments)
