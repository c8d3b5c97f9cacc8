"""After an unknown outcome nobody sends the same token for a minute, and nothing hides that it may be in flight."""

from datetime import timedelta

import pytest

from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import RefreshUncertain
from pipedrive_operator.grants.values import ExchangeOrder
from support.builders import ACCOUNT, GRANT_LOCATION
from support.exchanges import OTHER_COMPANY, ConsentSurroundings

MINUTE = timedelta(minutes=1)


@pytest.fixture
def consent() -> ConsentSurroundings:
    """Provide an exchange with a grant in Vault, in a healthy state."""
    made = ConsentSurroundings()
    made.vault.put(GRANT_LOCATION, refresh_token="seed")
    return made


async def refresh_a_candidate_without_an_answer(consent: ConsentSurroundings) -> ExchangeOrder:
    """Let the connection break after Pipedrive has spent the candidate's token, and return the order."""
    order = await consent.die_with_a_candidate()
    consent.clock.turn(timedelta(hours=2))
    consent.pipedrive.network.loses_answers, consent.pipedrive.network.hangs = 1, 0
    with pytest.raises(RefreshUncertain):
        await consent.in_time(consent.exchange.conclude(order))
    return order


async def test_a_candidate_is_sent_again_only_after_a_minute(consent: ConsentSurroundings) -> None:
    """The connection broke while Pipedrive worked. The intent stays, so that other holders wait too."""
    order = await refresh_a_candidate_without_an_answer(consent)
    assert "refresh_id" in consent.values

    consent.clock.turn(timedelta(seconds=5))
    with pytest.raises(RefreshUncertain) as caught:
        await consent.in_time(consent.exchange.conclude(order))

    assert ["code-1", "refresh-2"] == consent.pipedrive.sent
    assert caught.value.retry_after == MINUTE - timedelta(seconds=5)


async def test_a_defect_while_a_grant_is_refreshed_leaves_an_unknown_outcome(consent: ConsentSurroundings) -> None:
    """The request may have left before it. Every credential of the grant waits, and the intent stays."""
    consent.pipedrive.breaks = ZeroDivisionError("a defect")  # no port raises it
    with pytest.raises(ZeroDivisionError):
        await consent.run()
    consent.pipedrive.breaks = None

    with pytest.raises(RefreshUncertain) as caught:
        await consent.run()

    assert ["seed"] == consent.pipedrive.sent
    assert caught.value.retry_after == MINUTE
    assert "refresh_id" in consent.values


async def test_a_defect_while_a_candidate_is_refreshed_leaves_an_unknown_outcome(consent: ConsentSurroundings) -> None:
    """The same holds for it."""
    order = await consent.die_with_a_candidate()
    consent.clock.turn(timedelta(hours=2))
    consent.pipedrive.breaks = ZeroDivisionError("a defect")
    with pytest.raises(ZeroDivisionError):
        await consent.in_time(consent.exchange.conclude(order))
    consent.pipedrive.breaks = None

    with pytest.raises(RefreshUncertain):
        await consent.in_time(consent.exchange.conclude(order))

    assert ["code-1", "refresh-2"] == consent.pipedrive.sent
    assert "refresh_id" in consent.values


async def test_another_holder_waits_before_it_sends_the_candidate_again(consent: ConsentSurroundings) -> None:
    """It sees the intent of the process whose request has an unknown outcome."""
    order = await refresh_a_candidate_without_an_answer(consent)
    consent.pipedrive.network.loses_answers = 0
    consent.take_over()
    consent.holder = "the one after that"
    consent.start()
    before = consent.clock.now()

    await consent.in_time(consent.exchange.conclude(order))

    assert consent.clock.now() - before > MINUTE
    assert ["code-1", "refresh-2", "refresh-2"] == consent.pipedrive.sent


async def test_a_consent_waits_until_the_pause_after_an_unknown_outcome_is_over(consent: ConsentSurroundings) -> None:
    """Its intent would replace the one that keeps another holder from sending the same token at once."""
    await consent.lose_an_answer()
    order = consent.order(company=OTHER_COMPANY, pinned=ACCOUNT)
    before = consent.clock.now()

    found = await consent.in_time(consent.exchange.run(order, consent.claim))

    assert found is not None
    assert found.reason is ConsentReason.WRONG_ACCOUNT
    assert consent.clock.now() - before >= MINUTE


async def test_another_holder_waits_for_a_minute_too_if_the_time_out_is_short(consent: ConsentSurroundings) -> None:
    """Our intent announces how long nobody may send the same token, not how long we await the answer."""
    consent.pipedrive.call_timeout = timedelta(seconds=2)
    consent.start()
    await consent.lose_an_answer()
    assert consent.stored.intent is not None

    assert consent.stored.intent.timeout > MINUTE
