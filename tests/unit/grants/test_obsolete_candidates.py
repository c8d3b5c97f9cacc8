"""No process moves a copy into Vault of what another process has dropped or spent: the document names it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.succession import EscrowedGrant
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from support.builders import GRANT_LOCATION, GRANT_SOURCE
from support.exchanges import OTHER_COMPANY, ConsentSurroundings
from support.refresh import ORDER


async def test_the_copy_of_a_candidate_that_was_dropped_is_not_needed(consent: ConsentSurroundings) -> None:
    """It is of another account, and a webhook denies the deletion of the copy."""
    await consent.leave_a_copy_of_a_dropped_candidate()
    candidate = consent.held
    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert not _is_needed_by_the_next_process(consent, candidate)


async def test_the_copy_of_a_candidate_that_was_promoted_is_not_needed_after_a_newer_consent(
    consent: ConsentSurroundings,
) -> None:
    """Nothing else of its consent is left in Vault."""
    order = await consent.die_with_a_candidate()
    candidate = consent.held
    assert ConsentReason.CONNECTED is (await consent.in_time(consent.exchange.conclude(order))).reason
    newer = replace(consent.order(), consent="newer")
    assert await consent.in_time(consent.exchange.run(newer, consent.claim)) is not None

    assert not _is_needed_by_the_next_process(consent, candidate)


async def test_the_copy_of_a_candidate_that_was_renewed_and_dropped_is_not_needed(consent: ConsentSurroundings) -> None:
    """The copy is in another cluster, and its refresh token is spent."""
    await consent.die_with_a_candidate(company=OTHER_COMPANY, pinned=consent.pipedrive.company)
    candidate = consent.held
    consent.clock.turn(timedelta(hours=2))
    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert consent.candidate is None
    assert not _is_needed_by_the_next_process(consent, candidate)


@pytest.mark.parametrize("fate", ["dropped", "renewed", "refreshed"])
async def test_a_process_remembers_what_it_has_dropped_or_spent_after_a_person_has_replaced_the_document(
    consent: ConsentSurroundings, fate: str
) -> None:
    """Nothing in Vault shows it any more."""
    company = OTHER_COMPANY if fate == "dropped" else consent.pipedrive.company
    await consent.die_with_a_candidate(company=company, pinned=consent.pipedrive.company)
    candidate = consent.held
    if fate == "renewed":
        consent.clock.turn(timedelta(hours=2))
    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    if fate == "refreshed":
        await consent.in_time(consent.run(replace(ORDER, replaces=consent.stored.access_digest)))
    consent.vault.put(GRANT_LOCATION, refresh_token="of a person")

    assert not _is_needed(consent, candidate)


async def test_the_copy_of_a_candidate_that_was_set_aside_is_needed(consent: ConsentSurroundings) -> None:
    """It returns when its place is free."""
    await consent.die_with_a_candidate()
    candidate = consent.held
    await consent.protocol.parts.candidates.set_aside(GRANT_SOURCE)

    assert _is_needed_by_the_next_process(consent, candidate)


async def test_a_wrong_account_leaves_the_document_as_it_was(consent: ConsentSurroundings) -> None:
    """There is no copy, and nothing was spent."""
    before = consent.values

    assert ConsentReason.WRONG_ACCOUNT is await consent.connect(company=OTHER_COMPANY, pinned=consent.pipedrive.company)

    assert before == consent.values


def _is_needed_by_the_next_process(consent: ConsentSurroundings, candidate: Grant) -> bool:
    consent.take_over()
    return _is_needed(consent, candidate)


def _is_needed(consent: ConsentSurroundings, candidate: Grant) -> bool:
    copy = EscrowedGrant(grant=candidate, refresh_id="us-0")
    return consent.protocol.parts.copies.is_needed(copy, consent.vault.documents[GRANT_LOCATION])
