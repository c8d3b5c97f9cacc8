"""Candidates: the consent of a process that died is completed by any other, and nothing is lost."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    FenceClosed,
    PipedriveUnavailable,
    RateLimited,
    TokenRejected,
    Trouble,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.grants.documents import LONGEST_LAG
from support.builders import ACCOUNT, GRANT_LOCATION
from support.exchanges import CONSENT, OTHER_COMPANY, ConsentSurroundings
from support.refresh import ORDER


@pytest.fixture
def around() -> ConsentSurroundings:
    """Provide an exchange with a grant in Vault, in a healthy state."""
    made = ConsentSurroundings()
    made.vault.put(GRANT_LOCATION, refresh_token="seed", refreshed_from="of old", note="ours to keep")
    return made


@pytest.mark.parametrize("company", [ACCOUNT, OTHER_COMPANY])
async def test_the_next_refresh_completes_the_consent_of_a_dead_process(
    around: ConsentSurroundings, company: Account
) -> None:
    """It is promoted if the account is right. Otherwise it is dropped, and the grant in Vault stays in use."""
    around.pipedrive.consent_ends_others = False
    await around.die_with_a_candidate(company=company, pinned=ACCOUNT)

    await around.in_time(around.run())

    assert around.candidate is None
    is_promoted = company == ACCOUNT
    assert is_promoted is (around.stored.consent == CONSENT)
    assert (["code-1"] if is_promoted else ["code-1", "seed"]) == around.pipedrive.sent
    assert around.stored.unanswered is None


async def test_a_candidate_that_pipedrive_refuses_is_dropped(around: ConsentSurroundings) -> None:
    """Pipedrive refuses both of its tokens, because the person has consented again in the meantime."""
    before = around.values
    order = await around.die_with_a_candidate()
    around.pipedrive.accounts.clear()
    around.pipedrive.alive.clear()

    found = await around.in_time(around.exchange.conclude(order))

    assert ConsentReason.UNCERTAIN is found.reason
    assert before == around.values


@pytest.mark.parametrize("trouble", [PipedriveUnavailable("503"), RateLimited("429")])
async def test_the_old_grant_is_refreshed_while_pipedrive_cannot_say_whose_the_candidate_is(
    around: ConsentSurroundings, trouble: Trouble
) -> None:
    """A consent never makes things worse."""
    around.pipedrive.consent_ends_others = False
    order = await around.die_with_a_candidate()

    async def fail(_: Token) -> Account:
        raise trouble

    identify = around.pipedrive.identify_access_token
    around.pipedrive.identify_access_token = fail  # type: ignore[method-assign,assignment]
    grant = await around.in_time(around.run())
    assert SecretValue("refresh-3") == grant.refresh_token
    assert around.candidate is not None

    around.pipedrive.identify_access_token = identify  # type: ignore[method-assign]
    found = await around.in_time(around.exchange.conclude(order))

    assert ConsentReason.CONNECTED is found.reason
    assert SecretValue("refresh-2") == around.stored.refresh_token


async def test_a_consent_outranks_what_descends_from_the_grant_that_it_replaces(around: ConsentSurroundings) -> None:
    """A stalled refresh stores its result over the intent, after the code was exchanged."""
    task = await around.begin_exchange()
    seed = SecretValue("seed").digest()
    around.vault.put(GRANT_LOCATION, refresh_token="theirs", refreshed_from=seed, first_refreshed_from=seed)
    around.pipedrive.answer()

    found = await around.in_time(task)

    assert found is not None
    assert ConsentReason.CONNECTED is found.reason
    assert SecretValue("refresh-2") == around.stored.refresh_token


async def test_a_grant_that_a_person_has_written_since_is_not_replaced(around: ConsentSurroundings) -> None:
    """It was obtained by hand after the code was exchanged, which ended the grant of the consent."""
    order = await around.die_with_a_candidate()
    candidate = around.values["consent_candidate"]
    by_hand = around.pipedrive.consent()
    around.vault.put(GRANT_LOCATION, refresh_token=by_hand, consent_candidate=candidate)

    await around.in_time(around.exchange.conclude(order))
    await around.in_time(around.run())

    assert [by_hand] == around.pipedrive.spent[1:]
    assert around.stored.refresh_token.reveal() in around.pipedrive.alive
    assert {} == around.cluster.escrow


async def test_of_two_unrelated_consents_pipedrive_decides(around: ConsentSurroundings) -> None:
    """Another consent was stored meanwhile: ours goes to escrow, and is used only if Pipedrive refuses the other."""
    order = await around.die_with_a_candidate()
    candidate = around.values["consent_candidate"]
    around.vault.put(
        GRANT_LOCATION, refresh_token="theirs", consent_uid="another", consent_candidate=candidate, access_token="x"
    )

    found = await around.in_time(around.exchange.conclude(order))

    assert ConsentReason.UNCERTAIN is found.reason
    assert "Another grant was written" in found.message
    assert SecretValue("theirs") == around.stored.refresh_token
    assert 1 == len(around.cluster.escrow)

    await around.in_time(around.run())

    assert ["code-1", "theirs"] == around.pipedrive.sent
    assert SecretValue("refresh-2") == around.stored.refresh_token
    assert {} == around.cluster.escrow


async def test_a_copy_in_escrow_of_a_candidate_that_pipedrive_refused_replaces_nothing(
    around: ConsentSurroundings,
) -> None:
    """The result was handed over, and written as a candidate again by a process that was stopped."""
    order = await around.die_with_a_candidate()
    candidate = around.values["consent_candidate"]
    theirs = {"refresh_token": "theirs", "consent_uid": "another", "access_token": "x"}
    around.vault.put(GRANT_LOCATION, **theirs, consent_candidate=candidate)
    await around.in_time(around.exchange.conclude(order))
    assert 1 == len(around.cluster.escrow)
    around.vault.put(GRANT_LOCATION, **theirs, consent_candidate=candidate)
    another = Grant(refresh_token=SecretValue("another"), refreshed_from="of another")
    await around.escrow.keep(GRANT_LOCATION, another, "us-0", SecretValue("hush"))
    around.pipedrive.accounts.clear()
    around.pipedrive.alive = {"another"}
    around.take_over()

    await around.in_time(around.run())

    assert ["code-1", "refresh-2", "theirs", "another"] == around.pipedrive.sent
    assert SecretValue("another").digest() == around.stored.refreshed_from


async def test_two_answers_of_one_consent_are_both_kept_in_escrow(around: ConsentSurroundings) -> None:
    """A grant was written by hand after each of them. If the second one were not kept, no refresh could go on."""
    for by_hand in ("theirs", "theirs too"):
        order = await around.die_with_a_candidate()
        candidate = around.values["consent_candidate"]
        around.vault.put(GRANT_LOCATION, refresh_token=by_hand, consent_candidate=candidate)
        found = await around.in_time(around.exchange.conclude(order))
        assert ConsentReason.UNCERTAIN is found.reason

    assert 2 == len(around.cluster.escrow)
    assert around.candidate is None


async def test_a_candidate_of_the_first_answer_is_settled_before_the_second_one_is_stored(
    around: ConsentSurroundings,
) -> None:
    """A stopped process stores the first one late, while the second code, of the wrong company, is exchanged."""
    await around.die_with_a_candidate()
    first = around.values["consent_candidate"]
    around.vault.put(GRANT_LOCATION, refresh_token="seed")
    task = await around.begin_exchange(around.order(company=OTHER_COMPANY, pinned=ACCOUNT))
    around.vault.put(GRANT_LOCATION, **(around.values | {"consent_candidate": first}))
    around.pipedrive.answer()

    found = await around.in_time(task)
    assert found is not None

    assert ConsentReason.WRONG_ACCOUNT is found.reason
    assert SecretValue("refresh-2") == around.stored.refresh_token
    assert around.candidate is None


async def test_a_second_answer_in_escrow_outlives_the_first_one_in_vault(around: ConsentSurroundings) -> None:
    """The first answer connected; the process that exchanged the second one died while Vault was sealed."""
    assert ConsentReason.CONNECTED is await around.connect()
    order = around.order()
    await around.seal_in_the_middle(order)
    around.take_over()
    await around.escrow.load()

    found = await around.in_time(around.exchange.conclude(order))

    assert ConsentReason.CONNECTED is found.reason
    assert SecretValue("refresh-4") == around.stored.refresh_token
    assert {} == around.cluster.escrow


@pytest.mark.parametrize("later", [timedelta(minutes=30), timedelta(hours=2)], ids=["unexpired", "expired"])
async def test_a_candidate_that_a_stopped_process_writes_again_replaces_no_newer_grant_of_its_consent(
    around: ConsentSurroundings, later: timedelta
) -> None:
    """Another process has promoted it and refreshed the grant since, which spent the candidate's refresh token."""
    order = await around.die_with_a_candidate()
    candidate = around.values["consent_candidate"]
    await around.in_time(around.exchange.conclude(order))
    around.clock.turn(later)
    replaced = around.stored.access_digest
    await around.in_time(around.protocol.run(replace(ORDER, replaces=replaced), around.states.append))
    newest = around.stored.refresh_token
    around.vault.put(GRANT_LOCATION, **(around.values | {"consent_candidate": candidate}))

    found = await around.in_time(around.exchange.conclude(order))
    await around.in_time(around.run())

    assert ConsentReason.CONNECTED is found.reason
    assert newest == around.stored.refresh_token
    assert newest.reveal() in around.pipedrive.alive
    assert around.candidate is None
    assert {} == around.cluster.escrow


