"""Vault has changed since it was read or written: nothing is overwritten, and nothing is sent that is spent."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.escrow import build_escrow
from pipedrive_operator.core.grant.candidate import with_candidate
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.terms import Terms
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    ClientRejected,
    ConsentRequired,
    FenceClosed,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    Trouble,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, GRANT_LOCATION, GRANT_SOURCE, access_token
from support.exchanges import ConsentSurroundings
from support.refresh import Surroundings

ALIVE = access_token(lifetime=timedelta(hours=9))


@pytest.fixture
def consent() -> ConsentSurroundings:
    """Provide an exchange with a grant in Vault that no refresh has written yet."""
    made = ConsentSurroundings()
    made.vault.put(GRANT_LOCATION, refresh_token="seed", note="ours to keep")
    return made


def restored_with_a_consent(around: Surroundings) -> None:
    """Restore Vault from a backup, and let a consent count up to the version of our intent again."""
    ours = around.vault.documents[GRANT_LOCATION]
    around.vault.documents[GRANT_LOCATION] = replace(ours, values={"refresh_token": "consented"})


def lose_the_next_acknowledgement(around: ConsentSurroundings, edit: Callable[[], None]) -> None:
    """Let the next write land without an answer, and let a person edit the document right after it."""
    around.vault.breaks_after, around.vault.mends_after = len(around.vault.writes), len(around.vault.writes) + 1
    around.vault.loses_acknowledgements = True
    around.vault.on_loss = edit


@pytest.mark.parametrize(
    "trouble", [RateLimited("429"), ClientRejected("invalid_client"), ConsentRequired("invalid_grant")]
)
async def test_a_withdrawn_intent_does_not_overwrite_a_consent_with_the_same_version_number(
    around: Surroundings, trouble: Trouble
) -> None:
    """Pipedrive was slow to refuse, and the comparison of version numbers shows nothing after a restore."""
    task = await around.begin()
    restored_with_a_consent(around)
    around.pipedrive.breaks = trouble
    around.clock.turn(timedelta(seconds=20))
    around.pipedrive.answer()

    with pytest.raises(Trouble):
        await task

    assert around.stored.refresh_token == SecretValue("consented")


async def test_a_consent_that_the_fence_finds_is_sent_and_not_overwritten(around: Surroundings) -> None:
    """The process was stopped between its intent and its request."""

    def stop() -> None:
        around.clock.turn(timedelta(seconds=2))
        restored_with_a_consent(around)
        around.pipedrive.before_fence = lambda: None

    around.pipedrive.alive = {"consented"}
    around.pipedrive.before_fence = stop
    task = asyncio.create_task(around.run())
    await around.clock.next_sleep()
    around.clock.turn(timedelta(seconds=1))
    await task

    assert ["consented"] == around.pipedrive.sent


async def test_a_patched_token_is_kept_in_vault_or_in_escrow_by_an_exchange(consent: ConsentSurroundings) -> None:
    """The acknowledgement of the intent was lost, and a person patched the refresh token meanwhile."""
    consent.pipedrive.consent_ends_others = False
    consent.pipedrive.alive.add("patched")
    lose_the_next_acknowledgement(consent, lambda: _patch(consent, refresh_token="patched"))

    await consent.in_time(consent.exchange.run(consent.order(), consent.claim))

    assert consent.values["refresh_token"] == "patched"
    assert consent.cluster.escrow


@pytest.mark.parametrize("edit", [{"refresh_token": "patched"}, {"note": "edited"}])
async def test_a_refused_code_reverts_no_edit_after_a_lost_acknowledgement(
    consent: ConsentSurroundings, edit: dict[str, object]
) -> None:
    """Removing the intent writes what Vault holds, not what was read before the intent."""
    order = consent.order()
    consent.pipedrive.codes.clear()
    lose_the_next_acknowledgement(consent, lambda: _patch(consent, **edit))

    found = await consent.in_time(consent.exchange.run(order, consent.claim))

    assert found is not None
    assert found.reason is ConsentReason.CODE_REFUSED
    assert edit.items() <= consent.values.items()
    assert "refresh_id" not in consent.values


async def test_an_intent_of_an_exchange_is_not_withdrawn_over_a_consent(consent: ConsentSurroundings) -> None:
    """Vault was restored while Pipedrive looked at the code, and a person has consented by hand since."""
    order = consent.order()
    consent.pipedrive.codes.clear()
    task = await consent.begin_exchange(order)
    restored_with_a_consent(consent)
    consent.clock.turn(timedelta(seconds=20))
    consent.pipedrive.answer()
    await task

    assert consent.values == {"refresh_token": "consented"}


@pytest.mark.parametrize("company", [ACCOUNT, Account(company_id=99, company_domain="other", user_id=7)])
async def test_a_decision_about_a_candidate_does_not_overwrite_a_consent_with_the_same_version_number(
    consent: ConsentSurroundings, company: Account
) -> None:
    """Pipedrive took long to name the account, and Vault was restored meanwhile."""
    order = await consent.die_with_a_candidate(company=company, pinned=ACCOUNT)
    identify = consent.pipedrive.identify_access_token

    async def slowly(token: Token) -> Account:
        restored_with_a_consent(consent)
        consent.clock.turn(timedelta(seconds=5))
        return await identify(token)

    consent.pipedrive.identify_access_token = slowly  # type: ignore[method-assign]
    await consent.in_time(consent.exchange.conclude(order))

    assert consent.values["refresh_token"] == "consented"


async def test_a_candidate_is_not_sent_if_its_successor_was_stored_beside_our_intent(
    consent: ConsentSurroundings,
) -> None:
    """Another process was stopped after it had renewed the candidate, and goes on while this one is stopped."""
    order = await consent.die_with_a_candidate()
    consent.clock.turn(timedelta(hours=2))
    consent.pipedrive.alive.add("successor")

    def stop() -> None:
        consent.clock.turn(timedelta(seconds=5))
        candidate = json.loads(str(consent.values["consent_candidate"]))
        candidate |= {"refresh_token": "successor", "refreshed_from": SecretValue("refresh-2").digest()}
        _patch(consent, consent_candidate=json.dumps(candidate))
        consent.pipedrive.before_fence = lambda: None

    consent.pipedrive.before_fence = stop
    await consent.in_time(_until_settled(consent, order))

    assert ["code-1", "successor"] == consent.pipedrive.sent


async def test_an_older_result_does_not_overwrite_the_candidate_that_was_renewed_with_it(
    consent: ConsentSurroundings,
) -> None:
    """A result was kept in escrow, and another process stored and renewed it before its own process went on."""
    consent.pipedrive.spoils_answers = True
    order = consent.order()
    older = await consent.begin_exchange(order)
    consent.vault.breaks = VaultUnavailable("the way to Vault is cut")
    consent.pipedrive.answer()
    await consent.clock.somebody_sleeps.wait()
    consent.vault.breaks, consent.pipedrive.spoils_answers, consent.pipedrive.gate = None, False, None
    with consent.clock.stopped():
        await _renew_in_another_process(consent, order)
    renewed = consent.held
    await consent.in_time(older)

    assert consent.stored.refresh_token == renewed.refresh_token
    assert ["code-1", "refresh-2"] == consent.pipedrive.sent


async def test_an_older_result_in_escrow_is_not_sent_after_its_renewal_was_refused(
    consent: ConsentSurroundings,
) -> None:
    """Its process died after Vault had stored it, and before the copy was dropped. The renewed one is in Vault."""
    order = await consent.die_with_a_candidate()
    older = consent.held
    await consent.escrow.keep(GRANT_LOCATION, older, "them-1", SecretValue("hush"))
    renewed = replace(older, refresh_token=SecretValue("renewed"), token=None, refreshed_from=older.lineage)
    _patch(consent, **with_candidate(consent.values, renewed))
    consent.pipedrive.alive = {"seed"}

    await consent.in_time(consent.exchange.conclude(order))
    await consent.in_time(consent.run())

    assert ["code-1", "renewed", "seed"] == consent.pipedrive.sent
    assert {} == consent.cluster.escrow


async def test_a_candidate_is_not_sent_beside_the_request_of_another_holder(consent: ConsentSurroundings) -> None:
    """The caller has looked at an older version, in which there was no intent."""
    await consent.die_with_a_candidate()
    consent.clock.turn(timedelta(hours=2))
    intent = {"refresh_id": "them-1", "refresh_holder": "them", "refresh_timeout": "32s", "refresh_consent": "uid"}
    _patch(consent, **intent)
    before = consent.clock.now()

    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert ["code-1", "refresh-2"] == consent.pipedrive.sent
    assert consent.clock.now() - before > timedelta(seconds=32)


async def test_a_copy_exists_before_the_request_of_another_holder_is_awaited(consent: ConsentSurroundings) -> None:
    """Another cluster has stored a candidate, and is renewing it, when our late answer arrives."""
    task = await consent.begin_exchange()
    terms = Terms(consent="another", consent_generation=2, expected=None, over=None)
    other = Grant(refresh_token=SecretValue("other"), client_id="client", terms=terms)
    intent = {"refresh_id": "them-1", "refresh_holder": "them", "refresh_timeout": "77s", "refresh_consent": "another"}
    consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, other) | intent)
    consent.clock.turn(timedelta(seconds=20))
    consent.clock.somebody_sleeps.clear()
    consent.pipedrive.answer()

    await consent.clock.somebody_sleeps.wait()

    assert consent.cluster.escrow
    task.cancel()


async def test_a_candidate_is_not_sent_if_its_successor_arrives_beside_our_intent(consent: ConsentSurroundings) -> None:
    """Its holder was stopped for long; the acknowledgement of our intent was lost, so the document is read again."""
    order = await consent.die_with_a_candidate()
    consent.clock.turn(timedelta(hours=2))
    spent = consent.held
    renewed = replace(spent, refresh_token=SecretValue("renewed"), refreshed_from=spent.lineage)
    consent.pipedrive.alive = {"renewed"}
    lose_the_next_acknowledgement(
        consent, lambda: consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, renewed))
    )

    await consent.in_time(consent.exchange.conclude(order))

    assert ["code-1", "renewed"] == consent.pipedrive.sent


async def test_an_intent_is_no_unanswered_refresh_if_the_successor_arrived_beside_it(
    consent: ConsentSurroundings,
) -> None:
    """Nothing was sent under it, so the promoted successor has no renewal of unknown outcome."""
    order = await consent.die_with_a_candidate()
    consent.clock.turn(timedelta(hours=2))
    spent = consent.held
    renewed = replace(spent, refresh_token=SecretValue("renewed"), refreshed_from=spent.lineage, token=ALIVE)
    consent.pipedrive.accounts[ALIVE.value.reveal()] = ACCOUNT
    lose_the_next_acknowledgement(
        consent, lambda: consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, renewed))
    )

    await consent.in_time(consent.exchange.conclude(order))

    assert SecretValue("renewed") == consent.stored.refresh_token
    assert consent.stored.unanswered is None


async def test_a_candidate_is_not_dropped_over_our_intent_of_unknown_outcome(consent: ConsentSurroundings) -> None:
    """Pipedrive may be processing the refresh of the grant still, and other holders wait for the intent."""
    consent.pipedrive.consent_ends_others = False
    order = await consent.die_with_a_candidate(company=Account(company_id=99, company_domain="other", user_id=7))
    _patch(consent, refresh_token="seed")
    consent.clock.turn(timedelta(minutes=3))
    identify = consent.pipedrive.identify_access_token
    consent.pipedrive.identify_access_token = _fail  # type: ignore[method-assign,assignment]
    await consent.in_time(consent.lose_an_answer())
    consent.pipedrive.identify_access_token = identify  # type: ignore[method-assign]

    with pytest.raises(RefreshUncertain):
        await consent.in_time(consent.exchange.conclude(order))

    assert consent.stored.intent is not None
    consent.clock.turn(timedelta(minutes=2))
    await consent.in_time(consent.exchange.conclude(order))
    assert consent.candidate is None


async def _fail(_: Token) -> Account:
    raise PipedriveUnavailable("503")


async def _renew_in_another_process(consent: ConsentSurroundings, order: Any) -> None:
    """Store what is in escrow, and renew it; Pipedrive does not say whose it is."""
    consent.escrow = build_escrow(consent.cluster)
    consent.take_over()
    await consent.escrow.load()
    identify = consent.pipedrive.identify_access_token

    async def refuse(_: Token) -> Account:
        raise RateLimited("429")

    consent.pipedrive.identify_access_token = refuse  # type: ignore[method-assign,assignment]
    with pytest.raises(RateLimited):
        await consent.in_time(consent.exchange.conclude(order))
    consent.pipedrive.identify_access_token = identify  # type: ignore[method-assign]


async def _until_settled(consent: ConsentSurroundings, order: Any) -> None:
    """Conclude again after a request that was not sent, as the reconciler does."""
    try:
        await consent.exchange.conclude(order)
    except FenceClosed:
        await consent.exchange.conclude(order)


def _patch(consent: ConsentSurroundings, **values: object) -> None:
    consent.vault.put(GRANT_LOCATION, **(consent.values | values))
