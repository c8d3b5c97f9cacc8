"""A way between two programs on this machine that a test can slow down, cut, hang and mend: a small TCP proxy.

What passes is not looked at, so TLS goes through it as it is; certificates for 127.0.0.1 still fit.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self

_HOST: Final = "127.0.0.1"
_CHUNK: Final = 64 * 1024
_SECONDS: Final = 10.0


class Links:
    """All links of a test; they end with it. They run in a thread of their own, and may be used from any other."""

    def __enter__(self) -> Self:
        """Begin."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._thread.start()
        self._links: list[Link] = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every link."""
        for link in self._links:
            link.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=_SECONDS)
        self._loop.close()

    def to(self, port: int) -> "Link":
        """Open a link to a loopback port."""
        link = Link(port, self._loop)
        self._links.append(link)
        return link


class Link:
    """One link: whoever connects to `port` reaches the other end, unless the link says otherwise."""

    def __init__(self, target: int, loop: asyncio.AbstractEventLoop) -> None:
        """Listen on a free port, for a target port."""
        self._target = target
        self._loop = loop
        # Bound and never listening, it keeps the port ours while the link refuses.
        self._holder = _bound(0)
        self.port: int = self._holder.getsockname()[1]
        self._passes = asyncio.Event()
        self._passes.set()
        self._delay = 0.0
        self._server: asyncio.Server | None = None
        self.accepted = 0
        """How many connections were opened so far."""
        self._connections: set[asyncio.Task[None]] = set()
        self._run(self._listen())

    @property
    def url(self) -> str:
        """The near end, for plain HTTP."""
        return f"http://{_HOST}:{self.port}"

    def delay(self, seconds: float) -> None:
        """Hold up whatever passes, in both directions."""
        self._delay = seconds

    def refuse(self) -> None:
        """Refuse new connections, as a program does that was asked to end; those that are open go on."""
        self._run(self._stop_listening())

    def cut(self) -> None:
        """Refuse new connections, and break those that are open."""
        self._run(self._cut())

    def hang(self) -> None:
        """Swallow whatever comes: connections are accepted, and nothing is ever answered."""
        self._run(self._hang())

    def mend(self) -> None:
        """Let everything through again; what was swallowed is lost, and its connections break."""
        self._run(self._mend())

    def close(self) -> None:
        """End it."""
        self._run(self._cut())
        self._holder.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=_SECONDS)

    async def _listen(self) -> None:
        if self._server is None:
            listener = _bound(self.port)
            listener.listen(1024)
            self._server = await asyncio.start_server(self._accept, sock=listener)

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _cut(self) -> None:
        await self._stop_listening()
        await self._break()

    async def _hang(self) -> None:
        self._passes.clear()
        await self._listen()

    async def _mend(self) -> None:
        if not self._passes.is_set():
            await self._break()
            self._passes.set()
        await self._listen()

    async def _break(self) -> None:
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        # A task of our own: the one that asyncio made may not be cancelled without a complaint in its log.
        connection = asyncio.create_task(self._connection(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far: asyncio.StreamWriter | None = None
        try:
            await self._passes.wait()
            far_reader, far = await asyncio.open_connection(_HOST, self._target)
            for one in (writer, far):
                one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._until_one_ends((reader, far), (far_reader, writer))
        except OSError:
            pass
        finally:
            # At once, so that both ends know: a reset is what a cut looks like.
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()

    async def _until_one_ends(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Copy until one side ends; what it has sent by then still reaches the other."""
        copying = {asyncio.create_task(self._copy(source, sink)): sink for source, sink in ways}
        try:
            done, _ = await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
                copying[one].close()
                await copying[one].wait_closed()
        finally:
            for one in copying:
                one.cancel()
            await asyncio.gather(*copying, return_exceptions=True)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while chunk := await source.read(_CHUNK):
            if self._delay:
                await asyncio.sleep(self._delay)
            await self._passes.wait()
            sink.write(chunk)
            await sink.drain()


def _bound(port: int) -> socket.socket:
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((_HOST, port))
    return bound
