"""A relay between a client and a server on this machine that loses requests or responses, without reading them."""

import asyncio
from collections.abc import Coroutine
from enum import Enum
from typing import Self

from fakes.network import Network


class Loss(Enum):
    """What the relay loses."""

    NOTHING = "nothing"
    REQUESTS = "requests"
    ANSWERS = "answers"
    """The server has processed the request by then. A TLS handshake is lost, too: open the connection before."""


def lose(network: Network, loss: Loss) -> None:
    """Lose the same in the network of a fake."""
    network.loses_requests = float(loss is Loss.REQUESTS)
    network.loses_answers = float(loss is Loss.ANSWERS)


class Wire:
    """Relays connections from its own port to another port."""

    def __init__(self, port: int) -> None:
        """Relay to that port of 127.0.0.1."""
        self._far_port = port
        self._open: set[asyncio.Task[None]] = set()
        self.loses = Loss.NOTHING
        self.port = 0

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1")
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.hang_up()

    async def hang_up(self) -> None:
        """Close all connections, and refuse new ones."""
        self._server.close()
        for relay in list(self._open):
            relay.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def listen_again(self) -> None:
        """Accept connections again, at the same port."""
        if not self._server.is_serving():
            self._server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        relay = asyncio.ensure_future(self._relay(reader, writer))
        self._open.add(relay)
        relay.add_done_callback(self._open.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._far_port)
            ends.append(far_writer)
            await self._until_one_ends(
                self._carry(reader, far_writer, Loss.REQUESTS), self._carry(far_reader, writer, Loss.ANSWERS)
            )
        finally:
            for end in ends:
                end.transport.abort()

    async def _until_one_ends(self, *ways: Coroutine[None, None, None]) -> None:
        carrying = {asyncio.ensure_future(way) for way in ways}
        try:
            await asyncio.wait(carrying, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in carrying:
                one.cancel()
            await asyncio.gather(*carrying, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, loss: Loss) -> None:
        while chunk := await reader.read(65536):
            if self.loses is loss:
                return
            writer.write(chunk)
            await writer.drain()
