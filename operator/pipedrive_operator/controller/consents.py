"""Runs the workers for consents: each takes a key from a queue of its own, and reconciles it.

Consents do not compete with credentials for workers: an exchange waits for other holders, and for Vault. Nothing is
decided about a consent here.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pipedrive_operator.controller.consent_cache import ConsentCache
from pipedrive_operator.controller.queue import WorkQueue
from pipedrive_operator.controller.resync import ConsentLister, resync_consents
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.errors import ApiServerUnavailable, FenceClosed
from pipedrive_operator.fairness.slots import serving
from pipedrive_operator.log import get_logger
from pipedrive_operator.reconcile.consents import ConsentReconciler

WORKERS: Final = 8
"""How many consents are handled at once."""
_log: Final = get_logger(__name__)


class ConsentController:
    """Reconciles the consents in its queue."""

    def __init__(
        self, *, reconciler: ConsentReconciler, queue: WorkQueue, cache: ConsentCache, lister: ConsentLister
    ) -> None:
        """Start without workers."""
        self._lister = lister
        self._reconciler = reconciler
        self._queue = queue
        self._cache = cache
        self._failures: dict[Key, int] = {}

    def enqueue(self, keys: Iterable[Key]) -> None:
        """Request a step for each of these consents, in a reproducible order."""
        for key in sorted(keys):
            self._queue.add(key)

    def handle_event(self, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Update the cache with an event of the watch, and reconcile what it affects."""
        try:
            self.enqueue(self._cache.see(event_type, body))
        except ApiServerUnavailable as error:
            _log.warning("ignored an event of the watch", kind="consent", error=str(error))

    def credentials_changed(self, credentials: Iterable[Key]) -> None:
        """Reconcile the consents for these credentials: a credential that changed or is gone must not be connected.

        Of several consents for a credential only the newest is open.
        """
        newest = (self._cache.newest(credential) for credential in credentials)
        self.enqueue(consent.key for consent in newest if consent is not None)

    async def resync(self) -> None:
        """Find what the watch missed. Raises ApiServerUnavailable."""
        found = set[Key]()
        try:
            await resync_consents(self._lister, self._cache, found)
        finally:
            self.enqueue(found)

    async def work(self) -> None:
        """Reconcile until cancelled, beginning with all known consents."""
        self.enqueue(self._cache.keys)
        async with asyncio.TaskGroup() as group:
            for number in range(WORKERS):
                group.create_task(self._work(), name=f"consent worker {number}")

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                with serving(key.namespace):
                    await self._step(key)
            finally:
                self._queue.done(key)

    async def _step(self, key: Key) -> None:
        try:
            delay = await self._reconciler.reconcile(key)
        except (ApiServerUnavailable, FenceClosed) as error:
            self._back_off(key)
            _log.warning("a consent was postponed", consent=str(key), error=str(error))
        except Exception:  # noqa: BLE001  a defect in one consent must not stop the work on all others
            self._back_off(key)
            _log.exception("a consent failed", consent=str(key))
        else:
            self._failures.pop(key, None)
            if delay is not None:
                self._queue.add(key, delay=delay.total_seconds())

    def _back_off(self, key: Key) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        self._queue.add(key, delay=pause(failures, spread_by=str(key)).total_seconds())
