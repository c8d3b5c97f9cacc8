"""A holder that was stopped for long goes on: it harms no refresh of another holder, and drops nothing alive."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.cluster import FakeCluster
from fakes.escrow import build_escrow
from pipedrive_operator.core.grant.candidate import with_candidate
from pipedrive_operator.core.grant.grant import Grant, write_grant
from pipedrive_operator.core.grant.intent import Unanswered
from pipedrive_operator.core.grant.terms import Terms
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    FenceClosed,
    PipedriveUnavailable,
    TokenResponseUnusable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import ACCOUNT, GRANT_LOCATION, GRANT_SOURCE, NOW, access_token
from support.exchanges import ConsentSurroundings, say_nothing_about
from support.refresh import ORDER, Surroundings

THEIR_INTENT = {"refresh_id": "them-1", "refresh_holder": "them", "refresh_timeout": "77s"}
OF_A_CANDIDATE = {"refresh_consent": "uid"}
UNANSWERED = {"refresh_unanswered": "1", "refresh_unanswered_by": "them"}
CLIENT_SECRET = SecretValue("hush")


async def test_a_late_result_leaves_the_intent_of_another_holder_if_the_refresh_token_stays_the_same(
    around: Surroundings,
) -> None:
    """The other holder's request with the same token may be in flight, and nobody must send a second one."""
    around.pipedrive.rotates = False
    task = await around.begin()
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **THEIR_INTENT)
    around.clock.turn(timedelta(minutes=2))
    around.pipedrive.answer()

    refreshed = await task

    assert "them-1" == around.stored.intent_id
    assert refreshed.access_digest == around.stored.access_digest


async def test_a_late_result_replaces_the_intent_of_another_holder_if_the_refresh_token_rotates(
    around: Surroundings,
) -> None:
    """The intent is about the token that was spent; the new one is free to be used."""
    task = await around.begin()
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **THEIR_INTENT)
    around.clock.turn(timedelta(minutes=2))
    around.pipedrive.answer()

    await task

    assert (SecretValue("refresh-1"), None) == (around.stored.refresh_token, around.stored.intent)


async def test_a_late_result_leaves_the_intent_of_an_exchange(around: Surroundings) -> None:
    """It is about a code or a candidate, which is in flight, whatever the grant is."""
    task = await around.begin()
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **THEIR_INTENT, **OF_A_CANDIDATE)
    around.clock.turn(timedelta(minutes=2))
    around.pipedrive.answer()

    await task

    assert (SecretValue("refresh-1"), "them-1") == (around.stored.refresh_token, around.stored.intent_id)


async def test_a_grant_from_escrow_leaves_the_intent_of_an_exchange(around: Surroundings) -> None:
    """Another cluster renews a candidate, while this one stores what its former leader has kept."""
    successor = Grant(refresh_token=SecretValue("newest"), token=access_token(), refreshed_from=around.stored.lineage)
    await around.escrow.keep(GRANT_LOCATION, successor, "us-0", CLIENT_SECRET)
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **THEIR_INTENT, **OF_A_CANDIDATE)

    await around.run()

    assert (SecretValue("newest"), "them-1") == (around.stored.refresh_token, around.stored.intent_id)


async def test_a_result_leaves_the_intent_of_an_exchange_where_there_is_no_grant(around: Surroundings) -> None:
    """A person has deleted the document and consented, and another holder renews the candidate."""
    task = await around.begin()
    around.vault.put(GRANT_LOCATION, **THEIR_INTENT, **OF_A_CANDIDATE)
    around.clock.turn(timedelta(minutes=2))
    around.pipedrive.answer()

    await task

    assert (SecretValue("refresh-1"), "them-1") == (around.stored.refresh_token, around.stored.intent_id)


