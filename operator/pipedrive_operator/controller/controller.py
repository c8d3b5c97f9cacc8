"""Runs the workers: each takes a key from the work queue, reconciles it, counts the pass and schedules the next one.

Nothing is decided about a credential here: the reconciler returns an outcome, with the time of the next pass.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from pipedrive_operator import metrics
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.queue import WorkQueue
from pipedrive_operator.controller.schedule import LONGEST_SLACK, first_slack, slack
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.errors import ApiServerUnavailable, FenceClosed
from pipedrive_operator.fairness.slots import serving
from pipedrive_operator.log import get_logger
from pipedrive_operator.ports import Clock
from pipedrive_operator.reconcile.reconciler import Outcome, Reconciler

LONGEST_WITHOUT_LEADER: Final = 60.0
"""In seconds: a Lease of the default length, with time to notice that it has expired."""

_log: Final = get_logger(__name__)


class Controller:
    """Reconciles the credentials in the queue."""

    def __init__(self, *, reconciler: Reconciler, queue: WorkQueue, clock: Clock) -> None:
        """Start without workers; `clock` turns the time of the next pass into a delay."""
        self._reconciler = reconciler
        self._queue = queue
        self._clock = clock
        self._failures: dict[Key, int] = {}
        self._last_reasons: dict[Key, str | None] = {}

    def enqueue(self, keys: Iterable[Key]) -> None:
        """Request a pass for each of these credentials, in a reproducible order."""
        for key in sorted(keys):
            self._queue.add(key)

    def enqueue_all(self, cache: Cache) -> None:
        """Request a pass for each credential, the most urgent ones first.

        Requests from the time in which another replica led say nothing about urgency, except the latest: nobody may
        have led then.
        """
        self.enqueue_by_urgency(cache.keys, cache, oldest=LONGEST_WITHOUT_LEADER)

    def enqueue_by_urgency(self, keys: Iterable[Key], cache: Cache, *, oldest: float = 0.0) -> None:
        """Request a pass for each of these credentials, the most urgent ones first.

        A request that is not due yet is replaced, and so is one that has been due for more than `oldest` seconds.
        """
        now = self._clock.now()
        for key in sorted(keys):
            credential = cache.credential(key)
            published = cache.secrets_of(credential) if credential is not None else ()
            is_intact = bool(published) and all(secret.is_untouched for secret in published)
            slack_of_first = first_slack(credential, now) if is_intact else 0.0
            self._queue.add_by_urgency(key, slack=slack_of_first, oldest=oldest)

    async def work(self, workers: int) -> None:
        """Reconcile with that many workers until cancelled, starting without any memory of earlier passes."""
        self._reconciler.forget_all()
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(self._work(), name=f"worker {number}")

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                with serving(key.namespace):
                    await self._run_pass(key)
            finally:
                self._queue.done(key)

    async def _run_pass(self, key: Key) -> None:
        try:
            outcome = await self._reconciler.reconcile(key)
        except (ApiServerUnavailable, FenceClosed) as error:
            self._back_off(key)
            metrics.count_pass("postponed")
            _log.warning("pass postponed", credential=str(key), error=str(error))
        except Exception:  # noqa: BLE001  a defect in the pass of one credential must not stop the work on all others
            self._back_off(key)
            metrics.count_pass("defect")
            _log.exception("pass failed", credential=str(key))
        else:
            self._failures.pop(key, None)
            self._finish_pass(key, outcome)

    def _back_off(self, key: Key) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._queue.add(key, delay=pause(failures, spread_by=str(key)).total_seconds(), slack=LONGEST_SLACK)

    def _finish_pass(self, key: Key, outcome: Outcome | None) -> None:
        if outcome is None or outcome.reason is None:
            self._last_reasons.pop(key, None)
            metrics.remove_credential(key.namespace, key.name)
            return
        self._count_actions(outcome)
        if not outcome.is_verifying:
            self._show(key, outcome, outcome.reason)
        self._log_change(key, outcome)
        if outcome.until is not None and outcome.decided_at is not None:
            delay = (outcome.until - outcome.decided_at).total_seconds()
            self._queue.add(key, delay=max(0.0, delay), slack=slack(outcome.until, outcome.expires_at))

    def _count_actions(self, outcome: Outcome) -> None:
        for result in outcome.restarts:
            metrics.count_restart(result)
        if outcome.has_undone_repair:
            metrics.count_undone_repair()

    def _show(self, key: Key, outcome: Outcome, reason: str) -> None:
        metrics.count_pass(reason)
        metrics.show_credential(
            key.namespace,
            key.name,
            reason=reason,
            ready=outcome.ready,
            stalled=outcome.stalled,
            expires_at=outcome.expires_at,
            renewal_at=outcome.renewal_at,
            refreshed_at=outcome.refreshed_at,
            verified_at=outcome.verified_at,
        )

    def _log_change(self, key: Key, outcome: Outcome) -> None:
        """Log a pass that changed something or has a new reason; a pass that only verified is not worth a line."""
        has_new_reason = not outcome.is_verifying and self._last_reasons.get(key) != outcome.reason
        if set(outcome.actions) - {"verify"} or has_new_reason:
            _log.info("reconciled", credential=str(key), reason=outcome.reason, actions=list(outcome.actions))
        if not outcome.is_verifying:
            self._last_reasons[key] = outcome.reason