async def test_a_code_whose_result_died_with_its_process_is_not_sent_again(around: ConsentSurroundings) -> None:
    """No protocol can close this window. The person opens the link again."""
    task = await around.begin_exchange()
    task.cancel()
    around.take_over()
    order = around.order()

    found = await around.in_time(around.exchange.conclude(order))

    assert ConsentReason.UNCERTAIN is found.reason
    assert ["code-1"] == around.pipedrive.sent
    assert around.clock.monotonic() > 30


async def test_a_dead_exchange_counts_as_no_unanswered_refresh(around: ConsentSurroundings) -> None:
    """It spent no refresh token."""
    task = await around.begin_exchange()
    task.cancel()
    around.pipedrive.gate = None
    around.take_over()
    around.pipedrive.alive.add("seed")

    await around.in_time(around.run())

    assert around.stored.unanswered is None
    assert SecretValue("refresh-2") == around.stored.refresh_token


async def test_a_process_that_shuts_down_does_not_wait_for_a_standby(around: ConsentSurroundings) -> None:
    """The next process finds out whether the result of the exchange was stored."""
    around.protocol.stop_sending()

    with pytest.raises(FenceClosed):
        await around.in_time(around.exchange.conclude(around.order()))

    assert around.clock.monotonic() < LONGEST_LAG.total_seconds()


