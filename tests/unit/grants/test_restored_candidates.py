"""Vault is restored from a backup with an older candidate: the newest one, which is in escrow alone, is not lost."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.candidate import with_candidate
from pipedrive_operator.core.grant.grant import Grant, write_grant
from pipedrive_operator.core.values.errors import TokenResponseUnusable, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.grants.candidates import Settled
from support.builders import GRANT_LOCATION, GRANT_SOURCE
from support.exchanges import CONSENT, OTHER_COMPANY, ConsentSurroundings
from support.refresh import ORDER


@pytest.mark.parametrize("how", ["settle", "conclude", "refresh"])
async def test_the_next_process_uses_the_newest_candidate_and_does_not_send_a_restored_ancestor(
    consent: ConsentSurroundings, how: str
) -> None:
    """Two renewals lie between the one in Vault and the one in escrow, and the process that kept it has died."""
    order = await consent.die_with_a_candidate()
    stopped = await _restore_an_ancestor(consent)
    stopped.cancel()
    consent.take_over()
    await consent.escrow.load()
    consent.clock.turn(timedelta(minutes=5))
    if how == "settle":
        await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    elif how == "conclude":
        await consent.in_time(consent.exchange.conclude(order))
    else:
        await consent.in_time(consent.run())

    assert (CONSENT, "refresh-5") == (consent.stored.consent, consent.stored.refresh_token.reveal())
    assert ["code-1", "refresh-2", "refresh-3", "refresh-4"] == consent.pipedrive.sent
    assert {} == consent.cluster.escrow


async def test_the_result_of_a_renewal_is_stored_over_a_restored_ancestor(consent: ConsentSurroundings) -> None:
    """The process that waits to store it lives."""
    await consent.die_with_a_candidate()
    storing = await _restore_an_ancestor(consent)

    await consent.in_time(storing)

    assert (CONSENT, "refresh-5") == (consent.stored.consent, consent.stored.refresh_token.reveal())
    assert {} == consent.cluster.escrow


async def _restore_an_ancestor(consent: ConsentSurroundings) -> asyncio.Task[Settled | None]:
    """Renew a candidate three times, the last time while Vault is sealed, and restore Vault to after the first time.

    Return the task that waits to store the last result; a copy of it is in escrow.
    """
    consent.clock.turn(timedelta(hours=2))
    await _renew_half_usably(consent)
    backup = consent.values
    await _renew_half_usably(consent)
    consent.pipedrive.gate = asyncio.Event()
    task = asyncio.create_task(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    while not consent.pipedrive.waits:  # noqa: ASYNC110  a turn of the loop, not a time
        await asyncio.sleep(0)
    consent.vault.breaks = VaultUnavailable("Vault is sealed")
    consent.pipedrive.answer()
    while not consent.cluster.escrow:  # noqa: ASYNC110  a turn of the loop, not a time
        await asyncio.sleep(0)
    (copy,) = await consent.escrow.open(GRANT_LOCATION, SecretValue("hush"))
    assert 3 == copy.grant.refresh_count
    consent.vault.breaks = None
    consent.vault.put(GRANT_LOCATION, **backup)
    return task


async def _renew_half_usably(consent: ConsentSurroundings) -> None:
    """Renew the candidate, with an answer of which only the refresh token can be used."""
    consent.pipedrive.spoils_answers = 1.0
    with pytest.raises(TokenResponseUnusable):
        await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    consent.pipedrive.spoils_answers = 0.0


@pytest.mark.parametrize("restarts", [True, False])
async def test_a_candidate_that_was_handed_over_is_used_when_a_backup_brings_it_back(
    consent: ConsentSurroundings, *, restarts: bool
) -> None:
    """It was dropped for the grant of a person, and never spent. The backup has nothing else that is alive."""
    await consent.die_with_a_candidate()
    candidate, backup = consent.held, consent.values
    patched = write_grant(Grant(refresh_token=SecretValue("patched")), {})
    consent.vault.put(GRANT_LOCATION, **with_candidate(patched, candidate))
    consent.pipedrive.alive |= {"patched"}
    await consent.in_time(consent.run())
    assert (None, {}) == (consent.candidate, consent.cluster.escrow)
    consent.pipedrive.alive -= {"seed"}
    if restarts:
        consent.start()

    consent.vault.put(GRANT_LOCATION, **backup)
    await consent.in_time(consent.run())

    assert candidate.exchange == consent.stored.exchange


@pytest.mark.parametrize("fate", ["refused", "spent", "refreshed as the grant"])
async def test_a_candidate_that_is_dead_is_not_sent_when_a_backup_brings_it_back(
    consent: ConsentSurroundings, fate: str
) -> None:
    """The process that has seen it remembers it."""
    await consent.die_with_a_candidate()
    backup = consent.values
    if fate != "refreshed as the grant":
        consent.clock.turn(timedelta(hours=2))
    if fate == "refused":
        consent.pipedrive.alive -= {"refresh-2"}
    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    if fate == "refreshed as the grant":
        await consent.in_time(consent.run(replace(ORDER, replaces=consent.stored.access_digest)))
    assert ["code-1", "refresh-2"] == consent.pipedrive.sent

    consent.vault.put(GRANT_LOCATION, **backup)
    await consent.in_time(consent.run())

    assert ["code-1", "refresh-2", "seed"] == consent.pipedrive.sent


@pytest.mark.parametrize("has_expired", [False, True])
async def test_a_candidate_whose_company_had_not_paid_is_used_when_a_backup_brings_it_back(
    consent: ConsentSurroundings, *, has_expired: bool
) -> None:
    """It was dropped because its account could not be verified, and is alive."""
    await consent.die_with_a_candidate()
    candidate, backup = consent.held, consent.values
    consent.pipedrive.is_open = False
    if has_expired:
        consent.clock.turn(timedelta(hours=2))
    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    assert consent.candidate is None
    consent.pipedrive.is_open = True

    consent.vault.put(GRANT_LOCATION, **backup)
    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert candidate.exchange == consent.stored.exchange


async def test_a_candidate_whose_successor_was_handed_over_is_not_sent_when_a_backup_brings_it_back(
    consent: ConsentSurroundings,
) -> None:
    """Nothing of its line is left in Vault or in escrow by then, and its access token has expired."""
    await consent.die_with_a_candidate()
    spent, backup = consent.held, consent.values
    verified = Grant(refresh_token=SecretValue("verified"), refreshed_from=spent.lineage)
    await consent.escrow.keep(GRANT_LOCATION, verified, "consent-of-it", SecretValue("hush"))
    consent.clock.turn(timedelta(hours=2))
    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    await consent.escrow.drop(GRANT_LOCATION, "consent-of-it")

    consent.vault.put(GRANT_LOCATION, **backup)
    await consent.in_time(consent.run())

    assert ["code-1", "seed"] == consent.pipedrive.sent


@pytest.mark.parametrize("fate", ["promoted", "refused", "of another account", "unpaid"])
async def test_an_ancestor_that_another_process_has_spent_is_not_sent_when_a_backup_brings_it_back(
    consent: ConsentSurroundings, fate: str
) -> None:
    """Its successor names it, whatever becomes of that."""
    company = OTHER_COMPANY if fate == "of another account" else None
    await consent.die_with_a_candidate(company=company, pinned=consent.pipedrive.company)
    backup = consent.values
    await _renew_half_usably_and_die(consent)
    if fate == "refused":
        consent.pipedrive.alive -= {consent.held.refresh_token.reveal()}
    consent.pipedrive.is_open = fate != "unpaid"
    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    consent.pipedrive.is_open = True
    assert consent.candidate is None

    consent.vault.put(GRANT_LOCATION, **backup)
    await consent.in_time(consent.run())

    assert 1 == consent.pipedrive.sent.count("refresh-2")
    assert "seed" == consent.pipedrive.sent[-1]


async def _renew_half_usably_and_die(consent: ConsentSurroundings) -> None:
    consent.clock.turn(timedelta(hours=2))
    consent.pipedrive.spoils_answers = 1.0
    with pytest.raises(TokenResponseUnusable):
        await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    consent.pipedrive.spoils_answers = 0.0
    consent.take_over()


async def test_a_candidate_whose_refresh_token_does_not_rotate_is_not_dead_because_it_was_renewed(
    consent: ConsentSurroundings,
) -> None:
    """It was dropped for the grant of a person after its renewal, and a backup brings it back."""
    consent.pipedrive.rotates = False
    await consent.die_with_a_candidate()
    consent.clock.turn(timedelta(hours=2))
    candidate, backup = consent.held, consent.values
    patched = write_grant(Grant(refresh_token=SecretValue("patched")), {})
    consent.vault.put(GRANT_LOCATION, **with_candidate(patched, candidate))
    consent.pipedrive.alive |= {"patched"}
    await consent.in_time(consent.run())
    assert consent.candidate is None

    consent.vault.put(GRANT_LOCATION, **backup)
    await consent.in_time(consent.run())

    assert candidate.exchange == consent.stored.exchange
