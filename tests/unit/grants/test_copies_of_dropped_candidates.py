"""Copies in escrow of candidates that were dropped or spent, and that cannot be deleted: they get nowhere."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.candidate import with_candidate
from pipedrive_operator.core.grant.grant import Grant, descending_from, write_grant
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import ConsentRequired
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_LOCATION, GRANT_SOURCE, access_token
from support.exchanges import OTHER_COMPANY, ConsentSurroundings
from support.refresh import ORDER

CLIENT_SECRET = SecretValue("hush")


async def test_no_ancestor_of_a_dropped_candidate_gets_into_vault_again(consent: ConsentSurroundings) -> None:
    """Each has left a copy that cannot be deleted, and none of them has a usable access token."""
    await consent.die_with_a_candidate(company=OTHER_COMPANY, pinned=consent.pipedrive.company)
    newest = consent.held
    ancestors = [replace(newest, refresh_token=SecretValue(name), token=None) for name in ("first", "second")]
    first, second = (ancestor.lineage for ancestor in ancestors)
    newest = replace(newest, refreshed_from=second, first_refreshed_from=first)
    consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, newest))
    await consent.protocol.parts.candidates.settle(GRANT_SOURCE)
    for ancestor in ancestors:
        await consent.escrow.keep(GRANT_LOCATION, ancestor, ancestor.lineage, CLIENT_SECRET)
    consent.cluster.keeps_escrow_for_ever = True

    await consent.in_time(consent.run())

    assert ["code-1", "seed"] == consent.pipedrive.sent


async def test_the_next_process_does_not_send_the_ancestor_of_a_refused_candidate(consent: ConsentSurroundings) -> None:
    """Its copy is deleted before the candidate is renewed: no process remembers what another one has dropped."""
    await consent.die_with_a_candidate()
    ancestor = consent.held
    newest = replace(ancestor, refresh_token=SecretValue("newest"), refreshed_from=ancestor.lineage, token=None)
    consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, newest))
    await consent.escrow.keep(GRANT_LOCATION, replace(ancestor, token=None), "us-0", CLIENT_SECRET)
    consent.pipedrive.alive = {"seed"}
    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))
    consent.start()

    await consent.in_time(consent.run())

    assert ["code-1", "newest", "seed"] == consent.pipedrive.sent


async def test_a_copy_of_a_dropped_candidate_is_not_restored(consent: ConsentSurroundings) -> None:
    """It belongs to another account, and cannot be deleted. The grant beside it goes on."""
    await consent.leave_a_copy_of_a_dropped_candidate()

    await consent.in_time(consent.run())

    assert ["code-1", "seed"] == consent.pipedrive.sent
    assert consent.candidate is None


async def test_a_refused_grant_is_sent_once_beside_a_copy_of_a_dropped_candidate(consent: ConsentSurroundings) -> None:
    """The copy cannot be deleted, and gets nowhere: a person must consent again."""
    await consent.leave_a_copy_of_a_dropped_candidate()
    consent.pipedrive.alive = set()

    with pytest.raises(ConsentRequired):
        await consent.in_time(consent.run())

    assert ["code-1", "seed"] == consent.pipedrive.sent


async def test_a_grant_that_was_handed_over_replaces_a_refused_one_beside_a_copy_of_its_candidate(
    consent: ConsentSurroundings,
) -> None:
    """Neither copy can be deleted. Pipedrive refuses the grant that a person has patched."""
    await consent.die_with_a_candidate()
    candidate = consent.held
    await consent.escrow.keep(GRANT_LOCATION, candidate, "us-0", CLIENT_SECRET)
    consent.cluster.keeps_escrow_for_ever = True
    patched = write_grant(Grant(refresh_token=SecretValue("patched")), {})
    consent.vault.put(GRANT_LOCATION, **with_candidate(patched, candidate))

    await consent.in_time(consent.run())

    assert "patched" in consent.pipedrive.sent
    assert candidate.lineage in {consent.stored.lineage, consent.stored.refreshed_from}


@pytest.mark.parametrize("rotates", [False, True])
async def test_a_dropped_candidate_is_not_renewed_again_from_a_copy_of_its_ancestor(
    consent: ConsentSurroundings, *, rotates: bool
) -> None:
    """Its access token has expired. The renewal shows that it belongs to another account."""
    consent.pipedrive.rotates = rotates
    await consent.leave_a_copy_of_a_dropped_candidate()
    consent.clock.turn(timedelta(hours=9))

    await consent.in_time(consent.run())

    assert ["code-1", "refresh-2", "seed"] == consent.pipedrive.sent


async def test_a_copy_of_a_spent_candidate_is_not_sent_after_the_next_consent(consent: ConsentSurroundings) -> None:
    """It was promoted and refreshed, and the copy cannot be deleted."""
    order = consent.order()
    await consent.seal_in_the_middle(order)
    consent.take_over()
    consent.cluster.keeps_escrow_for_ever = True
    await consent.in_time(consent.exchange.conclude(order))
    consent.clock.turn(timedelta(hours=2))
    await consent.in_time(consent.run())
    await consent.in_time(consent.exchange.run(replace(consent.order(), consent="another"), consent.claim))
    consent.clock.turn(timedelta(hours=2))

    await consent.in_time(consent.run())

    assert 1 == consent.pipedrive.sent.count("refresh-2")


async def test_a_dead_copy_of_a_successor_does_not_keep_a_refresh_from_ending(consent: ConsentSurroundings) -> None:
    """The grant was spent for it, so it is not sent again. A person's consent does not wait for the refresh."""
    await _leave_a_refused_successor(consent)
    sent = list(consent.pipedrive.sent)

    with pytest.raises(ConsentRequired, match=r"^The refresh token was spent, and its successor cannot be used"):
        await consent.in_time(consent.run(replace(ORDER, replaces=consent.stored.access_digest)))

    assert sent == consent.pipedrive.sent
    assert ConsentReason.CONNECTED is await consent.in_time(consent.connect())


async def _leave_a_refused_successor(consent: ConsentSurroundings) -> None:
    """Promote a candidate, let a process that was stopped keep its renewal, and let Pipedrive refuse both."""
    _, renewed = await consent.promote_what_is_renewed()
    await consent.escrow.keep(GRANT_LOCATION, replace(renewed, token=None), "us-0", CLIENT_SECRET)
    consent.cluster.keeps_escrow_for_ever = True
    consent.pipedrive.alive = set()
    with pytest.raises(ConsentRequired):
        await consent.in_time(consent.run(replace(ORDER, replaces=consent.stored.access_digest)))
    assert ["code-1", "renewed-0", "refresh-2"] == consent.pipedrive.sent


async def test_of_two_copies_with_one_refresh_token_the_newer_one_gets_into_vault(consent: ConsentSurroundings) -> None:
    """It does not rotate, and neither copy can be deleted."""
    consent.pipedrive.rotates = False
    await consent.die_with_a_candidate()
    older = consent.held
    newer = descending_from(older, replace(older, token=access_token("newer")))
    for number, copy in enumerate((older, newer)):
        await consent.escrow.keep(GRANT_LOCATION, copy, f"us-{number}", CLIENT_SECRET)
    consent.cluster.keeps_escrow_for_ever = True
    consent.pipedrive.accounts["newer"] = consent.pipedrive.company
    before = len(consent.vault.writes)

    await consent.in_time(consent.run())

    assert (newer.access_digest, newer.exchange) == (consent.stored.access_digest, consent.stored.exchange)
    assert 2 == len(consent.vault.writes) - before
