"""Faults: what the client sees, and whether the request took effect."""

import asyncio

import aiohttp
import pytest

from integration.simulator.acme import Acme
from testbed.pipedrive import Effect, Endpoint, Fault, FaultKind, Outcome, Rotation, digest_of

BEFORE, AFTER = Effect.BEFORE, Effect.AFTER


@pytest.fixture(autouse=True)
def _rotating(acme: Acme) -> None:
    """Turn rotation on, so that every effect of a refresh can be seen."""
    acme.simulator.switches.rotate = Rotation.ALWAYS


@pytest.mark.parametrize("kind", [FaultKind.DROP, FaultKind.CUT])
@pytest.mark.parametrize(("effect", "times_spent"), [(BEFORE, 0), (AFTER, 1)])
async def test_a_lost_connection_spends_the_token_only_after_the_effect(
    acme: Acme, kind: FaultKind, effect: Effect, times_spent: int
) -> None:
    """The client cannot distinguish the two cases; the ledger can."""
    token = acme.install()["refresh_token"]
    acme.simulator.faults.add(Fault(kind=kind, effect=effect, times=1))

    with pytest.raises(aiohttp.ClientError):
        await acme.refresh(token)

    [call] = acme.simulator.ledger.refreshes()
    assert acme.simulator.ledger.spent(token) == times_spent
    assert (call.delivered, call.fault) == (False, f"{kind} {effect}")
    assert (await acme.refresh(token)).status == (400 if times_spent else 200)


async def test_a_response_that_is_cut_arrives_in_part(acme: Acme) -> None:
    """Its status and headers are those of a success."""
    acme.simulator.faults.add(Fault(kind=FaultKind.CUT, effect=AFTER))
    url = f"{acme.simulator.url}/v1/users/me"

    async with acme.session.get(url, headers={"x-api-token": acme.user.api_token}) as answer:
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()

    assert answer.status == 200


@pytest.mark.parametrize(("effect", "times_spent"), [(BEFORE, 0), (AFTER, 1)])
async def test_a_client_that_gives_up_on_a_hanging_request_has_ended_it(
    acme: Acme, effect: Effect, times_spent: int
) -> None:
    """Removing the fault afterwards does not continue it."""
    token = acme.install()["refresh_token"]
    acme.simulator.faults.add(Fault(kind=FaultKind.HANG, effect=effect))

    await refresh_and_leave(acme, token)
    acme.simulator.faults.clear()
    settled = Outcome.ACCEPTED if times_spent else Outcome.UNTOUCHED
    await acme.simulator.ledger.until(lambda ledger: ledger.calls[0].outcome is settled)

    assert acme.simulator.ledger.spent(token) == times_spent
    assert acme.simulator.ledger.calls[0].delivered is False


async def test_a_hanging_request_goes_on_when_the_fault_is_cleared(acme: Acme) -> None:
    """A test can hold a request for as long as it likes."""
    token = acme.install()["refresh_token"]
    acme.simulator.faults.add(Fault(kind=FaultKind.HANG, times=1))
    refresh = asyncio.create_task(acme.refresh(token))
    await acme.simulator.ledger.until(lambda ledger: len(ledger.in_flight()) == 1)

    acme.simulator.faults.clear()

    assert (await refresh).status == 200


@pytest.mark.parametrize("effect", [BEFORE, AFTER])
async def test_a_slow_request_takes_effect_after_its_client_disconnected(acme: Acme, effect: Effect) -> None:
    """The worst case for a client that must not spend a token twice."""
    token = acme.install()["refresh_token"]
    acme.simulator.faults.add(Fault(kind=FaultKind.SLOW, effect=effect, delay=0.1))

    await refresh_and_leave(acme, token)
    await acme.simulator.ledger.until(lambda ledger: ledger.spent(token) == 1)

    assert acme.simulator.ledger.calls[0].delivered is False


async def test_a_slow_request_is_answered_late(acme: Acme) -> None:
    """A client that waits receives the response."""
    acme.simulator.faults.add(Fault(kind=FaultKind.SLOW, delay=0.02))
    began = asyncio.get_running_loop().time()

    answer = await acme.refresh(acme.install()["refresh_token"])

    assert answer.status == 200
    assert asyncio.get_running_loop().time() - began >= 0.02


async def test_hanging_requests_do_not_keep_the_simulator_from_stopping(acme: Acme) -> None:
    """They are cancelled, and nothing keeps running."""
    before = asyncio.all_tasks()
    acme.simulator.faults.add(Fault(kind=FaultKind.HANG))
    refresh = asyncio.create_task(acme.refresh("x"))
    await acme.simulator.ledger.until(lambda ledger: len(ledger.in_flight()) == 1)

    await acme.simulator.__aexit__()

    with pytest.raises(aiohttp.ClientError):
        await refresh
    assert asyncio.all_tasks() <= before


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        (Fault(kind=FaultKind.DAILY_LIMIT), 429, "daily request budget exceeded"),
        (Fault(kind=FaultKind.BURST_LIMIT), 429, "Request over limit"),
        (Fault(kind=FaultKind.PAYMENT_REQUIRED), 402, '"errorCode": 402'),
        (Fault(kind=FaultKind.SCOPE_MISMATCH), 403, "Scope and URL mismatch"),
        (Fault(kind=FaultKind.STATUS), 500, "Internal Server Error"),
        (Fault(kind=FaultKind.STATUS, status=503), 503, "Service Unavailable"),
        (Fault(kind=FaultKind.CLOUDFLARE), 403, "<!doctype html>"),
        (Fault(kind=FaultKind.HTML), 200, "<!doctype html>"),
        (Fault(kind=FaultKind.HTML, status=502), 502, "<!doctype html>"),
        (Fault(kind=FaultKind.NO_TOKEN), 200, '{"success": true}'),
        (Fault(kind=FaultKind.NO_ERROR), 400, '{"success": false}'),
    ],
)
async def test_a_false_response_leaves_the_token_unspent(acme: Acme, fault: Fault, status: int, body: str) -> None:
    """It precedes the effect, at every endpoint."""
    tokens = acme.install()
    acme.simulator.faults.add(fault)

    answers = [await acme.refresh(tokens["refresh_token"]), await acme.me(tokens["access_token"])]

    for answer in answers:
        assert answer.status == status
        assert body in answer.text
        assert "retry-after" not in answer.headers
    assert [call.outcome for call in acme.simulator.ledger.calls] == [Outcome.UNTOUCHED] * 2