async def test_a_grant_that_replaces_a_refused_one_leaves_the_intent_of_an_exchange(around: Surroundings) -> None:
    """Another cluster has begun an exchange since our intent was withdrawn."""
    await around.escrow.keep(GRANT_LOCATION, Grant(refresh_token=SecretValue("newest")), "us-0", CLIENT_SECRET)
    around.pipedrive.alive = {"newest"}
    task = await around.begin()
    written = len(around.vault.writes)

    def begin_an_exchange(_: float) -> None:
        if len(around.vault.writes) > written:
            around.cluster.lists_escrow = lambda _: None  # type: ignore[method-assign,assignment]
            around.vault.put(GRANT_LOCATION, refresh_token="seed", **THEIR_INTENT, **OF_A_CANDIDATE)

    around.cluster.lists_escrow = begin_an_exchange  # type: ignore[method-assign,assignment]
    around.pipedrive.answer()
    await around.clock.next_sleep()

    assert (SecretValue("newest"), "them-1") == (around.stored.refresh_token, around.stored.intent_id)
    task.cancel()


async def test_a_result_replaces_the_older_one_that_a_stopped_holder_has_stored_beside_our_intent(
    around: Surroundings,
) -> None:
    """The refresh token stays the same. Our intent must not stay in Vault, because other holders wait for it."""
    around.pipedrive.rotates = False
    task = await around.begin()
    late = replace(around.stored, token=access_token("late"))
    around.vault.put(GRANT_LOCATION, **write_grant(late, {}))
    around.pipedrive.answer()

    refreshed = await around.in_time(task)

    assert (refreshed.access_digest, None) == (around.stored.access_digest, around.stored.intent)
    assert late.access_digest != refreshed.access_digest


async def test_half_a_result_does_not_replace_the_access_token_that_was_stored_beside_our_intent(
    around: Surroundings,
) -> None:
    """It has the access token from before. Our intent must not stay in Vault, because other holders wait for it."""
    around.pipedrive.rotates = False
    around.pipedrive.spoils_answers = 1.0
    old = Grant(refresh_token=SecretValue("seed"), token=access_token("old", lifetime=timedelta(seconds=1)))
    around.vault.put(GRANT_LOCATION, **write_grant(old, {}))
    around.clock.turn(timedelta(seconds=2))
    task = await around.begin()
    late = replace(around.stored, token=access_token("late"))
    around.vault.put(GRANT_LOCATION, **write_grant(late, {}))
    around.pipedrive.answer()

    with pytest.raises(TokenResponseUnusable):
        await around.in_time(task)

    assert (late.access_digest, None) == (around.stored.access_digest, around.stored.intent)


async def test_an_intent_is_withdrawn_although_another_holder_has_stored_its_result_beside_it(
    around: Surroundings,
) -> None:
    """Nothing was sent under it, and other holders wait for as long as they see it."""

    def store_a_late_result() -> None:
        around.clock.turn(timedelta(seconds=2))
        late = replace(around.stored, token=access_token("late"))
        around.vault.put(GRANT_LOCATION, **write_grant(late, {}))

    around.pipedrive.before_fence = store_a_late_result

    await around.in_time(around.run())

    assert ([], None) == (around.pipedrive.sent, around.stored.intent)


async def test_the_intent_of_an_exchange_is_withdrawn_although_another_holder_has_stored_its_result_beside_it() -> None:
    """The code was refused. Other holders must not wait for its intent before they refresh the grant."""
    around = ConsentSurroundings()
    order = around.order()
    around.pipedrive.codes.clear()
    task = await around.begin_exchange(order)
    late = replace(around.stored, refresh_token=SecretValue("late"), refreshed_from=around.stored.lineage)
    around.vault.put(GRANT_LOCATION, **write_grant(late, {}))
    around.pipedrive.answer()

    await around.in_time(task)

    assert (SecretValue("late"), None) == (around.stored.refresh_token, around.stored.intent)


async def test_the_intent_of_another_holder_is_not_withdrawn(around: Surroundings) -> None:
    """It has taken over, because this process was stopped before its request."""

    def take_over() -> None:
        around.clock.turn(timedelta(minutes=2))
        around.vault.put(GRANT_LOCATION, refresh_token="seed", **THEIR_INTENT)

    around.pipedrive.before_fence = take_over
    task = asyncio.create_task(around.run())
    await around.clock.next_sleep()

    assert "them-1" == around.stored.intent_id
    task.cancel()


