"""The refresh protocol, step by step, from every state that a crash can leave behind."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.grant import LONGEST_SCOPE
from pipedrive_operator.core.grant.intent import LONGEST_TIMEOUT
from pipedrive_operator.core.values.errors import (
    ClientRejected,
    ConsentRequired,
    FenceClosed,
    InvalidSpec,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    SourceMissing,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.fairness.slots import serving
from pipedrive_operator.grants.intents import INTENT_POLL, INTENT_POLLS_PER_SECOND
from support.builders import CLIENT_SOURCE, GRANT_LOCATION
from support.refresh import ORDER, Surroundings

ANOTHERS = {
    "refresh_id": "them-1",
    "refresh_holder": "them",
    "refresh_started_at": "2026-03-04T11:59:00Z",
    "refresh_timeout": "32s",
}


async def test_the_intent_is_in_vault_before_the_token_is_sent(around: Surroundings) -> None:
    """It proves that Vault is writable, and reserves the next version."""
    task = await around.begin()
    intent = around.stored.intent
    around.pipedrive.answer()
    await task

    assert intent is not None
    assert ("us", "us-1") == (intent.holder, intent.refresh_id)
    assert around.stored.intent is None


async def test_the_lifetime_of_a_token_is_counted_from_the_request(around: Surroundings) -> None:
    """Pipedrive may have issued the token at once and answered late; it must be replaced before it expires."""
    asked_at = around.clock.now()
    task = await around.begin()
    around.clock.turn(timedelta(seconds=40))
    around.pipedrive.answer()
    await task

    assert around.stored.token is not None
    assert asked_at + around.pipedrive.lifetime == around.stored.token.expires_at


async def test_no_token_is_spent_if_vault_cannot_be_written(around: Surroundings) -> None:
    """Nothing is sent."""
    around.vault.breaks_after = 0

    with pytest.raises(VaultUnavailable):
        await around.run()

    assert [] == around.pipedrive.sent


async def test_an_intent_whose_acknowledgement_was_lost_is_ours(around: Surroundings) -> None:
    """It is recognised by its id, and the refresh continues."""
    around.vault.breaks_after = 0
    around.vault.loses_acknowledgements = True
    around.vault.mends_after = 1

    await around.run()

    assert ["seed"] == around.pipedrive.sent
    assert SecretValue("refresh-1") == around.stored.refresh_token


async def test_the_intent_of_another_holder_is_waited_for(around: Surroundings) -> None:
    """The holder finishes, and its result is used."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **ANOTHERS)
    task = asyncio.create_task(around.run())
    await around.clock.somebody_sleeps.wait()
    assert [] == around.pipedrive.sent

    around.vault.put(GRANT_LOCATION, refresh_token="theirs", access_token="theirs", expires_at="2026-03-04T13:00:00Z")
    around.clock.turn(timedelta(seconds=2))

    assert SecretValue("theirs") == (await task).refresh_token
    assert [] == around.pipedrive.sent


async def test_forged_intents_cause_a_bounded_number_of_reads(around: Surroundings) -> None:
    """A tenant can write another intent into each of its documents all the time; nobody waits for it but itself."""
    locations = [replace(GRANT_LOCATION, path=f"pipedrive/hostile/{number}") for number in range(300)]
    tasks = []
    for location in locations:
        order = replace(ORDER, source=replace(ORDER.source, location=location))
        with serving("hostile"):
            tasks.append(asyncio.create_task(around.protocol.run(order, around.states.append)))
    for second in range(10):
        for location in locations:
            around.vault.put(location, refresh_token="mine", refresh_id=f"{second}", refresh_holder="nobody")
        around.clock.turn(timedelta(seconds=1))
        for _ in range(20):
            await asyncio.sleep(0)

    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert len(locations) < len(around.vault.reads) <= len(locations) + 12 * INTENT_POLLS_PER_SECOND


async def test_forged_intents_do_not_delay_the_end_of_the_process(around: Surroundings) -> None:
    """The Lease is held until all refreshes have ended; a thousand forged intents wait their turn for a minute."""
    tasks = []
    for number in range(1000):
        location = replace(GRANT_LOCATION, path=f"pipedrive/hostile/{number}")
        around.vault.put(location, refresh_token="mine", refresh_id="1", refresh_holder="nobody")
        order = replace(ORDER, source=replace(ORDER.source, location=location))
        with serving("hostile"):
            tasks.append(asyncio.create_task(around.protocol.run(order, around.states.append)))
    while around.clock.sleepers < len(tasks):  # noqa: ASYNC110  turns of the loop, not a time
        await asyncio.sleep(0)

    around.protocol.stop_sending()
    around.clock.turn(INTENT_POLL)

    ended, _ = await asyncio.wait(tasks, timeout=10)
    assert len(tasks) == len(ended)


