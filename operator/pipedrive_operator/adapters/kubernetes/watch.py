"""The watch: kopf in a thread of its own, which hands each event over to the main loop and does nothing else.

The one module that knows kopf. No handler here may work, decide or write; kopf's handlers that keep state in
the cluster, its finalizers, peering and Events are not used. A thread, because kopf installs signal handlers,
and when it ends it cancels every task of its loop; and it does end, as when the API server was away a while.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import kopf
import structlog

from pipedrive_operator.core.resource.names import GROUP, LABEL_CREDENTIAL, PLURAL, VERSION
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.ports import Clock, WatchedKind

OnEvent = Callable[[WatchedKind, str | None, Mapping[str, Any]], None]
"""Takes the event's type (None for what a list showed) and the object."""
Connect = Callable[[aiohttp.ClientMiddlewareType], Awaitable[tuple[str, aiohttp.ClientSession]]]
"""Opens an authenticated session with that middleware in the running loop; returns it after the address."""

STREAM_SECONDS: Final = 240
"""How long the API server serves one watch request: each watch is asked for anew at least this often."""
_ON_TIME: Final = (STREAM_SECONDS - 0.1, STREAM_SECONDS + 5.0)
"""In seconds, between two requests of a watch that nothing has interrupted: the API server counts from the first."""
LONGEST_RECONNECT_PAUSE: Final = 30.0
"""In seconds, between two attempts."""
_SOUND: Final = 60.0
"""In seconds: an attempt that lasted this long was no failure to start."""
_REQUEST: Final = 10.0
"""In seconds, for a request that is not a watch, and for the end of the thread."""
_LOGIN_PAUSE: Final = 2.0
"""In seconds."""
_GRACE: Final = 1.0
"""In seconds, for kopf to end in its own way: it takes milliseconds, or for ever."""
_CANCELLATIONS: Final = 3
_FAREWELL: Final = 0.1
"""In seconds, for TLS connections to close
(https://docs.aiohttp.org/en/stable/client_advanced.html#graceful-shutdown)."""
_GROUP_PATH: Final = f"/apis/{GROUP}/{VERSION}"

_log = structlog.stdlib.get_logger(__name__)