async def test_the_intent_of_another_holder_is_not_withdrawn_after_an_exchange() -> None:
    """It has taken over, because Pipedrive took long to refuse the code."""
    around = ConsentSurroundings()
    order = around.order()
    around.pipedrive.codes.clear()
    task = await around.begin_exchange(order)
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **THEIR_INTENT)
    theirs = around.vault.documents[GRANT_LOCATION]
    around.pipedrive.answer()

    await around.in_time(task)

    assert theirs == around.vault.documents[GRANT_LOCATION]


async def test_the_successor_of_a_token_that_has_not_rotated_before_is_stored(around: Surroundings) -> None:
    """The grant in Vault was refreshed from itself, and so it looks like a sibling of its successor."""
    stayed = Grant(refresh_token=SecretValue("seed"), refreshed_from=around.stored.lineage)
    around.vault.put(GRANT_LOCATION, **write_grant(stayed, {}))
    successor = replace(stayed, refresh_token=SecretValue("newest"), token=access_token())
    await around.escrow.keep(GRANT_LOCATION, successor, "us-0", CLIENT_SECRET)

    await around.run()

    assert ([], SecretValue("newest")) == (around.pipedrive.sent, around.stored.refresh_token)


async def test_an_outdated_candidate_in_escrow_is_dropped_without_a_refresh() -> None:
    """Vault holds the grant that it became."""
    around = ConsentSurroundings()
    await around.die_with_a_candidate()
    candidate = around.held
    await around.in_time(around.protocol.parts.candidates.settle(GRANT_SOURCE))
    newest = replace(around.stored, refresh_token=SecretValue("newest"), refreshed_from="the one between")
    around.vault.put(GRANT_LOCATION, **write_grant(newest, {}))
    await around.escrow.keep(GRANT_LOCATION, candidate, "us-0", CLIENT_SECRET)

    await around.in_time(around.run())

    assert (["code-1"], {}) == (around.pipedrive.sent, around.cluster.escrow)


