"""The operator's life cycle: prerequisites, start, periodic maintenance, and an orderly end.

A missing prerequisite is reported, retried, and found without a restart. Nothing is decided about a credential here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, Final

from pipedrive_operator import metrics
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.consents import ConsentController
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.controller.resync import Lister, resync
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock, Watch, WatchedKind

LONGEST_PREREQUISITE_PAUSE: Final = timedelta(seconds=10)
"""Upper bound of the pause between two checks of a prerequisite: a person is usually waiting for it."""
SILENT_PERIODS: Final = 1.4
"""A watch is restarted after this many of its periods without a response."""
DEAD_PERIODS: Final = 2.5
"""After this many periods without a response, restarting the watch has not helped; the process must be restarted."""
SHARERS_DELAY: Final = 1.0
"""Seconds after which a change causes passes of the credentials that share the grant or the Secret.

All changes in this time cause one pass each: a credential that changes constantly cannot keep the others busy.
"""
_SCHEMA_CHECK_DELAY: Final = 1.0
"""Seconds before the CRD is checked: each namespace has its own watch, and all of them end at about the same time."""
_RESYNC_DELAY: Final = 0.2
"""Seconds before everything is listed on request: the watches of all namespaces begin at about the same time."""

_log = get_logger(__name__)


class Supervisor:
    """Starts, maintains and ends the work."""

    def __init__(
        self,
        *,
        controller: Controller,
        cache: Cache,
        lister: Lister,
        clock: Clock,
        check_schema: Callable[[], Awaitable[str | None]],
        resync_interval: timedelta,
        consents: ConsentController | None = None,
    ) -> None:
        """Use these parts; `check_schema` returns what is wrong with the CRD, or None.

        Without `consents`, consents are not handled.
        """
        self._consents = consents
        self._controller = controller
        self._cache = cache
        self._lister = lister
        self._clock = clock
        self._check_schema = check_schema
        self._resync_interval = resync_interval
        self._watch: Watch | None = None
        self._schema_problem: str | None = "not checked yet"
        self._schema_check_requested = asyncio.Event()
        self._resync_requested = asyncio.Event()
        self._resyncing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._cache_problem: str | None = "not filled yet"

    def readiness(self) -> Mapping[str, str | None]:
        """Return the checks of /readyz, each with its problem or None."""
        watch = _silence(self._watch, SILENT_PERIODS)
        return {"crd": self._schema_problem, "caches": self._cache_problem, "watch": watch}

    def liveness(self) -> Mapping[str, str | None]:
        """Return the checks of /livez, each with its problem or None. Only a restart would fix such a problem."""
        return {"event loop": None, "watch": _silence(self._watch, DEAD_PERIODS)}

    def handle_event(self, kind: WatchedKind, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Update the cache with an event of the watch, and reconcile the credentials that it affects."""
        if kind == "consent":
            if self._consents is not None:
                self._consents.handle_event(event_type, body)
            return
        see = self._cache.see_credential if kind == "credential" else self._cache.see_secret
        try:
            affected = see(event_type, body)
        except ApiServerUnavailable as error:
            _log.warning("ignored an event of the watch", kind=kind, error=str(error))
        else:
            self._controller.enqueue(affected)
            self._changed.set()
            if self._consents is not None and kind == "credential":
                self._consents.credentials_changed(affected)

    def request_schema_check(self) -> None:
        """Have the CRD checked again: it may have been replaced by an older one."""
        self._schema_check_requested.set()

    def request_resync(self) -> None:
        """Have everything listed: a watch has begun, and delivers only what changes from now on."""
        self._resync_requested.set()

    async def run(self, watch: Watch, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Fill the caches and keep them current, on leader and standby alike, and work, until cancelled."""
        await self._wait_until_ok("crd", self._find_schema_problem)
        await self._wait_until_ok("caches", self._resync)
        watch.start()
        self._watch = watch
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(work(), name="work")
                group.create_task(self._resync_periodically(), name="resync")
                group.create_task(self._resync_on_request(), name="resync on request")
                group.create_task(self._check_schema_on_request(), name="schema")
                group.create_task(self._restart_silent_watch(watch), name="watchdog")
                group.create_task(self._wake_sharers(), name="sharers")
        finally:
            await watch.stop()

    async def _wait_until_ok(self, what: str, check: Callable[[], Awaitable[str | None]]) -> None:
        """Repeat a check until it returns no problem; log each new problem once."""
        logged, failures = None, 0
        while (problem := await check()) is not None:
            failures += 1
            if problem != logged:
                _log.warning("waiting", what=what, problem=problem)
                logged = problem
            await self._clock.sleep(min(pause(failures, spread_by=what), LONGEST_PREREQUISITE_PAUSE).total_seconds())

    async def _resync_periodically(self) -> None:
        while True:
            await self._clock.sleep(self._resync_interval.total_seconds())
            await self._wait_until_ok("caches", self._resync)

    async def _resync_on_request(self) -> None:
        while True:
            await self._resync_requested.wait()
            await self._clock.sleep(_RESYNC_DELAY)
            self._resync_requested.clear()
            await self._wait_until_ok("caches", self._resync)

    async def _check_schema_on_request(self) -> None:
        """Check the CRD when requested; the operator is not ready while an older one is installed."""
        while True:
            await self._schema_check_requested.wait()
            await self._clock.sleep(_SCHEMA_CHECK_DELAY)
            self._schema_check_requested.clear()
            await self._wait_until_ok("crd", self._find_schema_problem)

    async def _wake_sharers(self) -> None:
        """Reconcile the credentials that share something with changed ones, some time after the first change."""
        while True:
            await self._changed.wait()
            await self._clock.sleep(SHARERS_DELAY)
            self._changed.clear()
            self._controller.enqueue(self._cache.take_sharers())

    async def _restart_silent_watch(self, watch: Watch) -> None:
        """Restart a silent watch: kopf can lose one without an error (https://github.com/nolar/kopf/issues/1276)."""
        while True:
            await self._clock.sleep(watch.period / 8)
            if watch.age() > SILENT_PERIODS * watch.period:
                _log.warning("the watch is silent and is being restarted", seconds=round(watch.age()))
                watch.restart()

    async def _find_schema_problem(self) -> str | None:
        try:
            self._schema_problem = await self._check_schema()
        except ApiServerUnavailable as error:
            self._schema_problem = str(error)
        return self._schema_problem

    async def _resync(self) -> str | None:
        try:
            async with self._resyncing:
                await self._resync_credentials()
                if self._consents is not None:
                    await self._consents.resync()
        except ApiServerUnavailable as error:
            return str(error)
        self._cache_problem = None
        metrics.show_resync(self._clock.now())
        return None

    async def _resync_credentials(self) -> None:
        """List credentials and Secrets, and reconcile what that finds. Raises ApiServerUnavailable."""
        found = set[Key]()
        try:
            await resync(self._lister, self._cache, found)
        finally:
            if self._cache_problem is None:  # after the first list, a leader looks at all, the most urgent first
                self._controller.enqueue(found)
            self._changed.set()


def _silence(watch: Watch | None, periods: float) -> str | None:
    """Return that the watch has had no response for so many of its periods, or None."""
    if watch is None or (age := watch.age()) <= periods * watch.period:
        return None
    return f"no response from the API server for {age:.0f} s"
