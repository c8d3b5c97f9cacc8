"""A small TCP proxy between two programs on this machine, which a test can slow down, cut, hang and repair.

It forwards bytes unchanged, so TLS works through it; certificates for 127.0.0.1 stay valid.
"""

import asyncio
import itertools
import socket
import threading
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Final, Self

_HOST: Final = "127.0.0.1"
_CHUNK: Final = 64 * 1024
_SECONDS: Final = 10.0


class Links:
    """All links of a test, which close with it. They run in their own thread, and can be used from any other."""

    def __enter__(self) -> Self:
        """Start the thread."""
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

    def to(self, *ports: int) -> "Link":
        """Open a link to a loopback port; with several ports, each connection leads to the next of them in turn."""
        link = Link(ports, self._loop)
        self._links.append(link)
        return link


class Link:
    """One link: a connection to `port` is forwarded to a target port, unless a test has disturbed the link."""

    def __init__(self, targets: Sequence[int], loop: asyncio.AbstractEventLoop) -> None:
        """Listen on a free port, for one or more target ports."""
        self._targets = itertools.cycle(targets)
        self._loop = loop
        # This socket is bound but never listens: it reserves the port while the link refuses connections.
        self._holder = _bound(0)
        self.port: int = self._holder.getsockname()[1]
        self._passes = asyncio.Event()
        self._passes.set()
        self._delay = 0.0
        self._server: asyncio.Server | None = None
        self.accepted = 0
        """Return how many connections were opened so far."""
        self._connections: set[asyncio.Task[None]] = set()
        self._run(self._listen())

    @property
    def url(self) -> str:
        """Return the URL of the link, for plain HTTP."""
        return f"http://{_HOST}:{self.port}"

    def lead_to(self, *ports: int) -> None:
        """Forward new connections to other ports, to each of them in turn."""
        self._targets = itertools.cycle(ports)

    def delay(self, seconds: float) -> None:
        """Delay all data, in both directions."""
        self._delay = seconds

    def refuse(self) -> None:
        """Refuse new connections, as a program that is shutting down does; open connections continue."""
        self._run(self._stop_listening())

    def cut(self) -> None:
        """Refuse new connections, and break open ones."""
        self._run(self._cut())

    def hang(self) -> None:
        """Accept connections, but discard all data, so that no response ever arrives."""
        self._run(self._hang())

    def mend(self) -> None:
        """Forward everything again; discarded data is lost, and its connections break."""
        self._run(self._mend())

    def close(self) -> None:
        """Close the link."""
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
        # Use a separate task: asyncio logs an error if the task that it created is cancelled.
        connection = asyncio.create_task(self._connection(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far: asyncio.StreamWriter | None = None
        try:
            await self._passes.wait()
            far_reader, far = await asyncio.open_connection(_HOST, next(self._targets))
            for one in (writer, far):
                one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._until_one_ends((reader, far), (far_reader, writer))
        except OSError:
            pass
        finally:
            # Abort at once, so that both ends see a reset, as after a cut connection.
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()

    async def _until_one_ends(self, *ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Copy until one side closes; data that it has already sent still reaches the other."""
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