async def test_the_intent_of_a_dead_holder_is_taken_over(around: Surroundings) -> None:
    """It was unchanged for longer than it claims, by our own clock, and counts as an unanswered refresh."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **ANOTHERS)
    task = asyncio.create_task(around.run())
    for _ in range(16):
        await around.clock.next_sleep()
        assert not task.done()
        around.clock.turn(timedelta(seconds=2))
    await around.clock.next_sleep()
    around.clock.turn(timedelta(seconds=2))

    await task

    assert ["seed"] == around.pipedrive.sent
    assert around.stored.unanswered is None


@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)], ids=["forwards", "backwards"])
async def test_a_step_of_the_wall_clock_does_not_change_how_long_another_holder_is_waited_for(
    around: Surroundings, step: timedelta
) -> None:
    """The holder may be alive after a step forwards, and after a step backwards nobody waits for an hour."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **ANOTHERS)
    task = asyncio.create_task(around.run())
    await around.clock.next_sleep()
    around.clock.step(step)

    for _ in range(17):
        assert [] == around.pipedrive.sent
        around.clock.turn(INTENT_POLL)
        for _ in range(20):
            await asyncio.sleep(0)

    assert ["seed"] == around.pipedrive.sent
    await task


@pytest.mark.parametrize("stated", ["for ever", "99999h"])
async def test_a_damaged_intent_does_not_block_refreshes_forever(around: Surroundings, stated: str) -> None:
    """Its stated time-out is bounded."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **(ANOTHERS | {"refresh_timeout": stated}))

    assert around.stored.intent is not None
    assert LONGEST_TIMEOUT == around.stored.intent.timeout


async def test_a_refusal_after_a_dead_holder_names_the_unanswered_refresh(around: Surroundings) -> None:
    """The message says which holder started it, and when."""
    around.vault.put(GRANT_LOCATION, refresh_token="spent", **ANOTHERS)
    task = asyncio.create_task(around.run())
    for _ in range(17):
        await around.clock.next_sleep()
        around.clock.turn(timedelta(seconds=2))

    with pytest.raises(ConsentRequired, match="2026-03-04T11:59:00Z by them, went unanswered"):
        await task


async def test_our_own_left_over_intent_is_not_waited_for(around: Surroundings) -> None:
    """No other process holds it, but its outcome is unknown."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **(ANOTHERS | {"refresh_holder": "us"}))

    await around.run()

    assert ["seed"] == around.pipedrive.sent


@pytest.mark.parametrize("trouble", [PipedriveUnavailable("refused"), RateLimited("429")])
async def test_an_intent_is_withdrawn_if_nothing_was_sent(around: Surroundings, trouble: Exception) -> None:
    """Otherwise other holders would wait for it."""
    around.pipedrive.breaks = trouble

    with pytest.raises(type(trouble)):
        await around.run()

    assert (None, None) == (around.stored.intent, around.stored.unanswered)


async def test_after_an_unknown_outcome_the_same_token_is_sent_again_and_its_refusal_explained(
    around: Surroundings,
) -> None:
    """The intent stays as the record, and other holders wait for it."""
    await around.lose_an_answer()
    assert around.stored.intent is not None
    around.clock.turn(timedelta(minutes=1))

    with pytest.raises(ConsentRequired, match="by us, went unanswered"):
        await around.run()

    assert ["seed", "seed"] == around.pipedrive.sent
    stored = around.stored
    assert stored.unanswered is not None
    assert (1, None) == (stored.unanswered.count, stored.intent)


@pytest.mark.parametrize("call_timeout", [15, 2])
async def test_nothing_is_sent_for_a_minute_after_an_unknown_outcome(around: Surroundings, call_timeout: int) -> None:
    """Pipedrive may be processing the request still. The trouble names the rest of the pause."""
    around.pipedrive.call_timeout = timedelta(seconds=call_timeout)
    around.start()
    trouble = await around.lose_an_answer()
    assert timedelta(minutes=1) == trouble.retry_after
    around.clock.turn(timedelta(seconds=20))

    with pytest.raises(RefreshUncertain) as caught:
        await around.protocol.run(replace(ORDER, is_requested=True), print)

    assert (trouble.message, timedelta(seconds=40)) == (caught.value.message, caught.value.retry_after)
    assert ["seed"] == around.pipedrive.sent


async def test_a_longer_time_out_makes_the_pause_after_an_unknown_outcome_longer(around: Surroundings) -> None:
    """It lasts for as long as the answer was awaited."""
    around.pipedrive.call_timeout = timedelta(seconds=30)
    around.start()

    assert timedelta(minutes=2) == (await around.lose_an_answer()).retry_after


async def test_a_consent_ends_the_pause_after_an_unknown_outcome(around: Surroundings) -> None:
    """Its refresh token was never sent."""
    await around.lose_an_answer()
    around.vault.put(GRANT_LOCATION, refresh_token="consented")
    around.pipedrive.alive.add("consented")

    await around.run()

    assert ["seed", "consented"] == around.pipedrive.sent


