"""One run of kopf, from its start to the end of its last task. Only this module and `kopf_settings` import kopf.

The handlers do nothing but deliver. Everything of kopf that keeps state in the cluster (finalizers, progress
annotations, peering, Events) stays unused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import kopf

from pipedrive_operator.adapters.kubernetes.watch.kopf_settings import REQUEST_SECONDS, kopf_settings
from pipedrive_operator.adapters.kubernetes.watch.request_monitor import GROUP_PATH
from pipedrive_operator.core.resource.names import CONSENT_PLURAL, GROUP, PLURAL, VERSION
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.ports import WatchedKind

Deliver = Callable[[WatchedKind, str | None, Mapping[str, Any]], None]
_LOGIN_PAUSE: Final = 2.0
"""In seconds, after a failed login."""
_GRACE: Final = 1.0
"""In seconds, for kopf to end by itself: it takes either milliseconds or forever."""
_CANCELLATIONS: Final = 3
_TLS_CLOSE: Final = 0.1
"""In seconds, for TLS connections to close
(https://docs.aiohttp.org/en/stable/client_advanced.html#graceful-shutdown)."""


class KopfRun:
    """One run of kopf, in an event loop that nothing else uses."""

    def __init__(
        self,
        open_session: Callable[[], Awaitable[tuple[str, aiohttp.ClientSession]]],
        deliver: Deliver,
        namespaces: Sequence[str],
        *,
        with_consents: bool,
    ) -> None:
        """Prepare a run in the running loop; no namespaces means the whole cluster.

        Consents are watched if `with_consents` is set and the API server serves them.
        """
        self._with_consents = with_consents
        self._open_session = open_session
        self._deliver = deliver
        self._namespaces = namespaces
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._sessions: list[aiohttp.ClientSession] = []

    def end(self) -> None:
        """End the run. This may be called from any thread."""
        with suppress(RuntimeError):  # its loop is closed: the run has ended
            self._loop.call_soon_threadsafe(self._stop.set)

    async def run(self) -> BaseException | None:
        """Run until `end` is called or kopf ends by itself; return the error that ended it."""
        error = await self._check_and_watch()
        await self._clean_up()
        return error

    async def _check_and_watch(self) -> BaseException | None:
        stop = asyncio.create_task(self._stop.wait())
        checking = asyncio.create_task(self._require_resource())
        await asyncio.wait({checking, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not checking.done():
            return None
        return checking.exception() or await self._watch()

    async def _watch(self) -> BaseException | None:
        """Run kopf until one of its tasks ends, then give the others a moment to end."""
        ignored = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=self._registry(),
            settings=kopf_settings(),
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            standalone=True,
            # Unused without peering. By default kopf asks for the user's name, which a pod's user id may not have.
            identity="pipedrive-operator",  # type: ignore[arg-type]  # kopf does not export the type
            stop_flag=self._stop,
        )
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()  # without this, kopf would kill the process
        await asyncio.wait({asyncio.create_task(kopf.run_tasks(tasks, ignored=ignored))}, timeout=_GRACE)
        return next(filter(None, (task.exception() for task in ended if not task.cancelled())), None)

    async def _clean_up(self) -> None:
        """Cancel the tasks that kopf left: a watch that is cancelled between two requests may ignore it."""
        for _ in range(_CANCELLATIONS):
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            for task in rest:
                task.cancel()
            if rest:
                await asyncio.wait(rest, timeout=_GRACE)
        for session in self._sessions:
            await session.close()
        await asyncio.sleep(_TLS_CLOSE)

    async def _open(self) -> tuple[str, aiohttp.ClientSession]:
        server, session = await self._open_session()
        self._sessions.append(session)
        return server, session

    async def _require_resource(self) -> None:
        """Raise ApiServerUnavailable if our resource is not served: kopf would wait for it silently and forever."""
        server, session = await self._open()
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with session.get(f"{server}{GROUP_PATH}", timeout=timeout) as response:
            served = await response.json() if response.status == HTTPStatus.OK else {}
        names = {resource["name"] for resource in served.get("resources", ())}
        self._with_consents = self._with_consents and CONSENT_PLURAL in names
        if PLURAL not in names:
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
            self._deliver("credential", event["type"], event["object"])

        async def secret(*, event: kopf.RawEvent, **_: object) -> None:
            self._deliver("secret", event["type"], event["object"])

        async def consent(*, event: kopf.RawEvent, **_: object) -> None:
            self._deliver("consent", event["type"], event["object"])

        # After a permanently failed login every request would wait forever, so each failure is temporary.
        kopf.on.login(registry=registry, errors=kopf.ErrorsMode.TEMPORARY, backoff=_LOGIN_PAUSE)(login)
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(credential)
        kopf.on.event("", "v1", "secrets", registry=registry)(secret)
        if self._with_consents:
            kopf.on.event(GROUP, VERSION, CONSENT_PLURAL, registry=registry)(consent)
        return registry
