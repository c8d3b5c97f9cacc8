"""The ledger shows whether a refresh token was spent once, twice, or twice at the same time."""

import asyncio

import pytest

from integration.simulator.acme import START, Acme
from testbed.pipedrive import Effect, Fault, FaultKind, Outcome, Rotation, digest_of


async def test_calls_are_found_by_grant_and_token(acme: Acme) -> None:
    """A call has the generation of its refresh token, and digests instead of tokens."""
    acme.simulator.switches.rotate = Rotation.ALWAYS
    first = acme.install()
    second = (await acme.refresh(first["refresh_token"])).json
    await acme.refresh(second["refresh_token"])
    await acme.me(first["access_token"])

    by_token = acme.simulator.ledger.by_token("grant-1")

    tokens = [first["refresh_token"], second["refresh_token"], first["access_token"]]
    assert list(by_token) == [digest_of(token) for token in tokens]
    assert [calls[0].subject.generation for calls in by_token.values()] == [1, 2, None]
    assert not any(token in repr(acme.simulator.ledger.calls) for token in tokens)


async def test_a_call_records_when_and_how_it_ended(acme: Acme) -> None:
    """Time, outcome, status, delivery, and the token that was issued."""
    acme.simulator.switches.rotate = Rotation.ALWAYS
    token = acme.install()["refresh_token"]

    answer = (await acme.refresh(token)).json

    [call] = acme.simulator.ledger.of_token(token)
    assert (call.started_at, call.ended_at) == (START, START)
    assert (call.outcome, call.status, call.delivered) == (Outcome.ACCEPTED, 200, True)
    assert (call.rotated, call.issued) == (True, digest_of(answer["refresh_token"]))
    assert (call.subject.client_id, call.subject.company_id) == (acme.app.client_id, acme.company.id)


async def test_a_refusal_and_a_replay_are_recorded(acme: Acme) -> None:
    """A token that had a successor is a replay, an unknown one is not."""
    acme.simulator.switches.rotate = Rotation.ALWAYS
    token = acme.install()["refresh_token"]
    for value in (token, token, "unknown"):
        await acme.refresh(value)

    calls = acme.simulator.ledger.refreshes()

    assert [call.replayed for call in calls] == [False, True, False]
    assert [call.error for call in calls] == [None, "invalid_grant", "invalid_grant"]
    assert acme.simulator.ledger.refreshes("grant-1") == calls[:2]


async def test_an_api_call_records_user_and_credential(acme: Acme) -> None:
    """API tokens, which have no grant, are recorded as well."""
    await acme.ask("GET", "/v1/users/me", headers={"x-api-token": acme.user.api_token})

    [call] = acme.simulator.ledger.of_token(acme.user.api_token)

    assert (call.subject.credential, call.subject.user_id) == ("api_token", acme.user.id)
    assert call.outcome is Outcome.ACCEPTED


async def test_two_requests_in_sequence_do_not_overlap(acme: Acme) -> None:
    """They may send the same token if tokens do not rotate."""
    token = acme.install()["refresh_token"]

    for _ in range(2):
        await acme.refresh(token)

    assert acme.simulator.ledger.spent(token) == 2
    assert acme.simulator.ledger.overlaps() == []


@pytest.mark.parametrize(
    ("rotate", "spent", "double"),
    [(Rotation.NEVER, 2, 0), (Rotation.ALWAYS, 1, 1), (Rotation.GRACE, 2, 1)],
)
async def test_a_token_sent_again_after_its_exchange_is_double_spent(
    acme: Acme, rotate: Rotation, spent: int, double: int
) -> None:
    """Whether it was accepted again or not. Without rotation, sending it again is normal."""
    acme.simulator.switches.rotate = rotate
    token = acme.install()["refresh_token"]

    for _ in range(2):
        await acme.refresh(token)

    found = acme.simulator.ledger.double_spent()
    assert acme.simulator.ledger.spent(token) == spent
    assert [case.digest for case in found] == [digest_of(token)] * double
    assert all(case.spent.delivered and len(case.again) == 1 for case in found)


async def test_a_token_spent_once_is_not_double_spent(acme: Acme) -> None:
    """Each refresh uses the successor of the one before."""
    acme.simulator.switches.rotate = Rotation.ALWAYS
    token = acme.install()["refresh_token"]

    for _ in range(3):
        token = (await acme.refresh(token)).json["refresh_token"]

    assert acme.simulator.ledger.double_spent() == []
    assert acme.simulator.ledger.overlaps() == []


async def test_two_requests_at_a_time_overlap_even_if_the_clock_stands_still(acme: Acme) -> None:
    """The order of events decides, not the time."""
    token = acme.install()["refresh_token"]
    acme.simulator.faults.add(Fault(kind=FaultKind.HANG, effect=Effect.AFTER, times=1))
    first = asyncio.create_task(acme.refresh(token))
    await acme.simulator.ledger.until(lambda ledger: len(ledger.in_flight()) == 1)
    second = await acme.refresh(token)
    during = acme.simulator.ledger.overlaps()

    acme.simulator.faults.clear()
    await first

    calls = acme.simulator.ledger.calls
    assert second.status == 200
    assert during == acme.simulator.ledger.overlaps() == [(calls[0], calls[1])]


async def test_waiting_for_a_condition_that_never_holds_ends(acme: Acme) -> None:
    """It raises TimeoutError."""
    with pytest.raises(TimeoutError):
        await acme.simulator.ledger.until(lambda ledger: bool(ledger.calls), within=0.01)
