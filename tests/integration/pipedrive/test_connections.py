"""Which requests leave, and to whom, if a connection fails or must not be used."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from integration.pipedrive.acme import CLIENT, Acme, adapter, canned, http_answer, trouble_of
from pipedrive_operator.adapters.pipedrive.client import PipedriveApi
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    OperatorError,
    PipedriveUnavailable,
    RefreshUncertain,
    Trouble,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.metrics import REGISTRY
from testbed.certificates import Authority
from testbed.pipedrive import Endpoint, Fault, FaultKind


class Fenced(OperatorError):
    """The error that the fences of these tests raise."""


async def test_nothing_is_sent_when_the_fence_raises(acme: Acme) -> None:
    """The connection is open, the request does not leave, and the error of the fence is raised."""

    async def fence() -> None:
        raise Fenced

    with pytest.raises(Fenced):
        await acme.api.refresh(acme.client, acme.refresh_token, fence=fence)

    assert acme.simulator.ledger.calls == []


async def test_the_fence_is_called_once_before_the_request_leaves(acme: Acme) -> None:
    """Nothing has arrived at Pipedrive at that time."""
    seen: list[int] = []

    async def fence() -> None:
        seen.append(len(acme.simulator.ledger.calls))

    await acme.api.refresh(acme.client, acme.refresh_token, fence=fence)

    assert seen == [0]


async def test_a_refresh_without_a_connection_was_not_sent(free_port: int) -> None:
    """The connection was refused, so the token is unspent."""
    async with adapter(f"http://127.0.0.1:{free_port}") as api:
        trouble = await trouble_of(api.refresh(CLIENT, SecretValue("token")))

    assert type(trouble) is PipedriveUnavailable
    assert "refused" in trouble.message
    assert "Nothing was sent" in trouble.message


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_is_trusted_only_with_its_ca(tmp_path: Path, *, trusted: bool) -> None:
    """Both connections to Pipedrive send nothing to a server that is not trusted."""
    authority = Authority(tmp_path)
    pair = authority.serving("pipedrive", ["127.0.0.1"])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.public, pair.key)
    ca_file = authority.certificate if trusted else None

    async with (
        canned(http_answer("402 Payment Required"), tls=tls) as (address, heads),
        adapter(f"https://{address}", ca_file=ca_file) as api,
    ):
        troubles = await both_ways(api)

    assert [type(trouble) for trouble in troubles] == [AccountNotOpen if trusted else PipedriveUnavailable] * 2
    assert len(heads) == (2 if trusted else 0)
    assert trusted or all("not trusted" in trouble.message for trouble in troubles)


async def test_a_server_without_tls_receives_no_refresh(acme: Acme) -> None:
    """The handshake precedes the request."""
    url = acme.simulator.url.replace("http:", "https:")
    async with adapter(url) as api:
        trouble = await trouble_of(api.refresh(acme.client, acme.refresh_token))

    assert type(trouble) is PipedriveUnavailable
    assert acme.simulator.ledger.calls == []


async def both_ways(api: PipedriveApi) -> list[Trouble]:
    """Return the errors of a refresh and of a verification."""
    return [
        await trouble_of(api.refresh(CLIENT, SecretValue("token"))),
        await trouble_of(api.identify_api_token(SecretValue("token"))),
    ]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("407 Proxy Authentication Required", "requires credentials (HTTP 407)"),
        ("403 Forbidden", "denied the connection to pipedrive.invalid (HTTP 403)"),
        ("502 Bad Gateway", "could not reach pipedrive.invalid (HTTP 502)"),
        ("500 Internal Server Error", "refused to connect to pipedrive.invalid (HTTP 500)"),
    ],
)
async def test_a_proxy_that_refuses_is_named_and_counts_as_not_sent(status: str, words: str, tmp_path: Path) -> None:
    """The CONNECT request is not mistaken for the refresh."""
    credentials = tmp_path / "proxy"
    credentials.write_text("user:word\n")
    async with (
        canned(http_answer(status)) as (address, heads),
        adapter("https://pipedrive.invalid", proxy=f"http://{address}", proxy_credentials_file=credentials) as api,
    ):
        troubles = await both_ways(api)

    for trouble in troubles:
        assert type(trouble) is PipedriveUnavailable
        assert f"the proxy http://{address} (pipedrive.proxy) {words}" in trouble.message
        assert "word" not in trouble.message
    assert len(heads) == 2
    for head in heads:
        assert head.startswith(b"CONNECT ")
        assert b"\r\nproxy-authorization: basic dxnlcjp3b3jk\r\n" in head.lower()


async def test_replaced_credentials_of_a_proxy_are_used_after_a_refusal(tmp_path: Path) -> None:
    """This holds for both connections to Pipedrive, without a restart."""
    credentials = tmp_path / "proxy"
    credentials.write_text("user:old")
    async with (
        canned(http_answer("407 Proxy Authentication Required")) as (address, heads),
        adapter("https://pipedrive.invalid", proxy=f"http://{address}", proxy_credentials_file=credentials) as api,
    ):
        await both_ways(api)
        credentials.write_text("user:word")
        await both_ways(api)

    assert len(heads) == 4
    assert all(b"\r\nproxy-authorization: basic dxnlcjp3b3jk\r\n" in head.lower() for head in heads[2:])


async def test_missing_credentials_of_a_proxy_are_named(tmp_path: Path) -> None:
    """Nothing is sent without them."""
    missing = tmp_path / "missing"
    async with (
        canned(http_answer("200 OK")) as (address, heads),
        adapter("https://pipedrive.invalid", proxy=f"http://{address}", proxy_credentials_file=missing) as api,
    ):
        troubles = await both_ways(api)

    assert all("pipedrive.proxyCredentialsFile" in trouble.message for trouble in troubles)
    assert heads == []


async def test_a_proxy_that_is_down_is_named(free_port: int) -> None:
    """The message does not blame Pipedrive."""
    async with adapter("https://pipedrive.invalid", proxy=f"http://127.0.0.1:{free_port}") as api:
        troubles = await both_ways(api)

    for trouble in troubles:
        assert type(trouble) is PipedriveUnavailable
        assert f"the proxy http://127.0.0.1:{free_port} (pipedrive.proxy) refused the connection" in trouble.message


async def test_a_proxy_whose_name_is_unknown_is_named() -> None:
    """`.invalid` is never resolved (RFC 6761)."""
    async with adapter("https://127.0.0.1:1", proxy="http://proxy.invalid:3128") as api:
        troubles = await both_ways(api)

    assert all("(pipedrive.proxy) has a name that cannot be resolved" in trouble.message for trouble in troubles)


@pytest.mark.parametrize("secret", ["1:2:refresh", "client-secret"])
async def test_a_response_that_repeats_a_secret_is_quoted_without_it(secret: str) -> None:
    """Pipedrive is not known to do so; a proxy may."""
    echo = json.dumps({"error": "invalid_request", "message": f"cannot read {secret} in the form"})
    client = ClientCredentials(client_id="id", client_secret=SecretValue("client-secret"))

    async with canned(http_answer("400 Bad Request", echo)) as (address, _), adapter(f"http://{address}") as api:
        trouble = await trouble_of(api.refresh(client, SecretValue("1:2:refresh")))

    assert "cannot read (hidden) in the form" in trouble.message


@pytest.mark.parametrize("endpoint", [Endpoint.TOKEN, Endpoint.USERS_ME])
async def test_the_time_out_is_that_of_the_settings(acme: Acme, endpoint: Endpoint) -> None:
    """It is half a second here, not five."""
    acme.simulator.faults.add(Fault(kind=FaultKind.HANG, endpoint=endpoint))

    async with asyncio.timeout(5):
        trouble = await trouble_of(acme.refresh() if endpoint is Endpoint.TOKEN else acme.identify())

    assert "no answer came in time" in trouble.message


async def test_proxies_of_the_environment_are_not_used(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the settings name a proxy."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    assert await acme.identify() == acme.account
    assert await acme.refresh()


async def test_requests_are_counted_by_status(acme: Acme) -> None:
    """A request without a response is counted, too."""
    acme.simulator.faults.add(Fault(kind=FaultKind.DROP, endpoint=Endpoint.TOKEN))

    with counted("refresh", "none"), pytest.raises(RefreshUncertain):
        await acme.refresh()
    acme.simulator.faults.clear()
    with counted("refresh", "200"):
        await acme.refresh()
    with counted("identify", "200"):
        await acme.identify()


@asynccontextmanager
async def tls_server(authority: Authority, *, strict: bool = True) -> AsyncIterator[str]:
    """Serve 402 to everybody, with a certificate of that authority; yield the address."""
    pair = authority.serving("pipedrive", ["127.0.0.1"], names_issuer=strict)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.public, pair.key)
    async with canned(http_answer("402 Payment Required"), tls=tls) as (address, _):
        yield f"https://{address}"


@pytest.mark.parametrize(
    "before",
    ["# Arany (Class Gold) F\N{LATIN SMALL LETTER O WITH DOUBLE ACUTE}\n".encode(), b"\xef\xbb\xbf", b"# \xe9t\xe9\n"],
)
async def test_comments_around_a_ca_certificate_are_ignored(tmp_path: Path, before: bytes) -> None:
    """They may be in any language and encoding, and follow a byte order mark."""
    authority, ca_file = Authority(tmp_path), tmp_path / "bundle.crt"
    ca_file.write_bytes(before + authority.certificate.read_bytes())

    async with tls_server(authority) as url, adapter(url, ca_file=ca_file) as api:
        troubles = await both_ways(api)

    assert [type(trouble) for trouble in troubles] == [AccountNotOpen] * 2


@pytest.mark.parametrize("content", [None, b"", b"this is no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
async def test_an_unusable_ca_file_is_named_and_can_be_corrected(tmp_path: Path, content: bytes | None) -> None:
    """Nothing is sent. After the correction no restart is needed."""
    authority, ca_file = Authority(tmp_path), tmp_path / "bundle.crt"
    if content is not None:
        ca_file.write_bytes(content)

    async with tls_server(authority) as url, adapter(url, ca_file=ca_file) as api:
        before = [*await both_ways(api), await trouble_of(api.reach())]
        ca_file.write_bytes(authority.certificate.read_bytes())
        after = await both_ways(api)

    for trouble in before:
        assert type(trouble) is PipedriveUnavailable
        assert f"cannot be read from {ca_file}: correct pipedrive.caFile" in trouble.message
    assert [type(trouble) for trouble in after] == [AccountNotOpen] * 2


@pytest.mark.parametrize("first", [0, 1])
async def test_a_replaced_ca_is_read_again(tmp_path: Path, first: int) -> None:
    """This happens after a certificate error, on either connection to Pipedrive, without a restart."""
    former, new, ca_file = Authority(tmp_path / "a"), Authority(tmp_path / "b"), tmp_path / "bundle.crt"
    ca_file.write_bytes(former.certificate.read_bytes())

    async with tls_server(new) as url, adapter(url, ca_file=ca_file) as api:
        ways = (
            lambda: api.refresh(CLIENT, SecretValue("token")),
            lambda: api.identify_api_token(SecretValue("token")),
        )
        distrusted = await trouble_of(ways[first]())
        ca_file.write_bytes(former.certificate.read_bytes() + new.certificate.read_bytes())
        trusted = await both_ways(api)

    assert "its certificate is not trusted" in distrusted.message
    assert [type(trouble) for trouble in trusted] == [AccountNotOpen] * 2


async def test_a_certificate_without_an_authority_key_identifier_is_accepted(tmp_path: Path) -> None:
    """Python 3.13 refuses it by default; proxies that inspect TLS and older authorities issue such certificates."""
    authority = Authority(tmp_path)

    async with tls_server(authority, strict=False) as url, adapter(url, ca_file=authority.certificate) as api:
        troubles = await both_ways(api)

    assert [type(trouble) for trouble in troubles] == [AccountNotOpen] * 2


@contextmanager
def counted(operation: str, code: str) -> Iterator[None]:
    """Check that one request is counted."""
    labels = {"service": "pipedrive", "operation": operation, "code": code}
    before = REGISTRY.get_sample_value("pipedrive_operator_requests_total", labels) or 0
    yield
    assert REGISTRY.get_sample_value("pipedrive_operator_requests_total", labels) == before + 1
