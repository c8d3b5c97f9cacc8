"""Plays api.pipedrive.com and oauth.pipedrive.com for n8n, which has no setting for another address.

n8n is given this as its HTTPS proxy: a CONNECT for one of the two hosts reaches the simulator through TLS, any other is
refused. So nothing leaves the machine.
"""

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from testbed.certificates import Authority

HOSTS: Final = ("api.pipedrive.com", "oauth.pipedrive.com")
_CHUNK: Final = 64 * 1024
_SECONDS: Final = 10.0


class Vendor:
    """The proxy and the TLS server behind it, in a thread of their own."""

    def __init__(self, authority: Authority, simulator_port: int) -> None:
        """Take the authority that issues the server's certificate, and the simulator's port."""
        pair = authority.serving("vendor", HOSTS)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(pair.public, pair.key)
        self._simulator_port = simulator_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vendor", daemon=True)
        self._servers: list[asyncio.Server] = []
        self.port = 0

    def __enter__(self) -> Self:
        """Start, and listen on `port`."""
        self._thread.start()
        self._tls_port = self._run(self._listen(self._to_simulator, self._tls))
        self.port = self._run(self._listen(self._connect))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=_SECONDS)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)

    async def _listen(self, serve: Any, tls: ssl.SSLContext | None = None) -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, *_ = head.split()
        if method != "CONNECT" or target.rpartition(":")[0] not in HOSTS:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await _relay(reader, writer, self._tls_port)

    async def _to_simulator(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _relay(reader, writer, self._simulator_port)


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await asyncio.gather(_copy(reader, onward_writer), _copy(onward_reader, writer))
    finally:
        onward_writer.close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()
