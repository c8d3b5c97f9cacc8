"""Takes keys from the work queue, has them reconciled, counts the passes, and schedules the next look."""

import asyncio
from collections.abc import Iterable
from typing import Final

from pipedrive_operator import metrics
from pipedrive_operator.controller.queue import Priority, WorkQueue
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.errors import ApiServerUnavailable, FenceClosed
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock
from pipedrive_operator.reconcile.reconciler import Outcome, Reconciler

_log: Final = get_logger(__name__)


class Controller:
    """Runs the workers."""

    def __init__(self, *, reconciler: Reconciler, queue: WorkQueue, clock: Clock) -> None:
        """Take the parts."""
        self._reconciler = reconciler
        self._queue = queue
        self._clock = clock
        self._failures: dict[Key, int] = {}
        self._reasons: dict[Key, str | None] = {}

    def look_at(self, keys: Iterable[Key]) -> None:
        """Ask for a pass for each credential that something changed for, in an order that can be repeated."""
        for key in sorted(keys):
            self._queue.add(key)

    async def work(self, workers: int) -> None:
        """Reconcile until cancelled, beginning with nothing remembered."""
        self._reconciler.forget_all()
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self._work(), name=f"worker {number}")

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._pass(key)
            finally:
                self._queue.done(key)

    async def _pass(self, key: Key) -> None:
        try:
            outcome = await self._reconciler.reconcile(key)
        except (ApiServerUnavailable, FenceClosed) as error:
            self._postpone(key)
            _log.warning("pass put off", credential=str(key), error=str(error))
        except Exception:  # noqa: BLE001  a defect in one credential's pass must not end the work on all others
            self._postpone(key)
            metrics.pass_finished("defect")
            _log.exception("pass failed", credential=str(key))
        else:
            self._failures.pop(key, None)
            self._schedule(key, outcome)

    def _postpone(self, key: Key) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._queue.add(key, delay=pause(failures, spread_by=str(key)).total_seconds(), priority=Priority.ROUTINE)

    def _schedule(self, key: Key, outcome: Outcome | None) -> None:
        if outcome is None or outcome.reason is None:
            self._reasons.pop(key, None)
            metrics.credential_gone(key.namespace, key.name)
            return
        metrics.pass_finished(outcome.reason)
        for result in outcome.restarts:
            metrics.workload_looked_at(result)
        if outcome.has_undone_repair:
            metrics.repair_undone()
        metrics.credential_reported(
            key.namespace,
            key.name,
            reason=outcome.reason,
            ready=outcome.ready,
            stalled=outcome.stalled,
            expires_at=outcome.expires_at,
            renewal_at=outcome.renewal_at,
            refreshed_at=outcome.refreshed_at,
            verified_at=outcome.verified_at,
        )
        self._log_change(key, outcome)
        if outcome.until is not None:
            delay = (outcome.until - self._clock.now()).total_seconds()
            self._queue.add(key, delay=max(0.0, delay), priority=Priority.ROUTINE)

    def _log_change(self, key: Key, outcome: Outcome) -> None:
        """Log what is new, and nothing else: a pass that found all as it was is silent."""
        if set(outcome.actions) - {"verify"} or self._reasons.get(key) != outcome.reason:
            _log.info("reconciled", credential=str(key), reason=outcome.reason, actions=list(outcome.actions))
        self._reasons[key] = outcome.reason
