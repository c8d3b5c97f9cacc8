"""The renewal of a candidate: its only copy, its intent, and what is known of it once the candidate is promoted."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.candidate import with_candidate, without_candidate
from pipedrive_operator.core.grant.document import Document, VaultLocation
from pipedrive_operator.core.grant.grant import Grant, half_refreshed_grant
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.fairness.slots import serving
from pipedrive_operator.grants.protocol import MOST_AT_ONCE
from support.builders import GRANT_LOCATION, GRANT_SOURCE, access_token
from support.exchanges import CONSENT, ConsentSurroundings
from support.refresh import ORDER

DEAD_HOLDER = {"refresh_id": "them-1", "refresh_holder": "them", "refresh_timeout": "30s"}
"""The intent of a holder that does not answer any more."""


@pytest.fixture
def around() -> ConsentSurroundings:
    """Provide an exchange with a grant in Vault, in a healthy state."""
    made = ConsentSurroundings()
    made.vault.put(GRANT_LOCATION, refresh_token="seed", refreshed_from="of old", note="ours to keep")
    return made


async def test_a_candidate_whose_access_token_has_expired_is_refreshed_to_see_whose_it_is(
    around: ConsentSurroundings,
) -> None:
    """No other process ran for hours."""
    order = await around.die_with_a_candidate()
    around.clock.turn(timedelta(hours=2))

    found = await around.in_time(around.exchange.conclude(order))

    assert ConsentReason.CONNECTED is found.reason
    assert ["code-1", "refresh-2"] == around.pipedrive.sent
    assert SecretValue("refresh-3") == around.stored.refresh_token


async def test_candidates_of_one_namespace_are_refreshed_a_few_at_a_time(around: ConsentSurroundings) -> None:
    """A tenant can write a candidate into each of its documents, and each refresh has a connection of its own."""
    around.pipedrive.gate = asyncio.Event()
    forged = {"refresh_token": "theirs", "terms_consent": "anything"}
    tasks = []
    for number in range(60):
        location = replace(GRANT_LOCATION, path=f"pipedrive/hostile/{number}")
        around.vault.put(location, consent_candidate=json.dumps(forged))
        with serving("hostile"):
            tasks.append(
                asyncio.create_task(around.protocol.parts.candidates.settle(replace(GRANT_SOURCE, location=location)))
            )
    for _ in range(50):
        await asyncio.sleep(0)

    assert MOST_AT_ONCE // 2 == len(around.vault.writes)

    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_new_access_token_of_a_candidate_is_stored_although_its_refresh_token_stays(
    around: ConsentSurroundings,
) -> None:
    """Pipedrive is slow, so that the document is read again, with the expired token of the same candidate in it."""
    around.pipedrive.rotates = False
    order = await around.die_with_a_candidate()
    around.clock.turn(timedelta(hours=2))
    around.pipedrive.before_fence = lambda: around.clock.turn(timedelta(seconds=3))

    found = await around.in_time(around.exchange.conclude(order))

    assert ConsentReason.CONNECTED is found.reason
    assert around.stored.consent == CONSENT


async def test_a_half_usable_answer_is_kept_and_refreshed_once(around: ConsentSurroundings) -> None:
    """Its refresh token may be the only living one."""
    found = await around.exchange_half_usably()

    assert found is not None
    assert ConsentReason.CONNECTED is found.reason
    assert SecretValue("refresh-3") == around.stored.refresh_token


async def test_a_candidate_whose_company_was_closed_before_its_renewal_is_dropped(around: ConsentSurroundings) -> None:
    """Pipedrive answers 402 at the token endpoint."""
    await around.die_with_a_candidate()
    around.clock.turn(timedelta(hours=9))
    around.pipedrive.breaks = AccountNotOpen("402")

    settled = await around.in_time(around.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert settled is not None
    assert ("402", None) == (settled.problem, around.candidate)
    assert "refresh_id" not in around.values


async def test_an_uncertain_renewal_of_a_candidate_leaves_the_grant_that_works_alone(
    around: ConsentSurroundings,
) -> None:
    """The refresh was ordered to settle the candidate; the grant itself is not in doubt."""
    around.pipedrive.consent_ends_others = False
    around.pipedrive.alive.add("seed")
    await around.run()
    await around.die_with_a_candidate()
    around.pipedrive.accounts.clear()
    around.pipedrive.gate, around.pipedrive.breaks_off = asyncio.Event(), 1.0

    with pytest.raises(PipedriveUnavailable):
        await around.in_time(around.run())

    assert SecretValue("refresh-1") == around.stored.refresh_token


async def test_a_promoted_grant_names_the_unanswered_renewal_of_its_candidate(around: ConsentSurroundings) -> None:
    """Its holder died with the candidate at Pipedrive: if that has spent it, the next refresh is refused."""
    order = await around.die_with_a_candidate()
    around.vault.put(GRANT_LOCATION, **(around.values | DEAD_HOLDER | {"refresh_consent": CONSENT}))

    await around.in_time(around.exchange.conclude(order))

    assert around.stored.consent == CONSENT
    assert around.stored.unanswered is not None
    assert around.stored.unanswered.by == "them"


async def test_an_intent_under_which_nothing_was_sent_is_no_unanswered_renewal(around: ConsentSurroundings) -> None:
    """Pipedrive could not be reached, and Vault failed when the intent was withdrawn."""
    order = await around.die_with_a_candidate()
    accounts = dict(around.pipedrive.accounts)
    around.pipedrive.accounts.clear()
    around.pipedrive.network.loses_connections = 1.0
    around.vault.breaks_after = len(around.vault.writes) + 1
    with pytest.raises(PipedriveUnavailable):
        await around.in_time(around.exchange.conclude(order))
    assert "refresh_id" in around.values
    around.pipedrive.accounts.update(accounts)
    around.vault.breaks_after = None

    await around.in_time(around.exchange.conclude(order))

    assert around.stored.consent == CONSENT
    assert around.stored.unanswered is None


async def test_an_intent_that_vault_has_not_acknowledged_is_no_unanswered_renewal(around: ConsentSurroundings) -> None:
    """Vault was sealed before it could be asked whether it holds the intent, so that nothing was sent."""
    await around.die_with_a_candidate()
    accounts = dict(around.pipedrive.accounts)
    around.pipedrive.accounts.clear()
    around.vault.breaks_after, around.vault.loses_acknowledgements = len(around.vault.writes), True
    around.vault.on_loss = lambda: setattr(around.vault, "breaks", VaultUnavailable("Vault is sealed"))
    with pytest.raises(VaultUnavailable):
        await around.protocol.parts.candidates.settle(GRANT_SOURCE)
    around.vault.breaks_after = around.vault.breaks = None
    around.pipedrive.accounts.update(accounts)
    assert "refresh_id" in around.values

    await around.in_time(around.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert (CONSENT, None) == (around.stored.consent, around.stored.unanswered)
    assert ["code-1"] == around.pipedrive.sent


async def test_a_renewal_without_an_answer_is_named_although_the_acknowledgement_of_its_intent_was_lost(
    around: ConsentSurroundings,
) -> None:
    """Vault could be asked whether it holds the intent, so that the refresh token was sent."""
    await around.die_with_a_candidate()
    accounts = dict(around.pipedrive.accounts)
    around.pipedrive.accounts.clear()
    around.vault.breaks_after, around.vault.mends_after = len(around.vault.writes), len(around.vault.writes) + 1
    around.vault.loses_acknowledgements = True
    around.pipedrive.before_fence = lambda: setattr(around.pipedrive.network, "loses_answers", 1.0)
    with pytest.raises(RefreshUncertain):
        await around.protocol.parts.candidates.settle(GRANT_SOURCE)
    around.pipedrive.network.loses_answers = 0.0
    around.pipedrive.accounts.update(accounts)
    around.clock.turn(timedelta(minutes=2))

    await around.in_time(around.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert ["code-1", "refresh-2"] == around.pipedrive.sent
    assert around.stored.unanswered is not None


async def test_the_intent_of_a_result_that_vault_does_not_need_is_removed(around: ConsentSurroundings) -> None:
    """A process that was stopped has stored its own result of the same refresh token beside that intent."""
    await around.die_with_a_candidate()
    around.clock.turn(timedelta(hours=9))
    around.pipedrive.gate = asyncio.Event()
    task = asyncio.create_task(around.protocol.parts.candidates.settle(GRANT_SOURCE))
    while not around.pipedrive.waits:  # noqa: ASYNC110  a turn of the loop, not a time
        await asyncio.sleep(0)
    expires_at = around.clock.now() + timedelta(hours=1)
    sibling = replace(
        half_refreshed_grant(around.held, SecretValue("sibling")),
        token=replace(access_token("access-of-sibling"), expires_at=expires_at),
    )
    around.pipedrive.accounts["access-of-sibling"] = around.pipedrive.company
    around.vault.put(GRANT_LOCATION, **with_candidate(around.values, sibling))
    around.pipedrive.answer()

    await around.in_time(task)

    assert (sibling.lineage, None) == (around.stored.lineage, around.stored.unanswered)


async def test_a_renewal_that_ends_after_the_promotion_replaces_what_it_has_spent(around: ConsentSurroundings) -> None:
    """Its holder was stopped for longer than its intent, and another process has promoted the candidate meanwhile."""
    order = await around.die_with_a_candidate()
    spent = around.held
    renewed = replace(spent, refresh_token=SecretValue("renewed"), refreshed_from=spent.lineage)
    await around.in_time(around.exchange.conclude(order))
    around.pipedrive.alive = {"renewed"}
    around.vault.put(GRANT_LOCATION, **with_candidate(around.values, renewed))

    await around.in_time(around.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert SecretValue("renewed") == around.stored.refresh_token
    assert around.candidate is None
    assert {} == around.cluster.escrow


async def test_a_candidate_is_not_sent_if_the_grant_beside_it_is_its_successor(around: ConsentSurroundings) -> None:
    """The candidate was left beside the grant that it became."""
    order = await around.die_with_a_candidate()
    spent = around.held
    around.pipedrive.accounts.clear()
    await around.in_time(around.exchange.conclude(order))
    around.vault.put(GRANT_LOCATION, **with_candidate(around.values, spent))
    around.pipedrive.accounts.clear()

    await around.in_time(around.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert ["code-1", "refresh-2"] == around.pipedrive.sent
    assert SecretValue("refresh-3") == around.stored.refresh_token
    assert around.candidate is None


async def test_a_successor_that_was_handed_over_stays_in_escrow(around: ConsentSurroundings) -> None:
    """A process that was stopped wrote the spent candidate again. Pipedrive decides about the successor."""
    order = await around.die_with_a_candidate()
    spent = around.held
    verified = Grant(refresh_token=SecretValue("verified"), refreshed_from=spent.lineage)
    await around.escrow.keep(GRANT_LOCATION, verified, "consent-of-it", SecretValue("hush"))
    around.pipedrive.accounts.clear()
    around.pipedrive.alive = {"verified"}

    found = await around.in_time(around.exchange.conclude(order))
    assert "The operator keeps both" in found.message
    assert around.candidate is None
    assert 1 == len(around.cluster.escrow)
    await around.in_time(around.run())

    assert "refresh-2" not in around.pipedrive.sent
    assert SecretValue("verified").digest() == around.stored.refreshed_from


async def test_a_renewed_candidate_is_not_dropped_because_our_clock_is_wrong(around: ConsentSurroundings) -> None:
    """The clock was turned forward during the renewal, so that the new access token seems to have expired already."""
    order = await around.die_with_a_candidate()
    around.pipedrive.accounts.clear()
    around.pipedrive.before_fence = lambda: around.clock.step(timedelta(hours=2))

    found = await around.in_time(around.exchange.conclude(order))

    assert ConsentReason.CONNECTED is found.reason


async def test_a_candidate_is_not_sent_if_the_grant_descends_from_it(around: ConsentSurroundings) -> None:
    """The grant was refreshed once more since, so that it names another token as the one that was spent for it."""
    order = await around.die_with_a_candidate()
    spent = around.held
    around.pipedrive.accounts.clear()
    await around.in_time(around.exchange.conclude(order))
    around.clock.turn(timedelta(hours=2))
    await around.in_time(around.run())
    around.vault.put(GRANT_LOCATION, **with_candidate(around.values, spent))

    await around.in_time(around.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert ["code-1", "refresh-2", "refresh-3"] == around.pipedrive.sent
    assert around.candidate is None


async def test_a_candidate_that_became_the_grant_from_escrow_is_not_sent_later(around: ConsentSurroundings) -> None:
    """It was handed over, Vault failed before it was removed, and `users/me` had a limit while the grant was used."""
    order = await around.die_with_a_candidate()
    around.vault.put(GRANT_LOCATION, refresh_token="dead", consent_candidate=around.values["consent_candidate"])
    around.vault.breaks_after = len(around.vault.writes)
    with pytest.raises(VaultUnavailable):
        await around.in_time(around.exchange.conclude(order))
    around.vault.breaks_after = None
    around.take_over()
    identify = around.pipedrive.identify_access_token

    async def limited(_: Token) -> Account:
        raise RateLimited("429", retry_after=timedelta(minutes=15))

    around.pipedrive.identify_access_token = limited  # type: ignore[method-assign,assignment]
    with suppress(RateLimited):
        await around.in_time(around.run())
    for _ in range(2):
        requested = replace(ORDER, replaces=around.stored.access_digest)
        await around.in_time(around.protocol.run(requested, around.states.append))
    around.pipedrive.identify_access_token = identify  # type: ignore[method-assign]
    around.clock.turn(timedelta(hours=2))

    await around.in_time(around.run())

    assert 1 == around.pipedrive.sent.count("refresh-2")


async def test_a_spent_candidate_that_a_standby_still_shows_is_not_dropped_without_a_pause(
    around: ConsentSurroundings,
) -> None:
    """Each attempt is a conflict for as long as the standby lags."""
    order = await around.die_with_a_candidate()
    spent = around.held
    around.pipedrive.accounts.clear()
    await around.in_time(around.exchange.conclude(order))
    around.vault.put(GRANT_LOCATION, **with_candidate(around.values, spent))
    lagging = around.vault.documents[GRANT_LOCATION]
    around.take_over()
    around.pipedrive.accounts.clear()
    around.vault.put(GRANT_LOCATION, **without_candidate(around.values, None))
    served, until = around.vault.served, around.clock.monotonic() + 5

    def serve(location: VaultLocation) -> tuple[Document | None, float]:
        if location == GRANT_LOCATION and around.clock.monotonic() < until:
            assert len(around.vault.writes) < before + 20
            return lagging, around.clock.monotonic()
        return served(location)

    before, around.vault.served = len(around.vault.writes), serve  # type: ignore[method-assign]

    await around.in_time(around.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert around.candidate is None


async def test_a_candidate_of_another_consent_is_tried_although_its_token_was_spent_before(
    around: ConsentSurroundings,
) -> None:
    """Pipedrive may give a user the same refresh token again, and nothing says how long an old one works."""
    around.vault.put(GRANT_LOCATION, refresh_token="rotated", refreshed_from=SecretValue("refresh-2").digest())

    found = await around.exchange_half_usably()

    assert found is not None
    assert ConsentReason.CONNECTED is found.reason


async def test_a_spent_candidate_leaves_the_mark_of_an_unanswered_refresh(around: ConsentSurroundings) -> None:
    """The refresh of its successor went unanswered: if that is dead, the status must name the cause."""
    order = await around.die_with_a_candidate()
    spent = around.held
    around.pipedrive.accounts.clear()
    await around.in_time(around.exchange.conclude(order))
    around.vault.put(GRANT_LOCATION, **(with_candidate(around.values, spent) | DEAD_HOLDER))

    await around.in_time(around.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert around.candidate is None
    assert around.stored.unanswered is not None
    assert around.stored.unanswered.by == "them"
