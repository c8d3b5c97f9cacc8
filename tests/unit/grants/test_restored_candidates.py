"""Vault is restored from a backup with an older candidate: the newest one, which is in escrow alone, is not lost."""

import asyncio
from datetime import timedelta

import pytest

from pipedrive_operator.core.values.errors import TokenResponseUnusable, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.grants.candidates import Settled
from support.builders import GRANT_LOCATION, GRANT_SOURCE
from support.exchanges import CONSENT, ConsentSurroundings


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
