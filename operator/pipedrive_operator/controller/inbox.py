"""Queues the events of the watch: the newest of each object, handled in turn between namespaces.

Handling an event takes a thousand times as long as receiving it. One namespace's flood of events must delay neither
other namespaces' events nor anything else in the event loop, so only a few are handled in each of its turns.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.fairness.queue import FairQueue
from pipedrive_operator.ports import WatchedKind

AT_ONCE: Final = 5
"""How many events are handled in a turn of the event loop: a few milliseconds."""

Handle = Callable[[WatchedKind, str | None, Mapping[str, Any]], None]


class Inbox:
    """Receives the events, and hands them on."""

    def __init__(self, handle: Handle) -> None:
        """Hand events on to `handle`, in the loop that is running when they arrive."""
        self._handle = handle
        self._newest: dict[tuple[WatchedKind, Key], tuple[str | None, Mapping[str, Any]]] = {}
        self._turns = FairQueue[tuple[WatchedKind, Key]](1)
        self._is_scheduled = False

    def receive(self, kind: WatchedKind, event_type: str | None, body: Mapping[str, Any]) -> None:
        """Receive an event; it replaces one of the same object, whose versions show what happened in between."""
        metadata = body.get("metadata") or {}
        key = Key(namespace=str(metadata.get("namespace")), name=str(metadata.get("name")))
        self._newest[kind, key] = (event_type, body)
        self._turns.put((kind, key), (key.namespace,))
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._hand_on)

    def _hand_on(self) -> None:
        """Handle some events; the rest follows in the next turn of the loop, after everything else that is ready."""
        self._is_scheduled = False
        try:
            for _ in range(AT_ONCE):
                subject = self._turns.take()
                if subject is None:
                    return
                self._turns.release(subject)
                self._handle(subject[0], *self._newest.pop(subject))
        finally:  # also after an unexpected error, which concerns one event
            if len(self._turns) > 0:
                self._schedule()
