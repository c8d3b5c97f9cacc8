"""Verifications against the simulator, and which error each fault becomes."""

import json
from datetime import timedelta

import pytest

from integration.pipedrive.acme import BEFORE, Acme, adapter, canned, http_answer, trouble_of
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    PipedriveUnavailable,
    RateLimited,
    TokenRejected,
    Trouble,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from testbed.pipedrive import Endpoint, Fault, FaultKind


async def test_an_api_token_is_identified(acme: Acme) -> None:
    """The token is sent in the header x-api-token."""
    assert await acme.identify() == acme.account


async def test_an_access_token_without_a_domain_is_sent_to_the_address_for_api_tokens(acme: Acme) -> None:
    """A person may have written it to Vault without one."""
    answer = await acme.refresh()

    assert await acme.api.identify_access_token(Token(value=answer.access_token)) == acme.account


@pytest.mark.parametrize(
    ("kind", "trouble"),
    [
        (FaultKind.DROP, PipedriveUnavailable),
        (FaultKind.CUT, PipedriveUnavailable),
        (FaultKind.HANG, PipedriveUnavailable),
        (FaultKind.STATUS, PipedriveUnavailable),
        (FaultKind.HTML, PipedriveUnavailable),
        (FaultKind.NO_TOKEN, PipedriveUnavailable),
        (FaultKind.NO_ERROR, PipedriveUnavailable),
        (FaultKind.DAILY_LIMIT, RateLimited),
        (FaultKind.BURST_LIMIT, RateLimited),
        (FaultKind.CLOUDFLARE, RateLimited),
        (FaultKind.PAYMENT_REQUIRED, AccountNotOpen),
        (FaultKind.SCOPE_MISMATCH, TokenRejected),
    ],
)
async def test_a_failed_verification_rejects_the_token_only_if_pipedrive_did(
    acme: Acme, kind: FaultKind, trouble: type[Trouble]
) -> None:
    """The message does not contain the token."""
    acme.simulator.faults.add(Fault(kind=kind, effect=BEFORE))

    with pytest.raises(Trouble) as caught:
        await acme.identify()

    assert type(caught.value) is trouble
    assert acme.user.api_token not in caught.value.message


@pytest.mark.parametrize("kind", [FaultKind.DAILY_LIMIT, FaultKind.BURST_LIMIT])
@pytest.mark.parametrize("seconds", [None, 3939])
async def test_the_pause_of_a_429_is_passed_on(acme: Acme, kind: FaultKind, seconds: int | None) -> None:
    """This holds for both endpoints, if the response asks for a pause."""
    acme.simulator.faults.add(Fault(kind=kind, retry_after=seconds))

    troubles = [await trouble_of(acme.identify()), await trouble_of(acme.refresh())]

    pause = None if seconds is None else timedelta(seconds=seconds)
    assert [trouble.retry_after for trouble in troubles] == [pause, pause]


async def test_a_regenerated_api_token_is_rejected(acme: Acme) -> None:
    """The old one is rejected at once."""
    old = SecretValue(acme.user.api_token)
    acme.simulator.world.regenerate_api_token(company_id=acme.user.company_id, user_id=acme.user.id)

    with pytest.raises(TokenRejected, match="HTTP 401"):
        await acme.api.identify_api_token(old)


async def test_a_revoked_access_token_is_rejected(acme: Acme) -> None:
    """It is rejected before its expiry."""
    answer = await acme.refresh()
    acme.simulator.revoke_token(token=answer.access_token.reveal())

    with pytest.raises(TokenRejected):
        await acme.api.identify_access_token(Token(value=answer.access_token, api_domain=answer.api_domain))


async def test_an_account_that_is_not_open_is_reported(acme: Acme) -> None:
    """Pipedrive responds with 402."""
    acme.simulator.world.companies[acme.user.company_id].is_open = False

    with pytest.raises(AccountNotOpen):
        await acme.identify()


async def test_each_kind_of_token_has_its_own_path() -> None:
    """A company's own host needs `/api`; the simulator serves both, as Pipedrive once did."""
    async with canned(http_answer("503 Service Unavailable")) as (address, heads), adapter(f"http://{address}") as api:
        await trouble_of(api.identify_api_token(SecretValue("token")))
        await trouble_of(api.identify_access_token(Token(value=SecretValue("token"), api_domain=f"http://{address}")))

    assert [head.split(b" HTTP")[0] for head in heads] == [b"GET /v1/users/me", b"GET /api/v1/users/me"]