async def test_another_holder_waits_after_an_unknown_outcome(around: Surroundings) -> None:
    """The process may die, or lose the Lease, before its pause is over."""
    await around.lose_an_answer()
    around.holder = "them"
    around.start()
    task = asyncio.create_task(around.run())
    for _ in range(30):
        await around.clock.next_sleep()
        assert ["seed"] == around.pipedrive.sent
        around.clock.turn(timedelta(seconds=2))
    task.cancel()


@pytest.mark.parametrize("seconds", [0.0, 14.0])
async def test_nothing_is_sent_without_leadership_for_the_whole_call(around: Surroundings, seconds: float) -> None:
    """The fence is closed, and the intent is withdrawn."""
    around.leadership.seconds = seconds

    with pytest.raises(FenceClosed):
        await around.run()

    assert [] == around.pipedrive.sent
    assert around.stored.intent is None


@pytest.mark.parametrize(("seconds", "is_sent"), [(29.0, False), (31.0, True)])
async def test_a_longer_time_out_needs_a_lease_that_lasts_longer(
    around: Surroundings, seconds: float, *, is_sent: bool
) -> None:
    """`pipedrive.timeout` is a setting, and the call may take that long."""
    around.pipedrive.call_timeout = timedelta(seconds=30)
    around.start()
    around.leadership.seconds = seconds

    with suppress(FenceClosed):
        await around.run()

    assert (["seed"] if is_sent else []) == around.pipedrive.sent


async def test_nothing_is_sent_if_the_intent_may_be_taken_over_during_the_call(around: Surroundings) -> None:
    """A process that was frozen between the intent and the call finds the fence closed."""
    around.pipedrive.before_fence = lambda: around.clock.turn(timedelta(seconds=18))

    with pytest.raises(FenceClosed):
        await around.run()

    assert [] == around.pipedrive.sent


async def test_a_grant_of_another_client_is_neither_sent_nor_written(around: Surroundings) -> None:
    """Pipedrive would always refuse it, and each intent would be a useless write."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", client_id="another")

    with pytest.raises(InvalidSpec, match="issued to another client"):
        await around.run()

    assert ([], []) == (around.vault.writes, around.pipedrive.sent)


async def test_a_rejected_client_is_not_sent_until_vault_holds_another(around: Surroundings) -> None:
    """Each poll reads Vault, but does not send the rejected client again."""
    around.pipedrive.breaks = ClientRejected("invalid_client")
    with pytest.raises(ClientRejected):
        await around.run()
    around.pipedrive.breaks = None
    writes = len(around.vault.writes)
    with pytest.raises(ClientRejected):
        await around.run()
    assert (writes, ["seed"]) == (len(around.vault.writes), around.pipedrive.sent)

    around.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="another")

    assert SecretValue("refresh-1") == (await around.run()).refresh_token


@pytest.mark.parametrize("is_requested", [True, False])
async def test_a_rejected_client_is_tried_again_slowly_or_on_request(
    around: Surroundings, *, is_requested: bool
) -> None:
    """The app may have been fixed at Pipedrive, with the same secret."""
    around.pipedrive.breaks = ClientRejected("invalid_client")
    with pytest.raises(ClientRejected):
        await around.run()
    around.pipedrive.breaks = None
    if not is_requested:
        around.clock.turn(ORDER.slow)

    found = await around.protocol.run(replace(ORDER, is_requested=is_requested), print)

    assert SecretValue("refresh-1") == found.grant.refresh_token


async def test_an_edit_during_a_lost_acknowledgement_stays(around: Surroundings) -> None:
    """The document is used as it is when the intent is confirmed."""
    around.vault.breaks_after, around.vault.mends_after = 0, 1
    around.vault.loses_acknowledgements = True
    around.vault.on_loss = lambda: around.vault.put(
        GRANT_LOCATION, **(dict(around.vault.documents[GRANT_LOCATION].values) | {"note": "mine"})
    )

    await around.run()

    assert "mine" == around.vault.documents[GRANT_LOCATION].values["note"]
    assert SecretValue("refresh-1") == around.stored.refresh_token


async def test_a_refresh_takes_two_writes_and_two_reads(around: Surroundings) -> None:
    """The grant and the client are read, the intent and the new grant are written."""
    await around.run()

    assert [GRANT_LOCATION, CLIENT_SOURCE.location] == around.vault.reads
    assert [GRANT_LOCATION, GRANT_LOCATION] == around.vault.writes


async def test_a_grant_with_an_enormous_field_is_not_refreshed(around: Surroundings) -> None:
    """Its successor, with the same field, would be kept in memory."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", scope="s" * (LONGEST_SCOPE + 1))

    with pytest.raises(SourceMissing, match="value of key scope at"):
        await around.run()

    assert [] == around.pipedrive.sent
