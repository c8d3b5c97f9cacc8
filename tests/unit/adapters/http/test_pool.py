"""Connections that follow their certificates: what is read again, when, and what happens to requests in progress."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pipedrive_operator.adapters.http.causes import BROKEN, is_about_tls
from pipedrive_operator.adapters.http.certificates import read_ca_file
from pipedrive_operator.adapters.http.pool import Pools, reusing_transport
from pipedrive_operator.adapters.http.tls import CertificateSource, Tls
from pipedrive_operator.core.values.errors import PipedriveUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from testbed.certificates import Authority

Start = Callable[..., Awaitable[TestServer]]


def server_tls(authority: Authority) -> ssl.SSLContext:
    """Let a server prove that it is localhost."""
    pair = authority.serving("server", ["localhost"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.public, pair.key)
    return context


def unusable() -> PipedriveUnavailable:
    """Explain an authority that cannot be used."""
    return PipedriveUnavailable("unusable")


class Trust:
    """A server of one authority, and pools that read whom to trust from a file."""

    def __init__(self, folder: Path, server: TestServer, authority: Authority) -> None:
        """Trust the server's authority at first."""
        self.authority, self.other = authority, Authority(folder / "other")
        self.url = f"https://localhost:{server.port}/"
        self.file = folder / "ca.crt"
        self.before_read: Callable[[], Awaitable[None]] | None = None
        self.pools = Pools(Tls(ca=CertificateSource(read=self._read, unusable=unusable)), reusing_transport)
        self.trust(authority)

    def trust(self, authority: Authority) -> None:
        """Write the certificate of an authority to the file."""
        self.file.write_bytes(authority.certificate.read_bytes())

    async def status(self, *, read_again: bool = False) -> int:
        """Ask the server. Raises what the transport raises."""
        pool = await self.pools.current(read_again=read_again)
        try:
            return (await pool.exchange(httpx.Request("GET", self.url), longest_body=99)).status
        except BROKEN as error:
            self.pools.failed(error)
            raise

    async def is_trusted(self, *, read_again: bool = False) -> bool:
        """Return whether the server is trusted."""
        try:
            return await self.status(read_again=read_again) == 200
        except BROKEN as error:
            if is_about_tls(error):
                return False
            raise

    async def _read(self) -> SecretValue:
        found = read_ca_file(self.file)
        if self.before_read is not None:
            await self.before_read()
        return found


@pytest.fixture
async def trust(tmp_path: Path, start: Start) -> AsyncIterator[Trust]:
    """Start a server and trust it."""
    authority = Authority(tmp_path / "ca")

    async def fine(_: web.Request) -> web.Response:
        return web.json_response({})

    server = await start(fine, tls=server_tls(authority))
    made = Trust(tmp_path, server, authority)
    yield made
    await made.pools.aclose()


async def test_certificates_are_read_again_after_a_failure_about_tls(trust: Trust) -> None:
    """The next request already trusts what was written to the file meanwhile."""
    trust.trust(trust.other)
    assert not await trust.is_trusted()

    trust.trust(trust.authority)

    assert await trust.is_trusted()


async def test_certificates_are_not_read_again_without_a_reason(trust: Trust) -> None:
    """A pool that works is kept, with its open connections."""
    assert await trust.is_trusted()
    pool = await trust.pools.current()
    trust.trust(trust.other)

    assert await trust.is_trusted()
    assert await trust.pools.current() is pool


async def test_an_authority_that_was_removed_is_not_trusted_after_it_was_read_again(trust: Trust) -> None:
    """The former connections are closed, and a new context knows the new authority only."""
    assert await trust.is_trusted()
    trust.trust(trust.other)

    assert not await trust.is_trusted(read_again=True)


async def test_certificates_that_cannot_be_read_again_leave_the_former_in_use(trust: Trust) -> None:
    """A file that is half written is not an outage of the server; it is read when it is complete."""
    assert await trust.is_trusted()
    trust.file.write_text(trust.file.read_text()[:99])
    assert await trust.is_trusted(read_again=True)

    trust.trust(trust.other)

    assert not await trust.is_trusted(read_again=True)


async def test_certificates_that_were_never_readable_are_an_error_of_their_source(trust: Trust) -> None:
    """There is nothing to connect with; it is read again for the next request."""
    trust.file.write_text("this is no certificate")
    with pytest.raises(PipedriveUnavailable, match="unusable"):
        await trust.status()

    trust.trust(trust.authority)

    assert await trust.is_trusted()


async def test_a_slow_read_does_not_replace_a_later_one(trust: Trust) -> None:
    """Otherwise a CA that was removed would be trusted again."""
    assert await trust.is_trusted()
    trust.file.write_text(
        trust.file.read_text() + "\n" + Authority(trust.file.parent / "third").certificate.read_text()
    )
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        trust.before_read = None
        reading.set()
        await go_on.wait()

    trust.before_read = wait
    first = asyncio.create_task(trust.is_trusted(read_again=True))
    await reading.wait()
    trust.trust(trust.other)
    second = asyncio.create_task(trust.is_trusted(read_again=True))
    await asyncio.sleep(0)
    go_on.set()

    assert (await first, await second) == (True, False)
    assert not await trust.is_trusted()