class Watch:
    """Watches credentials and the Secrets that carry our label, and starts again when that breaks down."""

    def __init__(
        self,
        connect: Connect,
        on_event: OnEvent,
        clock: Clock,
        *,
        on_interruption: Callable[[], None],
        namespaces: Sequence[str] = (),
    ) -> None:
        """Deliver to `on_event`, and call `on_interruption`, in the running loop; no namespaces means all.

        The API server ends the watches of a kind whose schema is replaced: an interruption is a sign of that.
        """
        self._connect = connect
        self._on_event = on_event
        self._on_interruption = on_interruption
        self._clock = clock
        self._namespaces = namespaces
        self._main_loop = asyncio.get_running_loop()
        self._answered = dict.fromkeys(_paths(namespaces), clock.monotonic())
        self._begun: dict[str, float] = {}
        self._attempt: _Attempt | None = None
        self._stopping = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    @property
    def period(self) -> float:
        """Return how many seconds a sound watch lets pass, at most, before it asks the API server anew."""
        return STREAM_SECONDS

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def age(self) -> float:
        """Return for how many seconds the most silent of the watches has had no answer from the API server.

        A sound watch is asked for anew every `STREAM_SECONDS`; so one that died without a word shows.
        """
        return self._clock.monotonic() - min(self._answered.values())

    def start(self) -> None:
        """Start the thread, once."""
        logging.getLogger("kopf").setLevel(logging.WARNING)  # at DEBUG it logs whole objects
        logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # it warns of every thread
        self._thread.start()

    def restart(self) -> None:
        """End the attempt under way, so that everything is listed and watched anew."""
        if self._attempt is not None:
            self._attempt.end()

    async def stop(self) -> None:
        """End the thread, and wait until it has ended."""
        if not self.alive:
            return
        self._stopping.set()
        self.restart()
        try:
            async with asyncio.timeout(_REQUEST):
                await self._ended.wait()
        except TimeoutError:
            _log.warning("The watch did not end in time and is left behind", seconds=_REQUEST)
        else:
            self._thread.join()

    def _run(self) -> None:
        """Attempt again and again, in the thread."""
        failures = 0
        while not self._stopping.is_set():
            started = self._clock.monotonic()
            error = asyncio.run(self._try_once())
            failures = 1 if self._clock.monotonic() - started > _SOUND else failures + 1
            self._pause(failures, error)
        self._in_main_loop(self._ended.set)

    def _pause(self, failures: int, error: BaseException | None) -> None:
        if self._stopping.is_set():
            return
        seconds = min(pause(failures, spread_by="watch").total_seconds(), LONGEST_RECONNECT_PAUSE)
        _log.warning("The watch ended and starts again", error=repr(error), seconds=seconds)
        self._stopping.wait(seconds)

    async def _try_once(self) -> BaseException | None:
        self._attempt = _Attempt(self._open, self._hand_over, self._namespaces)
        if self._stopping.is_set():  # stop() may have seen the attempt before this one
            return None
        return await self._attempt.run()

    async def _open(self) -> tuple[str, aiohttp.ClientSession]:
        return await self._connect(self._note_answer)

    async def _note_answer(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        # A server behind a proxy may have a path of its own before ours.
        path = next(filter(request.url.path.endswith, self._answered), "")
        asked_at = self._clock.monotonic()
        before = self._begun.pop(path, None)
        response = await handler(request)
        if path and response.status == HTTPStatus.OK:
            self._answered[path] = self._clock.monotonic()
            if path.endswith(PLURAL) and "watch" in request.url.query:
                self._note_beginning(path, before, asked_at)
        return response

    def _note_beginning(self, path: str, before: float | None, now: float) -> None:
        """Call it an interruption unless the request just before was the same one, in time: nobody watched between."""
        earliest, latest = _ON_TIME
        if before is None or not earliest < now - before < latest:
            self._in_main_loop(self._on_interruption)
        self._begun[path] = now

    def _hand_over(self, kind: WatchedKind, event: kopf.RawEvent) -> None:
        self._in_main_loop(self._on_event, kind, event["type"], event["object"])

    def _in_main_loop(self, callback: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the main loop is closed: nobody wants to know any more
            self._main_loop.call_soon_threadsafe(callback, *arguments)


class _Attempt:
    """One run of kopf, in an event loop that is its own."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[tuple[str, aiohttp.ClientSession]]],
        hand_over: Callable[[WatchedKind, kopf.RawEvent], None],
        namespaces: Sequence[str],
    ) -> None:
        self._connect = connect
        self._hand_over = hand_over
        self._namespaces = namespaces
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._sessions: list[aiohttp.ClientSession] = []

    def end(self) -> None:
        """Make it end; from any thread."""
        with suppress(RuntimeError):  # its loop is closed: it has ended
            self._loop.call_soon_threadsafe(self._stop.set)

    async def run(self) -> BaseException | None:
        """Run until the end is asked for or comes by itself; return the error that ended it."""
        error = await self._check_and_operate()
        await self._clear_away()
        return error

    async def _check_and_operate(self) -> BaseException | None:
        stop = asyncio.create_task(self._stop.wait())
        checking = asyncio.create_task(self._require_served())
        await asyncio.wait({checking, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not checking.done():
            return None
        return checking.exception() or await self._operate()

    async def _operate(self) -> BaseException | None:
        """Run kopf until one of its tasks ends, and give it a moment to end the others."""
        ignored = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=_settings(),
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            standalone=True,
            # Not used without peers; made up by kopf it asks for the user's name, which a pod's number need not have.
            identity="pipedrive-operator",  # type: ignore[arg-type]  # kopf does not export the type
            stop_flag=self._stop,
        )
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()  # kopf would have the process killed for an end without it
        await asyncio.wait({asyncio.create_task(kopf.run_tasks(tasks, ignored=ignored))}, timeout=_GRACE)
        return next(filter(None, (task.exception() for task in ended if not task.cancelled())), None)

    async def _clear_away(self) -> None:
        """End what kopf has left: a watch that is cancelled between two requests may not notice it."""
        for _ in range(_CANCELLATIONS):
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            if rest:
                await asyncio.wait(rest, timeout=_GRACE)
        for session in self._sessions:
            await session.close()
        await asyncio.sleep(_FAREWELL)

    async def _open(self) -> tuple[str, aiohttp.ClientSession]:
        server, session = await self._connect()
        self._sessions.append(session)
        return server, session

    async def _require_served(self) -> None:
        """Find our resource in the API: where it is absent, kopf would wait in silence and for ever."""
        server, session = await self._open()
        timeout = aiohttp.ClientTimeout(total=_REQUEST)
        async with session.get(f"{server}{_GROUP_PATH}", timeout=timeout) as response:
            served = await response.json() if response.status == HTTPStatus.OK else {}
        if not any(resource["name"] == PLURAL for resource in served.get("resources", ())):
            message = f"the API server does not serve {PLURAL}.{GROUP} {VERSION}"
            raise ApiServerUnavailable(message)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()

        async def login(**_: object) -> kopf.AiohttpSession:
            try:
                server, session = await self._open()
            except ApiServerUnavailable as error:
                raise kopf.TemporaryError(str(error), delay=_LOGIN_PAUSE) from error
            return kopf.AiohttpSession(server=server, aiohttp_session=session)

        async def credential(*, event: kopf.RawEvent, **_: object) -> None:
            self._hand_over("credential", event)

        async def secret(*, event: kopf.RawEvent, **_: object) -> None:
            self._hand_over("secret", event)

        # A login that fails for good would leave every request waiting for ever: it is always tried again.
        kopf.on.login(registry=registry, errors=kopf.ErrorsMode.TEMPORARY, backoff=_LOGIN_PAUSE)(login)
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(credential)
        kopf.on.event("", "v1", "secrets", registry=registry)(secret)
        return registry


class _NoDiffBase(kopf.DiffBaseStorage):
    """Spares kopf a deep copy of each object, to find changes that no handler of ours asks for."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: object) -> None:
        return None

    def store(self, **_: object) -> None:
        """Store nothing."""


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.process.ultimate_exiting_timeout = None
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = 2 * _REQUEST
    settings.networking.connect_timeout = _REQUEST
    settings.networking.enforce_retry_after = True
    settings.queueing.idle_timeout = 0.2
    watching = settings.watching
    # kopf may lose a watch for good when this time-out hits while an event is handed over
    # (https://github.com/nolar/kopf/issues/1276); the client's own time-out below does its work.
    watching.inactivity_timeout = 1e9
    watching.server_timeout = STREAM_SECONDS
    watching.client_timeout = STREAM_SECONDS + 30
    watching.connect_timeout = _REQUEST
    watching.reconnect_backoff = 1.0
    watching.chunk_size = 500
    # At the server: a handler's own `labels` would filter only after every Secret has been received.
    watching.label_selectors["", "v1", "secrets"] = LABEL_CREDENTIAL
    return settings


def _paths(namespaces: Sequence[str]) -> Iterator[str]:
    for scope in [f"/namespaces/{namespace}" for namespace in namespaces] or [""]:
        yield f"{_GROUP_PATH}{scope}/{PLURAL}"
        yield f"/api/v1{scope}/secrets"