async def test_a_candidate_in_escrow_that_stays_the_same_is_not_written_again_and_again() -> None:
    """Its refresh token does not rotate, Vault holds it already, and the copy cannot be deleted."""
    around = ConsentSurroundings()
    await around.die_with_a_candidate()
    candidate = around.held
    renewed = replace(candidate, refreshed_from=candidate.lineage)
    around.vault.put(GRANT_LOCATION, **with_candidate(around.values, renewed))
    await around.escrow.keep(GRANT_LOCATION, renewed, "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True

    await asyncio.wait_for(around.in_time(around.run()), timeout=5)

    assert around.stored.lineage == candidate.lineage


async def test_a_candidate_in_escrow_that_cannot_be_deleted_stops_no_refresh() -> None:
    """Vault holds what became of it, as after the API server denied the deletion."""
    around = ConsentSurroundings()
    await around.die_with_a_candidate()
    candidate = around.held
    await around.in_time(around.protocol.parts.candidates.settle(GRANT_SOURCE))
    await around.escrow.keep(GRANT_LOCATION, candidate, "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True
    around.clock.turn(timedelta(hours=2))

    await around.in_time(around.run())

    assert ["code-1", candidate.refresh_token.reveal()] == around.pipedrive.sent


async def test_a_token_is_not_sent_if_its_successor_gets_into_escrow_behind_our_intent(around: Surroundings) -> None:
    """We took over from a holder that was stopped after its request: it goes on just before ours."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **UNANSWERED)
    successor = Grant(refresh_token=SecretValue("newest"), token=access_token(), refreshed_from=around.stored.lineage)
    await _keep_behind_our_intent(around, successor)

    await around.in_time(around.run())

    assert [] == around.pipedrive.sent
    assert SecretValue("newest") == around.stored.refresh_token


async def test_the_intent_is_withdrawn_if_the_escrow_cannot_be_read_before_the_request(around: Surroundings) -> None:
    """Nothing was sent, so nobody has to wait for an answer."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **UNANSWERED)

    def fail() -> None:
        around.cluster.network.is_away = True

    around.pipedrive.before_fence = fail

    with pytest.raises(ApiServerUnavailable):
        await around.run()

    assert ([], None) == (around.pipedrive.sent, around.stored.intent)


@pytest.mark.parametrize(("late", "copies"), [(timedelta(seconds=30), 0), (timedelta(minutes=2), 1)])
async def test_a_success_drops_an_escrow_of_unclear_descent_only_while_its_intent_stands(
    around: Surroundings, late: timedelta, copies: int
) -> None:
    """After that another holder may have sent the same token, which ends the grant at a vendor that detects reuse."""
    await around.escrow.keep(GRANT_LOCATION, Grant(refresh_token=SecretValue("other")), "us-0", CLIENT_SECRET)
    task = await around.begin()
    around.clock.turn(late)
    around.pipedrive.answer()

    await task

    assert copies == len(around.cluster.escrow)


async def test_a_candidate_is_not_sent_if_its_successor_gets_into_escrow_behind_our_intent() -> None:
    """We took over its renewal from a holder that was stopped after its request."""
    around = ConsentSurroundings()
    order = await around.die_with_a_candidate()
    spent = around.held
    around.vault.put(GRANT_LOCATION, **(around.values | THEIR_INTENT | OF_A_CANDIDATE))
    around.clock.turn(timedelta(hours=2))
    renewed = replace(spent, refresh_token=SecretValue("renewed"), refreshed_from=spent.lineage, token=None)
    around.pipedrive.alive = {"renewed"}
    await _keep_behind_our_intent(around, renewed)

    with pytest.raises(FenceClosed):
        await around.in_time(around.exchange.conclude(order))
    await around.in_time(around.exchange.conclude(order))

    assert ["code-1", "renewed"] == around.pipedrive.sent


async def _keep_behind_our_intent(around: Surroundings, grant: Grant) -> None:
    """Let another process keep a grant in escrow between our intent and our request."""
    elsewhere = FakeCluster()
    await build_escrow(elsewhere).keep(GRANT_LOCATION, grant, "them-1", CLIENT_SECRET)
    around.pipedrive.before_fence = lambda: around.cluster.escrow.update(elsewhere.escrow)


@pytest.mark.parametrize("is_marked", [True, False])
@pytest.mark.parametrize("newer_waits_for", ["its client", "Pipedrive"])
async def test_a_late_renewal_of_the_grant_is_used_although_a_newer_consent_waits(
    newer_waits_for: str, *, is_marked: bool
) -> None:
    """The candidate was promoted meanwhile, and the place beside it is taken. Its refresh token is spent."""
    around = ConsentSurroundings()
    mark = Unanswered(count=1, at=NOW, by="them") if is_marked else None
    stored = Grant(
        refresh_token=SecretValue("seed"), client_id="client", account=ACCOUNT, consent="older", unanswered=mark
    )
    late = Grant(
        refresh_token=SecretValue("renewed"),
        token=access_token("renewed"),
        client_id="client",
        refreshed_from=stored.lineage,
        first_refreshed_from=stored.lineage,
        refresh_count=1,
        terms=Terms(consent="older", consent_generation=2, expected=None, over=None),
    )
    newer = Grant(
        refresh_token=SecretValue("newer"),
        token=access_token("newer"),
        client_id="another" if newer_waits_for == "its client" else "client",
        terms=Terms(consent="newer", consent_generation=2, expected=None, over=stored.origin),
    )
    around.vault.put(GRANT_LOCATION, **with_candidate(write_grant(stored, {}), newer))
    await around.escrow.keep(GRANT_LOCATION, late, "them-1", CLIENT_SECRET)
    say_nothing_about(around.pipedrive, newer, PipedriveUnavailable("503"))

    with suppress(PipedriveUnavailable):  # about the newer one
        await around.in_time(around.run(replace(ORDER, replaces=None)))

    assert (late.lineage, ACCOUNT, "older") == (around.stored.lineage, around.stored.account, around.stored.consent)
    assert newer.exchange == around.held.exchange
    assert [] == around.pipedrive.sent
    assert {} == around.cluster.escrow
