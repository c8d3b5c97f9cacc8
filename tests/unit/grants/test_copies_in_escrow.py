"""Copies of candidates in escrow: none is dropped that Vault does not hold, and one that stays stops nobody."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.cluster import FakeCluster
from fakes.escrow import build_escrow
from pipedrive_operator.core.grant.candidate import with_candidate
from pipedrive_operator.core.grant.document import Document
from pipedrive_operator.core.grant.grant import Grant, half_refreshed_grant, write_grant
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import ConsentRequired
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_LOCATION, GRANT_SOURCE, access_token
from support.exchanges import ConsentSurroundings

CLIENT_SECRET = SecretValue("hush")
LONGEST_WORK = 200
"""How often Vault may be read before a test gives up: a loop without a pause has no other end."""


@pytest.fixture
def around() -> ConsentSurroundings:
    """Provide an exchange with a grant in Vault, in a healthy state."""
    made = ConsentSurroundings()
    _limit_reads(made)
    return made


async def test_a_copy_is_not_judged_by_a_document_that_was_read_before_it(around: ConsentSurroundings) -> None:
    """This process was stopped between the two, while another one renewed the candidate twice, and died."""
    first, second, third = await _generations(around)
    await around.escrow.keep(GRANT_LOCATION, first, "us-1", CLIENT_SECRET)
    await _renew_behind_the_next_read(around, second, third)

    await around.in_time(around.run())

    assert around.stored.refresh_token == third.refresh_token


async def test_the_successor_of_a_successor_is_not_dropped_from_escrow(around: ConsentSurroundings) -> None:
    """The same, for a candidate that this process is about to renew."""
    _, second, third = await _generations(around)
    around.clock.turn(timedelta(hours=9))
    await _renew_behind_the_next_read(around, second, third)

    await around.in_time(around.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert ["code-1", "third"] == around.pipedrive.sent
    assert third.lineage == around.stored.refreshed_from


async def test_a_refused_grant_is_sent_once_although_an_outdated_candidate_stays_in_escrow(
    around: ConsentSurroundings,
) -> None:
    """The copy cannot be deleted, and was spent long ago: it does not replace the grant."""
    await _leave_an_outdated_copy(around)
    newest = replace(around.stored, refresh_token=SecretValue("newest"), refreshed_from="the one between")
    around.vault.put(GRANT_LOCATION, **write_grant(newest, {}))
    around.clock.turn(timedelta(hours=2))
    around.pipedrive.alive = set()

    with pytest.raises(ConsentRequired):
        await around.in_time(around.run())

    assert ["code-1", "newest"] == around.pipedrive.sent


async def test_a_consent_of_unknown_outcome_ends_although_an_outdated_candidate_stays_in_escrow(
    around: ConsentSurroundings,
) -> None:
    """The copy cannot be deleted, and belongs to another answer."""
    await _leave_an_outdated_copy(around)

    found = await around.in_time(around.exchange.conclude(replace(around.order(), consent_generation=77)))

    assert found.reason is ConsentReason.UNCERTAIN


@pytest.mark.parametrize("is_promoted", [False, True])
async def test_a_copy_of_a_token_that_does_not_rotate_stops_nobody(
    around: ConsentSurroundings, *, is_promoted: bool
) -> None:
    """It looks like its own successor. It cannot be deleted, and its access token has expired."""
    around.pipedrive.rotates = False
    await around.die_with_a_candidate()
    candidate = around.held
    copy = replace(candidate, refreshed_from=candidate.lineage, first_refreshed_from=candidate.lineage)
    around.vault.put(GRANT_LOCATION, **with_candidate(around.values, copy))
    if is_promoted:
        await around.protocol.parts.candidates.settle(GRANT_SOURCE)
        around.vault.put(GRANT_LOCATION, **write_grant(replace(around.stored, token=access_token("late")), {}))
    await around.escrow.keep(GRANT_LOCATION, copy, "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True
    around.clock.turn(timedelta(hours=9))

    await around.in_time(around.run())

    assert ["code-1", "refresh-2"] == around.pipedrive.sent


async def test_a_candidate_whose_successor_is_in_escrow_too_does_not_get_into_vault(
    around: ConsentSurroundings,
) -> None:
    """It is spent, and another cluster, which does not see the successor, would send it."""
    await around.die_with_a_candidate()
    spent = around.held
    around.vault.put(GRANT_LOCATION, refresh_token="another")
    await around.escrow.keep(GRANT_LOCATION, spent, "us-1", CLIENT_SECRET)
    verified = replace(half_refreshed_grant(spent, SecretValue("successor")), terms=None)
    await around.escrow.keep(GRANT_LOCATION, verified, "consent-successor", CLIENT_SECRET)
    writes = len(around.vault.writes)

    assert not await around.protocol.parts.copies.restore_any(GRANT_SOURCE)

    assert writes == len(around.vault.writes)
    assert [verified] == [copy.grant for copy in await around.escrow.open(GRANT_LOCATION, CLIENT_SECRET)]


async def test_the_candidate_of_another_consent_is_renewed_after_the_first_one(around: ConsentSurroundings) -> None:
    """Another process has replaced the candidate since this one renewed it. The new access token has expired too."""
    await around.die_with_a_candidate()
    candidate = around.held
    assert candidate.terms is not None
    around.clock.turn(timedelta(hours=9))
    other = replace(
        candidate,
        refresh_token=SecretValue("other"),
        terms=replace(candidate.terms, consent="another", over=around.stored.origin),
    )
    around.pipedrive.alive.add("other")
    _replace_the_candidate_when_it_is_identified(around, other)

    await around.in_time(around.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert ["code-1", "refresh-2", "other"] == around.pipedrive.sent
    assert other.lineage == around.stored.refreshed_from


@pytest.mark.parametrize("refreshes", [None, 0, 1])
async def test_a_copy_is_moved_into_vault_again_if_somebody_has_replaced_the_document(
    around: ConsentSurroundings, *, refreshes: int | None
) -> None:
    """It could not be deleted for a while. Vault was restored, or a person wrote a grant by hand.

    The candidate may have been promoted and refreshed, which spends no token that does not rotate.
    """
    around.pipedrive.consent_ends_others = around.pipedrive.rotates = False
    order = around.order()
    await around.seal_in_the_middle(order)
    around.take_over()
    around.cluster.keeps_escrow_for_ever = True
    if refreshes is None:
        await around.protocol.parts.copies.restore_any(GRANT_SOURCE)
    else:
        await around.in_time(around.exchange.conclude(order))
        around.clock.turn(timedelta(hours=2) * refreshes)
        await around.in_time(around.run())
    around.vault.put(GRANT_LOCATION, refresh_token="seed")
    around.cluster.keeps_escrow_for_ever = False
    around.clock.turn(timedelta(minutes=5))

    await around.in_time(around.run())

    assert (SecretValue("refresh-2"), {}) == (around.stored.refresh_token, around.cluster.escrow)


async def _generations(around: ConsentSurroundings) -> tuple[Grant, Grant, Grant]:
    """Let Vault hold a candidate that was renewed once, and return it with the next two, of which the last is alive."""
    await around.die_with_a_candidate()
    made = around.held
    generations = []
    for name in ("first", "second", "third"):
        origin = made.first_refreshed_from or made.lineage
        made = replace(made, refresh_token=SecretValue(name), refreshed_from=made.lineage, first_refreshed_from=origin)
        generations.append(made)
    first, second, third = generations
    around.pipedrive.alive = {"third"}
    around.vault.put(GRANT_LOCATION, **with_candidate(around.values, first))
    return first, second, third


async def _renew_behind_the_next_read(around: ConsentSurroundings, in_vault: Grant, in_escrow: Grant) -> None:
    """Let another process renew the candidate right after the next read: the last result is in escrow alone."""
    elsewhere = FakeCluster()
    await build_escrow(elsewhere).keep(GRANT_LOCATION, in_escrow, "them-1", CLIENT_SECRET)
    read = around.vault.read

    async def read_once(location: Any, identity: Any) -> Document | None:
        document = await read(location, identity)
        if location == GRANT_LOCATION:
            around.vault.read = read  # type: ignore[method-assign]
            around.vault.put(GRANT_LOCATION, **with_candidate(around.values, in_vault))
            around.cluster.escrow.update(elsewhere.escrow)
        return document

    around.vault.read = read_once  # type: ignore[method-assign]


async def _leave_an_outdated_copy(around: ConsentSurroundings) -> None:
    """Leave a copy of a candidate in escrow that was promoted long ago, and that cannot be deleted."""
    await around.die_with_a_candidate()
    candidate = around.held
    await around.protocol.parts.candidates.settle(GRANT_SOURCE)
    await around.escrow.keep(GRANT_LOCATION, candidate, "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True


def _replace_the_candidate_when_it_is_identified(around: ConsentSurroundings, other: Grant) -> None:
    identify = around.pipedrive.identify_access_token

    async def identify_once(token: Any) -> Any:
        around.pipedrive.identify_access_token = identify  # type: ignore[method-assign]
        around.vault.put(GRANT_LOCATION, **with_candidate(around.values, other))
        return await identify(token)

    around.pipedrive.identify_access_token = identify_once  # type: ignore[method-assign]


def _limit_reads(around: ConsentSurroundings) -> None:
    read = around.vault.read
    reads = 0

    async def count(location: Any, identity: Any) -> Document | None:
        nonlocal reads
        reads += 1
        assert reads < LONGEST_WORK, "Vault is read again and again"
        return await read(location, identity)

    around.vault.read = count  # type: ignore[method-assign]