async def test_nobody_waits_for_the_intent_of_an_exchange_whose_result_is_stored(around: ConsentSurroundings) -> None:
    """Pipedrive was slow, so the document was read again before the result was stored."""
    task = await around.begin_exchange()
    around.clock.turn(timedelta(seconds=20))
    around.pipedrive.identify_access_token = asyncio.Event().wait  # type: ignore[method-assign,assignment]
    around.pipedrive.answer()
    while around.candidate is None:  # noqa: ASYNC110  a turn of the loop, not a time
        await asyncio.sleep(0)
    task.cancel()

    assert "refresh_id" not in around.values


async def test_a_lost_acknowledgement_of_the_promotion_is_no_failure(around: ConsentSurroundings) -> None:
    """Vault holds the grant with the consent's uid."""
    order = around.order()
    around.vault.loses_acknowledgements = True
    around.vault.breaks_after, around.vault.mends_after = len(around.vault.writes) + 2, len(around.vault.writes) + 3

    with pytest.raises(VaultUnavailable):
        await around.in_time(around.exchange.run(order, around.claim))
    found = await around.in_time(around.exchange.conclude(order))

    assert ConsentReason.CONNECTED is found.reason
    assert found.account == ACCOUNT


async def test_a_token_is_rejected_only_after_a_second_one(around: ConsentSurroundings) -> None:
    """The first rejection may be about the token alone, which one refresh replaces."""
    identify, rejections = around.pipedrive.identify_access_token, iter([TokenRejected("401")])

    async def reject_once(token: Token) -> Account:
        for rejection in rejections:
            raise rejection
        return await identify(token)

    around.pipedrive.identify_access_token = reject_once  # type: ignore[method-assign]

    assert await around.connect() is ConsentReason.CONNECTED
    assert ["code-1", "refresh-2"] == around.pipedrive.sent
