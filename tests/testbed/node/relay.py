"""Forwards connections from an address that pods can reach to a server on loopback, which they cannot."""

import asyncio
import threading
from contextlib import suppress
from typing import Self

_CHUNK = 65536


class Relay:
    """Listens at one address and port during a `with` block, and forwards every byte to another port on loopback."""

    def __init__(self, address: str, port: int, *, to: int) -> None:
        """Describe where to listen, and which loopback port to connect to."""
        self._address = address
        self._port = port
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name=f"relay-{port}")

    def __enter__(self) -> Self:
        """Listen. Raises OSError if the address is not available."""
        self._thread.start()
        listening = asyncio.start_server(self._carry, self._address, self._port)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening, and break all connections."""
        self._loop.call_soon_threadsafe(self._server.close)
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            writer.transport.abort()
            far_writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
