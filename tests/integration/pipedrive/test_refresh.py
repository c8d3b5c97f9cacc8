"""Refreshes against the simulator: which error each switch and fault becomes, and which tokens were spent."""

import asyncio
import json
import socket
import threading
import time
from datetime import timedelta

import pytest

from integration.pipedrive.acme import AFTER, CLIENT, TIMEOUT, Acme, adapter, http_answer
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    ClientRejected,
    ConsentRequired,
    RateLimited,
    RefreshUncertain,
    TokenResponseUnusable,
    Trouble,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from testbed.pipedrive import Effect, Endpoint, Fault, FaultKind, Outcome, Rotation


async def test_a_refresh_returns_a_token_of_the_same_account(acme: Acme) -> None:
    """The token is verified at its own api_domain."""
    answer = await acme.refresh()

    token = Token(value=answer.access_token, api_domain=answer.api_domain)
    assert await acme.api.identify_access_token(token) == acme.account
    assert answer.refresh_token == acme.refresh_token
    assert answer.expires_in == timedelta(seconds=3599)
    assert answer.scope == frozenset({"base", "deals:full"})
    assert answer.api_domain == acme.simulator.url


@pytest.mark.parametrize("rotation", list(Rotation))
async def test_each_refresh_uses_the_token_of_the_one_before(acme: Acme, rotation: Rotation) -> None:
    """With and without rotation, no token is sent again after it was replaced."""
    acme.simulator.switches.rotate = rotation
    refresh_token = acme.refresh_token

    for _ in range(3):
        refresh_token = (await acme.refresh(refresh_token)).refresh_token

    assert [call.outcome for call in acme.simulator.ledger.refreshes()] == [Outcome.ACCEPTED] * 3
    assert acme.simulator.ledger.double_spent() == []


async def test_a_spent_refresh_token_requires_consent(acme: Acme) -> None:
    """Pipedrive's message is quoted, the token is not."""
    spent = acme.refresh_token
    await acme.refresh(spent)

    with pytest.raises(ConsentRequired, match="invalid_grant") as caught:
        await acme.refresh(spent)

    assert spent.reveal() not in caught.value.message


@pytest.mark.parametrize("status", [400, 401])
async def test_a_wrong_client_is_not_a_refused_grant(acme: Acme, status: int) -> None:
    """Pipedrive may use either of two statuses."""
    acme.simulator.switches.bad_client_status = 400 if status == 400 else 401
    wrong = ClientCredentials(client_id=acme.app.client_id, client_secret=SecretValue("not-the-secret"))

    with pytest.raises(ClientRejected, match="invalid_client") as caught:
        await acme.api.refresh(wrong, acme.refresh_token)

    assert "not-the-secret" not in caught.value.message
    assert acme.simulator.ledger.spent(acme.refresh_token.reveal()) == 0


@pytest.mark.parametrize(("client_id", "secret"), [("", "s"), ("i", ""), ("i", "se\ncret"), ("i", "пароль")])
async def test_a_malformed_client_is_rejected_before_anything_is_sent(acme: Acme, client_id: str, secret: str) -> None:
    """RFC 6749 appendix A defines its characters."""
    odd = ClientCredentials(client_id=client_id, client_secret=SecretValue(secret))

    with pytest.raises(ClientRejected):
        await acme.api.refresh(odd, acme.refresh_token)

    assert acme.simulator.ledger.calls == []


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize(
    ("kind", "trouble"),
    [
        (FaultKind.DROP, RefreshUncertain),
        (FaultKind.CUT, RefreshUncertain),
        (FaultKind.HANG, RefreshUncertain),
        (FaultKind.STATUS, RefreshUncertain),
        (FaultKind.HTML, RefreshUncertain),
        (FaultKind.NO_TOKEN, RefreshUncertain),
        (FaultKind.NO_ERROR, RefreshUncertain),
        (FaultKind.DAILY_LIMIT, RateLimited),
        (FaultKind.BURST_LIMIT, RateLimited),
        (FaultKind.CLOUDFLARE, RateLimited),
        (FaultKind.PAYMENT_REQUIRED, AccountNotOpen),
    ],
)
async def test_a_failed_refresh_is_sent_once_and_reported_correctly(
    acme: Acme, kind: FaultKind, effect: Effect, trouble: type[Trouble]
) -> None:
    """The adapter cannot know whether it took effect; the ledger does. No layer sends it again."""
    token = acme.refresh_token
    acme.simulator.faults.add(Fault(kind=kind, effect=effect))

    with pytest.raises(Trouble) as caught:
        await acme.refresh(token)

    assert type(caught.value) is trouble
    assert len(acme.simulator.ledger.refreshes()) == 1
    assert acme.simulator.ledger.spent(token.reveal()) == (1 if effect is AFTER else 0)
    assert token.reveal() not in caught.value.message
    assert acme.app.client_secret not in caught.value.message


async def test_a_response_without_a_refresh_token_keeps_the_one_that_was_sent(acme: Acme) -> None:
    """RFC 6749, section 6: issuing a new one is optional."""
    sent = acme.refresh_token
    acme.simulator.faults.add(Fault(kind=FaultKind.NO_REFRESH_TOKEN))

    assert (await acme.refresh(sent)).refresh_token == sent


async def test_a_lifetime_in_quotes_is_read(acme: Acme) -> None:
    """The tests of Pipedrive's own client contain one."""
    acme.simulator.faults.add(Fault(kind=FaultKind.TEXT_EXPIRY))

    assert (await acme.refresh()).expires_in == timedelta(seconds=3599)


async def test_a_foreign_api_domain_is_refused(acme: Acme) -> None:
    """The token would be sent to it."""
    acme.simulator.switches.api_domain = "https://{company_domain}.evil.example"

    with pytest.raises(TokenResponseUnusable, match="api_domain"):
        await acme.refresh()


async def test_a_response_after_the_time_out_is_read(acme: Acme) -> None:
    """It is the only copy of the new tokens; four time-outs must pass until it is given up."""
    acme.simulator.faults.add(Fault(kind=FaultKind.SLOW, endpoint=Endpoint.TOKEN, delay=2 * TIMEOUT.total_seconds()))
    async with adapter(acme.simulator.url, timeout=TIMEOUT) as api:
        answer = await api.refresh(acme.client, acme.refresh_token)

    assert SecretValue(acme.simulator.newest_refresh_token(acme.grant_id)) == answer.refresh_token
    assert [Outcome.ACCEPTED] == [call.outcome for call in acme.simulator.ledger.refreshes()]


async def test_a_response_that_arrived_while_the_process_was_stopped_is_read() -> None:
    """It wakes up after its time-out, and the response is the only copy of the new tokens."""
    fields = {"access_token": "a", "refresh_token": "r", "token_type": "Bearer", "expires_in": 60, "scope": "base"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(
            target=_answer_soon, args=(listener, json.dumps(fields | {"api_domain": "http://127.0.0.1:1"}))
        )
        server.start()
        async with adapter(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=TIMEOUT) as api:
            answer = await api.refresh(CLIENT, SecretValue("seed"), fence=_stop_the_process_soon)
        server.join()

    assert SecretValue("r") == answer.refresh_token


def _answer_soon(listener: socket.socket, body: str) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        time.sleep(TIMEOUT.total_seconds() / 2)  # Pipedrive takes its time
        connection.sendall(http_answer("200 OK", body))


async def _stop_the_process_soon() -> None:
    """Block the process from just after the request until after the time-out."""
    asyncio.get_running_loop().call_later(0.05, time.sleep, 2 * TIMEOUT.total_seconds())
