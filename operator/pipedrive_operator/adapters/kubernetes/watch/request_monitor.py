"""Observes the requests of the watches: when the API server last answered each, and whether a watch had a gap.

A watch can die silently (https://github.com/nolar/kopf/issues/1276), and kopf reports no gap between two watch
requests. Only the requests themselves show both. What follows from either is decided elsewhere.

kopf lists everything before it watches, in pages of whole objects. Any tenant can create Secrets of a megabyte with our
label, so kopf's lists are emptied here: it gets the resourceVersion from which to watch, and the operator lists the
objects itself, in pages that are bounded in bytes.
"""

from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Final

import aiohttp

from pipedrive_operator.core.resource.names import CONSENT_PLURAL, GROUP, LABEL_CREDENTIAL, PLURAL, VERSION
from pipedrive_operator.ports import Clock

STREAM_SECONDS: Final = 240
"""How long the API server serves one watch request. A working watch therefore sends a request at least this often."""
_ON_TIME: Final = (STREAM_SECONDS - 0.1, STREAM_SECONDS + 5.0)
"""In seconds, between two requests of a watch without a gap: the API server counts from the first request."""
GROUP_PATH: Final = f"/apis/{GROUP}/{VERSION}"
_NOTHING: Final = f"{LABEL_CREDENTIAL},!{LABEL_CREDENTIAL}"
"""A label selector that selects nothing."""


class RequestMonitor:
    """Observes the requests for the watched collections, as a middleware of aiohttp."""

    def __init__(
        self,
        clock: Clock,
        *,
        on_interruption: Callable[[], None],
        on_list: Callable[[], None],
        namespaces: Sequence[str] = (),
    ) -> None:
        """Call `on_interruption` for each watch of credentials that may have missed an event just before it began.

        `on_list` is called after each list that kopf requests: the operator must then list what exists already.
        """
        self._clock = clock
        self._on_interruption = on_interruption
        self._on_list = on_list
        self._answered_at = dict.fromkeys(_paths(namespaces, PLURAL, "secrets"), clock.monotonic())
        self._paths = [*self._answered_at, *_paths(namespaces, CONSENT_PLURAL)]
        """Consents are watched only if they are served: they count from their first answer on."""
        self._watched_at: dict[str, float] = {}
        """When the most recent request of each path was sent, if it was a watch and succeeded."""

    def age(self) -> float:
        """Return the seconds since the API server last answered the watch that has been silent the longest.

        A working watch sends a request every `STREAM_SECONDS`, so a larger age means that a watch is dead.
        """
        return self._clock.monotonic() - min(self._answered_at.values())

    async def observe(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send a request, and note when it was sent and answered."""
        # The address of an API server behind a proxy may have a path, which comes before ours.
        path = next(filter(request.url.path.endswith, self._paths), "")
        sent_at = self._clock.monotonic()
        previous = self._watched_at.pop(path, None)
        is_list = bool(path) and "watch" not in request.url.query
        if is_list:
            request.url = request.url.update_query(labelSelector=_NOTHING)
        response = await handler(request)
        if path and response.status == HTTPStatus.OK:
            self._answered_at[path] = self._clock.monotonic()
            if is_list:
                self._on_list()
            elif path.endswith(PLURAL):
                self._note_watch(path, previous, sent_at)
        return response

    def _note_watch(self, path: str, previous: float | None, sent_at: float) -> None:
        """Report an interruption unless the previous request was a watch too, and ended when it was due.

        Otherwise nothing was watching in between.
        """
        earliest, latest = _ON_TIME
        if previous is None or not earliest < sent_at - previous < latest:
            self._on_interruption()
        self._watched_at[path] = sent_at


def _paths(namespaces: Sequence[str], *plurals: str) -> Iterator[str]:
    for scope in [f"/namespaces/{namespace}" for namespace in namespaces] or [""]:
        for plural in plurals:
            yield f"{'/api/v1' if plural == 'secrets' else GROUP_PATH}{scope}/{plural}"
