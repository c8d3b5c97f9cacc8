"""A grant of another company never becomes the grant, although nothing was known about the account at first."""

from contextlib import nullcontext
from dataclasses import replace

import pytest

from pipedrive_operator.core.grant.candidate import with_candidate
from pipedrive_operator.core.grant.grant import Grant, write_grant
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import AccountNotOpen, RateLimited, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, GRANT_LOCATION
from support.exchanges import OTHER_COMPANY, ConsentSurroundings, say_nothing_about
from support.refresh import ORDER


async def test_an_older_answer_for_another_company_is_dropped_after_a_newer_one_was_connected(
    consent: ConsentSurroundings,
) -> None:
    """Pipedrive said nothing about the older one, and no account was pinned when its code was sent."""
    del consent.vault.documents[GRANT_LOCATION]
    older = await consent.die_with_a_candidate(company=OTHER_COMPANY)
    decide = say_nothing_about(consent.pipedrive, consent.held, RateLimited("429"))
    assert ConsentReason.CONNECTED is await consent.in_time(consent.connect(company=ACCOUNT))
    consent.pipedrive.identify_access_token = decide  # type: ignore[method-assign,assignment]

    found = await consent.in_time(consent.exchange.conclude(older))

    assert ConsentReason.WRONG_ACCOUNT is found.reason
    assert "but the credential belongs to company acme (id 12)" in found.message
    assert (ACCOUNT, []) == (consent.stored.account, list(consent.cluster.escrow))


async def test_a_result_for_the_pinned_company_waits_in_escrow_beside_a_restored_grant_of_a_former_company(
    consent: ConsentSurroundings,
) -> None:
    """Vault was restored to a backup from before the company was changed. Pipedrive decides between the two."""
    connected = await consent.die_with_a_candidate(company=ACCOUNT, pinned=ACCOUNT)
    former = Grant(refresh_token=SecretValue("former"), account=OTHER_COMPANY)
    consent.vault.put(GRANT_LOCATION, **with_candidate(write_grant(former, {}), consent.held))

    found = await consent.in_time(consent.exchange.conclude(connected))

    assert ConsentReason.UNCERTAIN is found.reason
    assert 1 == len(consent.cluster.escrow)


async def test_a_candidate_whose_company_was_closed_is_dropped_and_the_grant_goes_on(
    consent: ConsentSurroundings,
) -> None:
    """Pipedrive answers 402 when it is asked whose the candidate is: there is nothing to wait for."""
    order = await consent.die_with_a_candidate()
    say_nothing_about(consent.pipedrive, consent.held, AccountNotOpen("402"))

    found = await consent.in_time(consent.exchange.conclude(order))

    assert (ConsentReason.UNCERTAIN, "402", None) == (found.reason, found.message, consent.candidate)
    assert SecretValue("seed") == consent.stored.refresh_token


async def test_why_a_candidate_was_dropped_is_known_although_the_acknowledgement_was_lost(
    consent: ConsentSurroundings,
) -> None:
    """Vault has carried the write out. The consent does not report that the operator had stopped."""
    order = await consent.die_with_a_candidate(company=OTHER_COMPANY, pinned=consent.pipedrive.company)
    consent.vault.breaks_after, consent.vault.loses_acknowledgements = 0, True
    with pytest.raises(VaultUnavailable):
        await consent.in_time(consent.exchange.conclude(order))
    consent.vault.breaks_after = None

    found = await consent.in_time(consent.exchange.conclude(order))

    assert ConsentReason.WRONG_ACCOUNT is found.reason


async def test_the_successor_of_the_grant_in_use_stays_while_its_company_has_not_paid(
    consent: ConsentSurroundings,
) -> None:
    """The grant in Vault was spent for it: it is the only refresh token that Pipedrive accepts."""
    _, renewed = await consent.promote_what_is_renewed()
    late = replace(renewed, token=None)
    await consent.escrow.keep(GRANT_LOCATION, late, "us-0", SecretValue("hush"))
    consent.pipedrive.alive, consent.pipedrive.is_open = {"renewed-0"}, False
    order = replace(ORDER, replaces=consent.stored.access_digest)

    with pytest.raises(AccountNotOpen):
        await consent.in_time(consent.run(order))
    consent.pipedrive.is_open = True
    await consent.in_time(consent.run(order))

    assert ["code-1", "renewed-0", "renewed-0"] == consent.pipedrive.sent
    assert late.lineage == consent.stored.refreshed_from


async def test_a_newer_consent_does_not_wait_for_a_successor_whose_company_has_not_paid(
    consent: ConsentSurroundings,
) -> None:
    """It is set aside, as one that Pipedrive does not decide about."""
    _, late = await consent.promote_what_is_renewed()
    consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, late))
    say_nothing_about(consent.pipedrive, late, AccountNotOpen("402"))

    assert ConsentReason.CONNECTED is await consent.in_time(consent.connect())

    assert 1 == len(consent.cluster.escrow)


@pytest.mark.parametrize("is_rewritten", [False, True])
async def test_a_consent_that_was_connected_does_not_wait_until_its_company_has_paid(
    consent: ConsentSurroundings, *, is_rewritten: bool
) -> None:
    """Its process died before it reported that, and another one had renewed the candidate meanwhile.

    Whether it was connected is not known if a person has written the refresh token anew.
    """
    order, late = await consent.promote_what_is_renewed()
    values = {"refresh_token": consent.stored.refresh_token.reveal()} if is_rewritten else consent.values
    consent.vault.put(GRANT_LOCATION, **with_candidate(values, late))
    consent.pipedrive.is_open = False

    with pytest.raises(AccountNotOpen) if is_rewritten else nullcontext():
        found = await consent.in_time(consent.exchange.conclude(order))
        assert ConsentReason.CONNECTED is found.reason
    assert late.lineage == consent.held.lineage
