"""What is sent, to whom, and whether it left, when connections fail or must not be used."""

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration.pipedrive.acme import CLIENT, Acme, adapter, canned, http_answer, trouble_of
from pipedrive_operator.core.grant.grant import ClientCredentials
from pipedrive_operator.core.values.errors import AccountNotOpen, OperatorError, PipedriveUnavailable, RefreshUncertain
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.metrics import REGISTRY
from testbed.certificates import Authority
from testbed.pipedrive import Endpoint, Fault, FaultKind


class Fenced(OperatorError):
    """What a fence raises in these tests."""


async def test_nothing_is_sent_when_the_fence_raises(acme: Acme) -> None:
    """The connection is there, and the request stays here; the fence's own error comes out."""

    def fence() -> None:
        raise Fenced

    with pytest.raises(Fenced):
        await acme.api.refresh(acme.client, acme.refresh_token, fence=fence)

    assert acme.simulator.ledger.calls == []


async def test_the_fence_is_asked_once_before_the_request_leaves(acme: Acme) -> None:
    """It sees a world in which nothing has happened."""
    seen: list[int] = []

    await acme.api.refresh(acme.client, acme.refresh_token, fence=lambda: seen.append(len(acme.simulator.ledger.calls)))

    assert seen == [0]


async def test_a_refresh_that_finds_nobody_was_not_sent(free_port: int) -> None:
    """Connection refused: the token is untouched."""
    async with adapter(f"http://127.0.0.1:{free_port}") as api:
        trouble = await trouble_of(api.refresh(CLIENT, SecretValue("token")))

    assert type(trouble) is PipedriveUnavailable
    assert "refused" in trouble.message
    assert "Nothing was sent" in trouble.message


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_certificate_is_trusted_only_by_its_authority(tmp_path: Path, *, trusted: bool) -> None:
    """By both ways to Pipedrive; nothing is sent to a stranger."""
    authority = Authority(tmp_path)
    pair = authority.serving("pipedrive", ["127.0.0.1"])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pair.public, pair.key)
    ca_file = authority.certificate if trusted else None

    async with (
        canned(http_answer("402 Payment Required"), tls=tls) as (address, heads),
        adapter(f"https://{address}", ca_file=ca_file) as api,
    ):
        troubles = [
            await trouble_of(api.refresh(CLIENT, SecretValue("token"))),
            await trouble_of(api.identify_api_token(SecretValue("token"))),
        ]

    assert [type(trouble) for trouble in troubles] == [AccountNotOpen if trusted else PipedriveUnavailable] * 2
    assert len(heads) == (2 if trusted else 0)
    assert trusted or all("not trusted" in trouble.message for trouble in troubles)


async def test_a_server_that_speaks_no_tls_is_not_sent_a_refresh(acme: Acme) -> None:
    """The handshake comes first."""
    url = acme.simulator.url.replace("http:", "https:")
    async with adapter(url) as api:
        trouble = await trouble_of(api.refresh(acme.client, acme.refresh_token))

    assert type(trouble) is PipedriveUnavailable
    assert acme.simulator.ledger.calls == []


async def test_a_proxy_that_refuses_was_not_sent_the_refresh() -> None:
    """A CONNECT leaves for the proxy first, and must not be taken for the request."""
    async with (
        canned(http_answer("403 Forbidden")) as (address, heads),
        adapter("https://pipedrive.invalid", proxy=f"http://user:word@{address}") as api,
    ):
        trouble = await trouble_of(api.refresh(CLIENT, SecretValue("token")))

    assert type(trouble) is PipedriveUnavailable
    assert "the proxy refused" in trouble.message
    assert "word" not in trouble.message
    assert len(heads) == 1
    assert heads[0].startswith(b"CONNECT ")
    assert b"\r\nProxy-Authorization: Basic " in heads[0]


@pytest.mark.parametrize("secret", ["1:2:refresh", "client-secret"])
async def test_an_answer_that_echoes_a_secret_is_quoted_without_it(secret: str) -> None:
    """Pipedrive is not known to do so; a proxy may."""
    echo = json.dumps({"error": "invalid_request", "message": f"cannot read {secret} in the form"})
    client = ClientCredentials(client_id="id", client_secret=SecretValue("client-secret"))

    async with canned(http_answer("400 Bad Request", echo)) as (address, _), adapter(f"http://{address}") as api:
        trouble = await trouble_of(api.refresh(client, SecretValue("1:2:refresh")))

    assert "cannot read (hidden) in the form" in trouble.message


@pytest.mark.parametrize("endpoint", [Endpoint.TOKEN, Endpoint.USERS_ME])
async def test_an_answer_is_waited_for_as_long_as_the_settings_say(acme: Acme, endpoint: Endpoint) -> None:
    """Half a second here, and not five."""
    acme.simulator.faults.add(Fault(kind=FaultKind.HANG, endpoint=endpoint))

    async with asyncio.timeout(5):
        trouble = await trouble_of(acme.refresh() if endpoint is Endpoint.TOKEN else acme.identify())

    assert "no answer came in time" in trouble.message


async def test_the_environment_is_not_asked_for_a_proxy(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the settings name one."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    assert await acme.identify() == acme.account
    assert await acme.refresh()


async def test_requests_are_counted_by_status(acme: Acme) -> None:
    """Also those that broke."""
    acme.simulator.faults.add(Fault(kind=FaultKind.DROP, endpoint=Endpoint.TOKEN))

    with counted("refresh", "none"), pytest.raises(RefreshUncertain):
        await acme.refresh()
    acme.simulator.faults.clear()
    with counted("refresh", "200"):
        await acme.refresh()
    with counted("identify", "200"):
        await acme.identify()


def test_certificates_that_cannot_be_read_are_told_at_once(tmp_path: Path) -> None:
    """Before anything is sent."""
    with pytest.raises(FileNotFoundError, match=r"ca\.crt"):
        adapter("https://127.0.0.1", ca_file=tmp_path / "ca.crt")


@contextmanager
def counted(operation: str, code: str) -> Iterator[None]:
    """Expect one request to be counted."""
    labels = {"service": "pipedrive", "operation": operation, "code": code}
    before = REGISTRY.get_sample_value("pipedrive_operator_requests_total", labels) or 0
    yield
    assert REGISTRY.get_sample_value("pipedrive_operator_requests_total", labels) == before + 1
