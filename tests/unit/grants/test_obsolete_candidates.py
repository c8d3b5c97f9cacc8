"""No process moves a copy into Vault of what another process has dropped or spent: the document names it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.candidate import with_candidate
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.succession import EscrowedGrant
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import RateLimited
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
    await consent.protocol.parts.places.set_aside(GRANT_SOURCE)

    assert _is_needed_by_the_next_process(consent, candidate)


async def test_a_copy_of_what_was_spent_for_a_candidate_that_was_set_aside_is_not_needed(
    consent: ConsentSurroundings,
) -> None:
    """The copy is in another cluster, and the candidate is not in Vault at the moment."""
    candidate, renewed = await _renew_without_a_decision(consent)

    await consent.protocol.parts.places.set_aside(GRANT_SOURCE)

    assert not _is_needed_by_the_next_process(consent, candidate)
    assert _is_needed(consent, renewed)


async def test_a_process_does_not_send_a_candidate_again_that_it_has_renewed(consent: ConsentSurroundings) -> None:
    """Another cluster has put its copy into Vault, after a person had replaced the document."""
    candidate, renewed = await _renew_without_a_decision(consent)
    await consent.protocol.parts.places.set_aside(GRANT_SOURCE)
    consent.vault.put(GRANT_LOCATION, **with_candidate({"refresh_token": "of a person"}, candidate))

    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert 1 == consent.pipedrive.sent.count(candidate.refresh_token.reveal())
    assert consent.candidate is None
    assert _is_needed(consent, renewed)


@pytest.mark.parametrize("fate", ["dropped", "refreshed"])
async def test_a_candidate_that_another_cluster_returns_from_a_copy_does_not_return_twice(
    consent: ConsentSurroundings, fate: str
) -> None:
    """A person has replaced the document, and the other cluster cannot delete its copy."""
    company = OTHER_COMPANY if fate == "dropped" else consent.pipedrive.company
    await consent.die_with_a_candidate(company=company, pinned=consent.pipedrive.company)
    candidate = consent.held
    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    if fate == "refreshed":
        await consent.in_time(consent.run(replace(ORDER, replaces=consent.stored.access_digest)))
    consent.vault.put(GRANT_LOCATION, **with_candidate({"refresh_token": "of a person"}, candidate))

    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert consent.candidate is None
    assert not _is_needed_by_the_next_process(consent, candidate)


async def test_a_wrong_account_leaves_the_document_as_it_was(consent: ConsentSurroundings) -> None:
    """There is no copy, and nothing was spent."""
    before = consent.values

    assert ConsentReason.WRONG_ACCOUNT is await consent.connect(company=OTHER_COMPANY, pinned=consent.pipedrive.company)

    assert before == consent.values


async def _renew_without_a_decision(consent: ConsentSurroundings) -> tuple[Grant, Grant]:
    """Renew a candidate about which Pipedrive does not decide; return it as it was, and as it is then."""
    await consent.die_with_a_candidate()
    candidate = consent.held
    consent.clock.turn(timedelta(hours=2))
    consent.pipedrive.identify_access_token = _say_nothing  # type: ignore[method-assign,assignment]
    with pytest.raises(RateLimited):
        await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    renewed = consent.held
    assert renewed.refreshed_from == candidate.lineage
    return candidate, renewed


async def _say_nothing(_: Token) -> Account:
    raise RateLimited("429")


def _is_needed_by_the_next_process(consent: ConsentSurroundings, candidate: Grant) -> bool:
    consent.take_over()
    return _is_needed(consent, candidate)


def _is_needed(consent: ConsentSurroundings, candidate: Grant) -> bool:
    copy = EscrowedGrant(grant=candidate, refresh_id="us-0")
    return consent.protocol.parts.copies.is_needed(copy, consent.vault.documents[GRANT_LOCATION])