async def test_a_response_that_repeats_the_token_is_quoted_without_it() -> None:
    """Pipedrive is not known to do so; a proxy may."""
    echo = json.dumps({"error": "cannot read a1b2c3"})

    async with canned(http_answer("401 Unauthorized", echo)) as (address, _), adapter(f"http://{address}") as api:
        trouble = await trouble_of(api.identify_api_token(SecretValue("a1b2c3")))

    assert "cannot read (hidden)" in trouble.message


@pytest.mark.parametrize("domain", ["https://evil.example", "http://127.0.0.1:1/x", "http://127.0.0.1:80@evil.example"])
async def test_an_access_token_is_sent_to_no_other_address(acme: Acme, domain: str) -> None:
    """Others write to Vault, too. A rejection leads to a refresh, which brings another domain."""
    token = Token(value=SecretValue("token"), api_domain=domain)

    with pytest.raises(TokenRejected, match="allowedApiDomains"):
        await acme.api.identify_access_token(token)

    assert acme.simulator.ledger.calls == []


async def test_pipedrive_is_reached_if_it_asks_for_a_token(acme: Acme) -> None:
    """A 401 in JSON is the expected response."""
    await acme.api.reach()

    [call] = acme.simulator.ledger.calls
    assert call.status == 401


async def test_pipedrive_is_not_reached_if_something_else_responds(acme: Acme) -> None:
    """A captive portal is an example."""
    acme.simulator.faults.add(Fault(kind=FaultKind.HTML, endpoint=Endpoint.USERS_ME))

    with pytest.raises(PipedriveUnavailable):
        await acme.api.reach()


async def test_a_401_with_a_page_does_not_reject_the_token() -> None:
    """A proxy in between refuses so; Pipedrive's own refusals are JSON."""
    page = http_answer("401 Unauthorized", "<!doctype html><title>401 Authorization Required</title>")

    async with canned(page) as (address, _), adapter(f"http://{address}") as api:
        trouble = await trouble_of(api.identify_api_token(SecretValue("token")))

    assert type(trouble) is PipedriveUnavailable
    assert "a page (HTTP 401)" in trouble.message


@pytest.mark.parametrize("status", ["401 Unauthorized", "407 Proxy Authentication Required", "200 OK"])
async def test_a_page_shows_that_pipedrive_is_not_reached(status: str) -> None:
    """Its status does not matter: Pipedrive sends no pages."""
    async with canned(http_answer(status, "<!doctype html>")) as (address, _), adapter(f"http://{address}") as api:
        trouble = await trouble_of(api.reach())

    assert type(trouble) is PipedriveUnavailable
    assert "check pipedrive.apiUrl, and the proxies in between" in trouble.message


@pytest.mark.parametrize("headers", [f"Set-Cookie: a={'b' * 60_000}", "\r\n".join(f"X-{n}: {n}" for n in range(300))])
async def test_large_headers_are_read(acme: Acme, headers: str) -> None:
    """Proxies and their policies add some; aiohttp's own limit is 8,190 bytes."""
    body = json.dumps({"data": {"id": acme.account.user_id, "company_id": 1, "company_domain": "acme"}})
    answer = http_answer("200 OK", body).replace(b"\r\n", f"\r\n{headers}\r\n".encode(), 1)

    async with canned(answer) as (address, _), adapter(f"http://{address}") as api:
        account = await api.identify_api_token(SecretValue("token"))

    assert account.user_id == acme.account.user_id


async def test_an_api_token_of_a_company_whose_address_is_not_allowed_is_not_accepted(acme: Acme) -> None:
    """The api_domain that would be published follows from the company's domain."""
    only_local = ("http://127.0.0.1:*", "https://other.pipedrive.com")

    async with adapter(acme.simulator.url, allowed_api_domains=only_local) as api:
        trouble = await trouble_of(api.identify_api_token(SecretValue(acme.user.api_token)))

    assert type(trouble) is PipedriveUnavailable
    assert "https://acme.pipedrive.com, which does not match pipedrive.allowedApiDomains" in trouble.message
