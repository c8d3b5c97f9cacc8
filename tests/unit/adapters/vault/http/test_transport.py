"""What a request to Vault contains, and which error a missing response becomes."""

import asyncio
import ssl
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import HttpUrl

from fakes.clock import TurnedClock
from pipedrive_operator.adapters.vault.http.tls import vault_tls
from pipedrive_operator.adapters.vault.http.transport import Transport
from pipedrive_operator.adapters.vault.material import Material
from pipedrive_operator.adapters.vault.request_and_response import VaultRequest
from pipedrive_operator.adapters.vault.requests import LOGIN
from pipedrive_operator.config.vault import VaultConnectionSettings
from pipedrive_operator.core.values.errors import VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from testbed.certificates import Authority

TOKEN = SecretValue("s.this-is-the-token")
READ = VaultRequest(operation="read", method="GET", path="/v1/secret/data/a%20b", token=TOKEN)
LOG_IN = VaultRequest(operation=LOGIN, method="POST", path="/v1/auth/approle/login")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Start = Callable[..., Awaitable[TestServer]]
Connect = Callable[..., Transport]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Return a function that opens a transport."""
    transports: list[Transport] = []

    def connected(address: object, **settings: object) -> Transport:
        values = {"address": HttpUrl(str(address))} | settings
        made = VaultConnectionSettings.model_validate(values)
        tls = vault_tls("default", made, Material("default", None))
        transports.append(Transport("default", made, tls, TurnedClock()))
        return transports[-1]

    yield connected
    for transport in transports:
        await transport.aclose()


async def echo(request: web.Request) -> web.Response:
    """Respond in Vault's form with path and headers of the request; header names are in lower case."""
    return web.json_response(
        {"data": {"path": request.raw_path, "headers": {k.lower(): v for k, v in request.headers.items()}}}
    )


async def failure(transport: Transport) -> VaultUnavailable:
    """Return the error of a request, after checking that it does not contain the token."""
    with pytest.raises(VaultUnavailable) as caught:
        await transport.send(READ)
    assert TOKEN.reveal() not in caught.value.message
    return caught.value


def server_tls(authority: Authority) -> ssl.SSLContext:
    """Return the TLS context of a server for localhost."""
    pair = authority.serving("server", ["localhost"])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.public, pair.key)
    return context


class Trust:
    """A server with a certificate of one CA, and a transport that reads its trusted CA from a file."""

    def __init__(self, folder: Path, start: Start, connect: Connect) -> None:
        """Create two CAs, and trust the first."""
        self.authority, self.other = Authority(folder / "ca"), Authority(folder / "other")
        self.file = folder / "ca.crt"
        self._start, self._connect = start, connect
        self.write(self.authority)

    def write(self, authority: Authority, *, before: str = "", after: str = "") -> None:
        """Write a CA certificate to the file, with text around it."""
        self.file.write_text(f"{before}{authority.certificate.read_text()}{after}", encoding="utf-8")

    async def transport(self, handler: Handler = echo) -> Transport:
        """Start the server, and return a transport to it."""
        server = await self._start(handler, tls=server_tls(self.authority))
        return self._connect(f"https://localhost:{server.port}", ca_file=self.file)


@pytest.fixture
def trust(tmp_path: Path, start: Start, connect: Connect) -> Trust:
    """Return a server whose trusted CA the test can change."""
    return Trust(tmp_path, start, connect)


async def test_a_request_carries_the_token_and_the_namespace(start: Start, connect: Connect) -> None:
    """The path is escaped as it was given."""
    server = await start(echo)

    response = await connect(server.make_url("/"), namespace="team").send(READ)

    assert response.status == 200
    assert response.data["path"] == "/v1/secret/data/a%20b"
    assert response.data["headers"]["x-vault-token"] == TOKEN.reveal()
    assert response.data["headers"]["x-vault-namespace"] == "team"


