"""The operator's life: what must be there before work starts, what is looked at now and then, and an orderly end.

Whatever is missing is told, waited for, and found without a restart. Nothing is decided about a credential here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from pipedrive_operator import metrics
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.controller.coroutine import as_coroutine
from pipedrive_operator.controller.resync import Lister, resync
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock, Watch, WatchedKind

LONGEST_START_PAUSE: Final = timedelta(seconds=10)
"""Between two looks at something that is missing at the start: a person is waiting for it."""
SILENT_PERIODS: Final = 1.4
"""After how many of its periods without an answer a watch is started again."""
DEAD_PERIODS: Final = 2.5
"""After how many of its periods without an answer starting it again has not helped, and only a restart will."""
_SETTLES: Final = 1.0
"""In seconds: how long at least one look at the CRD comes after another."""

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
    ) -> None:
        """Take the parts; `check_schema` says what is wrong with the CRD, or None."""
        self._controller = controller
        self._cache = cache
        self._lister = lister
        self._clock = clock
        self._check_schema = check_schema
        self._resync_interval = resync_interval
        self._watch: Watch | None = None
        self._schema_problem: str | None = "not looked at yet"
        self._schema_in_doubt = asyncio.Event()
        self._cache_problem: str | None = "not filled yet"

    def readiness(self) -> Mapping[str, str | None]:
        """Return what is needed to work, each with what is wrong with it."""
        return {"crd": self._schema_problem, "caches": self._cache_problem}

    def liveness(self) -> Mapping[str, str | None]:
        """Return what only a restart would mend, each with what is wrong with it."""
        return {"event loop": None, "watch": _death(self._watch) if self._watch is not None else None}

    def observed(self, kind: WatchedKind, event: str | None, body: Mapping[str, Any]) -> None:
        """Take in an event of the watch."""
        see = self._cache.see_credential if kind == "credential" else self._cache.see_secret
        self._controller.look_at(see(event, body))

    def doubt_schema(self) -> None:
        """Have the CRD looked at again: it may have been replaced by an older one."""
        self._schema_in_doubt.set()

    async def run(self, watch: Watch, work: Callable[[], Awaitable[None]]) -> None:
        """Fill the caches and keep them fresh, whether this replica leads or stands by, and work, until cancelled."""
        await self._until_it_works("crd", self._schema_is_current)
        await self._until_it_works("caches", self._resync)
        watch.start()
        self._watch = watch
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(as_coroutine(work), name="work")
                group.create_task(self._maintain(), name="resync")
                group.create_task(self._recheck_schema(), name="schema")
                group.create_task(self._revive(watch), name="watchdog")
        finally:
            await watch.stop()

    async def _until_it_works(self, what: str, step: Callable[[], Awaitable[str | None]]) -> None:
        """Repeat a step until nothing is wrong; say what is, once for each new trouble."""
        told, failures = None, 0
        while (problem := await step()) is not None:
            failures += 1
            if problem != told:
                _log.warning("waiting", what=what, problem=problem)
                told = problem
            await self._clock.sleep(min(pause(failures, spread_by=what), LONGEST_START_PAUSE).total_seconds())

    async def _maintain(self) -> None:
        """Look again at everything, now and then."""
        while True:
            await self._clock.sleep(self._resync_interval.total_seconds())
            await self._until_it_works("caches", self._resync)

    async def _recheck_schema(self) -> None:
        """Look at the CRD again when it is in doubt; an older one stops readiness until it is replaced."""
        while True:
            await self._schema_in_doubt.wait()
            await self._clock.sleep(_SETTLES)  # each namespace has a watch of its own, and they end together
            self._schema_in_doubt.clear()
            await self._until_it_works("crd", self._schema_is_current)

    async def _revive(self, watch: Watch) -> None:
        """Start a silent watch again: kopf can lose one without a word (https://github.com/nolar/kopf/issues/1276)."""
        while True:
            await self._clock.sleep(watch.period / 8)
            if watch.age() > SILENT_PERIODS * watch.period:
                _log.warning("the watch has gone silent and is started again", seconds=round(watch.age()))
                watch.restart()

    async def _schema_is_current(self) -> str | None:
        try:
            self._schema_problem = await self._check_schema()
        except ApiServerUnavailable as error:
            self._schema_problem = str(error)
        return self._schema_problem

    async def _resync(self) -> str | None:
        try:
            self._controller.look_at(await resync(self._lister, self._cache))
        except ApiServerUnavailable as error:
            return str(error)
        self._cache_problem = None
        metrics.resynced(self._clock.now())
        return None


def _death(watch: Watch) -> str | None:
    age = watch.age()
    return f"no answer from the API server for {age:.0f} s" if age > DEAD_PERIODS * watch.period else None