@pytest.mark.parametrize("kind", [FaultKind.DAILY_LIMIT, FaultKind.BURST_LIMIT, FaultKind.STATUS])
async def test_retry_after_can_be_set(acme: Acme, kind: FaultKind) -> None:
    """It is in seconds, as in recorded responses."""
    acme.simulator.faults.add(Fault(kind=kind, retry_after=3939))

    assert (await acme.me("x")).headers["retry-after"] == "3939"


async def test_an_error_may_hide_a_spent_token(acme: Acme) -> None:
    """The 500 comes after the effect."""
    token = acme.install()["refresh_token"]
    acme.simulator.faults.add(Fault(kind=FaultKind.STATUS, effect=AFTER, times=1))

    answer = await acme.refresh(token)

    assert (answer.status, acme.simulator.ledger.spent(token)) == (500, 1)


async def test_a_real_response_can_be_changed(acme: Acme) -> None:
    """It can lack the refresh token or have its lifetime in quotes; the request took effect."""
    acme.simulator.switches.rotate = Rotation.NEVER
    token = acme.install()["refresh_token"]
    for kind in (FaultKind.NO_REFRESH_TOKEN, FaultKind.TEXT_EXPIRY):
        acme.simulator.faults.add(Fault(kind=kind, times=1))

    first, second = [(await acme.refresh(token)).json for _ in range(2)]

    assert "refresh_token" not in first
    assert "access_token" in first
    assert second["expires_in"] == "3599"
    assert acme.simulator.ledger.spent(token) == 2


async def test_a_page_is_not_changed(acme: Acme) -> None:
    """It has no fields."""
    acme.simulator.faults.add(Fault(kind=FaultKind.NO_REFRESH_TOKEN))
    query = f"client_id={acme.app.client_id}&redirect_uri={acme.app.redirect_uri}"

    page = await acme.ask("GET", f"/oauth/authorize?{query}")

    assert (page.status, "Accept" in page.text) == (200, True)


async def test_a_fault_affects_only_its_scope(acme: Acme) -> None:
    """Endpoint, app, grant, company and token each narrow it."""
    tokens = acme.install()
    refresh_token, access_token = tokens["refresh_token"], tokens["access_token"]
    elsewhere = [
        Fault(kind=FaultKind.STATUS, endpoint=Endpoint.REVOKE),
        Fault(kind=FaultKind.STATUS, client_id="other"),
        Fault(kind=FaultKind.STATUS, grant_id="other"),
        Fault(kind=FaultKind.STATUS, company_id=0),
        Fault(kind=FaultKind.STATUS, digest="other"),
    ]
    for fault in elsewhere:
        acme.simulator.faults.add(fault)
    here = Fault(
        kind=FaultKind.STATUS,
        endpoint=Endpoint.TOKEN,
        client_id=acme.app.client_id,
        grant_id="grant-1",
        company_id=acme.company.id,
        digest=digest_of(refresh_token),
    )
    armed = acme.simulator.faults.add(here)

    statuses = [(await acme.me(access_token)).status, (await acme.refresh(refresh_token)).status]

    assert statuses == [200, 500]
    assert [fault.hits for fault in acme.simulator.faults] == [0, 0, 0, 0, 0, 1]
    assert armed.hits == 1


async def test_a_fault_skips_some_requests_and_ends_after_some(acme: Acme) -> None:
    """Only requests in its scope count."""
    acme.simulator.faults.add(Fault(kind=FaultKind.STATUS, status=503, skip=1, times=2))

    statuses = [(await acme.me("x")).status for _ in range(4)]

    assert statuses == [401, 503, 503, 401]


async def test_one_fault_can_be_removed(acme: Acme) -> None:
    """The other faults stay."""
    first = acme.simulator.faults.add(Fault(kind=FaultKind.STATUS, status=500))
    acme.simulator.faults.add(Fault(kind=FaultKind.STATUS, status=503))

    acme.simulator.faults.clear(first.id)

    assert (await acme.me("x")).status == 503


async def test_the_authorize_page_can_fail_too(acme: Acme) -> None:
    """It returns 503 while a company's database is in maintenance."""
    acme.simulator.faults.add(Fault(kind=FaultKind.STATUS, status=503, endpoint=Endpoint.AUTHORIZE))

    assert (await acme.ask("GET", "/oauth/authorize")).status == 503


async def refresh_and_leave(acme: Acme, token: str) -> None:
    """Send a refresh, give up once it has arrived, and wait until the simulator has noticed."""
    refresh = asyncio.create_task(acme.refresh(token))
    await acme.simulator.ledger.until(lambda ledger: len(ledger.in_flight()) == 1)
    refresh.cancel()
    await acme.simulator.ledger.until(lambda ledger: not ledger.in_flight())