async def test_a_redirect_is_reported_and_not_followed(start: Start, connect: Connect) -> None:
    """No server can make the operator send its token elsewhere."""
    visits: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        visits.append(request.path)
        return web.json_response({})

    other = await start(elsewhere)

    async def redirect(_: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(str(other.make_url("/v1/secret/data/a")))

    response = await connect((await start(redirect)).make_url("/")).send(READ)

    assert (response.status, response.redirect) == (307, str(other.make_url("/")).rstrip("/"))
    assert visits == []


async def test_environment_variables_are_ignored(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither proxies nor ~/.netrc nor the settings of the vault command are used."""
    server = await start(echo)
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine localhost login someone password secret\n")
    (tmp_path / ".vault-token").write_text("s.of-somebody-else")
    nowhere = "http://127.0.0.1:1"
    environment = {"HOME": str(tmp_path), "NETRC": str(netrc), "VAULT_TOKEN": "s.of-somebody", "VAULT_ADDR": nowhere}
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), nowhere)
    for name, value in (environment | proxies | {"VAULT_NAMESPACE": "elsewhere"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    response = await connect(server.make_url("/")).send(
        VaultRequest(operation="login", method="POST", path="/v1/login")
    )

    assert response.status == 200
    assert {"x-vault-token", "x-vault-namespace", "authorization"}.isdisjoint(response.data["headers"])


async def test_a_web_page_is_not_a_response_of_vault(start: Start, connect: Connect) -> None:
    """A proxy may respond with one."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>welcome</html>", content_type="text/html")

    assert (await connect((await start(page)).make_url("/")).send(READ)).body is None


@pytest.mark.parametrize("size", [9_000, 60_000])
async def test_a_response_with_large_headers_is_read(start: Start, connect: Connect, size: int) -> None:
    """A proxy in front of Vault may add cookies or policies that are larger than the client's default limit."""

    async def cookie(_: web.Request) -> web.Response:
        return web.json_response({"data": {"a": "b"}}, headers={"Set-Cookie": f"a={'x' * size}"})

    response = await connect((await start(cookie)).make_url("/")).send(READ)

    assert response.data == {"a": "b"}


async def test_headers_that_are_too_large_are_named_as_the_cause(start: Start, connect: Connect) -> None:
    """The server was reached, and the advice is about its headers."""

    async def cookie(_: web.Request) -> web.Response:
        return web.json_response({}, headers={"Set-Cookie": f"a={'x' * 100_000}"})

    message = (await failure(connect((await start(cookie)).make_url("/")))).message

    assert "sends a response that is not valid HTTP or whose headers are too large: check whether a proxy" in message


async def test_a_server_that_trickles_is_timed_out(start: Start, connect: Connect) -> None:
    """The timeout applies to the whole response."""

    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    transport = connect((await start(trickle)).make_url("/"), timeout=timedelta(milliseconds=200))

    async with asyncio.timeout(2):
        trouble = await failure(transport)

    assert "does not respond in time: " in trouble.message


async def test_a_server_that_is_down_cannot_be_reached(connect: Connect, unused_tcp_port: int) -> None:
    """The message names the setting."""
    message = (await failure(connect(f"http://127.0.0.1:{unused_tcp_port}"))).message

    assert "cannot be reached: " in message
    assert "vault.connections.default.address" in message


async def test_a_broken_connection_is_no_response(start: Start, connect: Connect) -> None:
    """It breaks in the middle of a request."""

    async def slam(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    message = (await failure(connect((await start(slam)).make_url("/")))).message

    assert "closes the connection before its response is complete: check its log" in message


async def test_a_host_name_that_cannot_be_resolved_is_reported(connect: Connect) -> None:
    """`.invalid` never resolves (RFC 6761)."""
    message = (await failure(connect("http://vault.invalid", insecure=True))).message

    assert "has a host name that cannot be resolved: correct vault.connections.default.address" in message


async def test_tls_to_a_server_without_tls_is_reported(start: Start, connect: Connect) -> None:
    """The address has the wrong scheme."""
    server = await start(echo)

    assert "fails in the TLS handshake" in (await failure(connect(f"https://localhost:{server.port}"))).message


async def test_a_replaced_ca_is_trusted_without_a_restart(trust: Trust) -> None:
    """After an untrusted certificate the file is read again for the next request."""
    trust.write(trust.other)
    transport = await trust.transport()

    trouble = await failure(transport)
    assert "is not trusted: set vault.connections.default.caFile" in trouble.message
    trust.write(trust.authority)

    assert (await transport.send(READ)).status == 200


async def test_a_removed_ca_is_not_trusted_after_the_next_login(trust: Trust) -> None:
    """A request in progress ends on its own connection; no other is sent to the untrusted server."""
    arrived, released = asyncio.Event(), asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        arrived.set()
        await released.wait()
        return web.json_response({})

    transport = await trust.transport(wait)
    in_progress = asyncio.create_task(transport.send(READ))
    await arrived.wait()
    trust.write(trust.other)

    with pytest.raises(VaultUnavailable, match="is not trusted"):
        await transport.send(LOG_IN)

    released.set()
    assert (await in_progress).status == 200
    assert "is not trusted" in (await failure(transport)).message


async def test_without_a_configured_ca_only_public_ones_are_trusted(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    """A server with a private CA needs caFile."""
    server = await start(echo, tls=server_tls(Authority(tmp_path / "ca")))

    assert "is not trusted" in (await failure(connect(f"https://localhost:{server.port}"))).message


@pytest.mark.parametrize("content", [None, "", "this is no certificate"])
async def test_an_unreadable_ca_is_reported(connect: Connect, tmp_path: Path, content: str | None) -> None:
    """The message names the file and the setting."""
    ca_file = tmp_path / "ca.crt"
    if content is not None:
        ca_file.write_text(content)

    message = (await failure(connect("https://localhost:1", ca_file=ca_file))).message

    assert f"cannot be read from {ca_file}: correct vault.connections.default.caFile" in message


async def test_a_bundle_may_contain_comments_in_any_language(trust: Trust) -> None:
    """The bundles of distributions do."""
    trust.write(trust.authority, before="# Arany (Class Gold) Főtanúsítvány\n")

    assert (await (await trust.transport()).send(READ)).status == 200


async def test_an_unreadable_ca_leaves_the_former_one_in_use(trust: Trust) -> None:
    """A half-written file is not an outage of Vault; once it is complete, it is used."""
    transport = await trust.transport()
    await transport.send(READ)

    trust.file.write_text(trust.file.read_text()[:99])

    assert (await transport.send(LOG_IN)).status == 200
    assert (await transport.send(READ)).status == 200
    trust.write(trust.other)
    with pytest.raises(VaultUnavailable, match="is not trusted"):
        await transport.send(LOG_IN)


async def test_retry_after_is_read(start: Start, connect: Connect) -> None:
    """It holds seconds or a date. An absurd number is cut."""

    async def busy(request: web.Request) -> web.Response:
        return web.json_response({}, status=429, headers={"Retry-After": request.query["after"]})

    transport = connect((await start(busy)).make_url("/"))

    async def asked(after: str) -> timedelta | None:
        request = VaultRequest(operation="read", method="GET", path="/v1/a", params={"after": after})
        return (await transport.send(request)).retry_after

    assert await asked("7") == timedelta(seconds=7)
    assert await asked("Wed, 21 Oct 2015 07:28:00 GMT") == timedelta(0)
    assert await asked("9" * 400) == timedelta(days=1)
    assert await asked("soon") is None


@asynccontextmanager
async def bomb(*, compressed: bool) -> AsyncIterator[str]:
    """Serve, over raw sockets, 200 MB as one response: gzip of zeros, or the zeros themselves."""
    megabyte = b"0" * 1_000_000

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n\r\n")
        packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
        with suppress(ConnectionError):
            for _ in range(200):
                writer.write(packer.compress(megabyte) if compressed else megabyte)
                await writer.drain()
            writer.write(packer.flush() if compressed else b"")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("compressed", [True, False])
async def test_a_response_without_an_end_costs_little_memory(connect: Connect, *, compressed: bool) -> None:
    """It is read up to a bound, also after decompression, and is marked."""
    async with bomb(compressed=compressed) as address:
        transport = connect(address)
        await transport.send(READ)
        tracemalloc.start()
        response = await transport.send(READ)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert response.is_too_large
    assert response.body is None
    assert peak < 8_000_000
