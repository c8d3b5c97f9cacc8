"""A candidate about which Pipedrive does not decide, and the grant beside it: each gets its turn."""

from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.grant.candidate import with_candidate
from pipedrive_operator.core.grant.grant import Grant, write_grant
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    ConsentRequired,
    GrantUnstored,
    PipedriveUnavailable,
    RateLimited,
    TokenResponseUnusable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_LOCATION, GRANT_SOURCE, access_token
from support.exchanges import ConsentSurroundings, say_nothing_about
from support.refresh import ORDER


@pytest.mark.parametrize("trouble", [RateLimited("429"), PipedriveUnavailable("502"), TokenResponseUnusable])
async def test_a_grant_that_is_due_comes_before_a_candidate_about_which_pipedrive_did_not_decide(
    consent: ConsentSurroundings, trouble: Any
) -> None:
    """The candidate needs a renewal, which fails each time."""
    await consent.die_with_a_candidate()
    consent.clock.turn(timedelta(hours=9))
    _let_renewals_of_candidates_fail(consent, trouble)

    await consent.in_time(consent.run())

    assert "seed" in consent.pipedrive.sent
    assert SecretValue("seed").digest() == consent.stored.refreshed_from
    assert consent.candidate is not None


async def test_a_grant_that_is_due_does_not_wait_for_a_candidate_of_unknown_outcome_twice(
    consent: ConsentSurroundings,
) -> None:
    """The pause after the unknown outcome is awaited, and then the grant comes first."""
    await consent.renew_without_an_answer()

    await consent.in_time(consent.run())

    assert ["code-1", "refresh-2", "seed"] == consent.pipedrive.sent


async def test_a_candidate_is_verified_after_the_grant_that_was_due_had_its_turn(consent: ConsentSurroundings) -> None:
    """Pipedrive could not say once whose the candidate is. The grant beside it lives."""
    await consent.die_with_a_candidate()
    _fail_once(consent)
    await consent.in_time(consent.run())

    consent.clock.turn(timedelta(hours=2))
    await consent.in_time(consent.run())

    assert consent.candidate is None
    assert ["code-1", "seed", "refresh-2"] == consent.pipedrive.sent


async def test_a_candidate_is_verified_first_if_the_grant_beside_it_was_refused() -> None:
    """Pipedrive has ended that grant because of the consent, and could not say once whose the candidate is."""
    consent = ConsentSurroundings()
    await consent.die_with_a_candidate()
    _fail_once(consent)
    with pytest.raises(PipedriveUnavailable):
        await consent.in_time(consent.run())

    await consent.in_time(consent.run())

    assert (["code-1", "seed"], SecretValue("refresh-2")) == (consent.pipedrive.sent, consent.stored.refresh_token)


async def test_the_refusal_of_the_grant_is_not_repeated_while_pipedrive_does_not_decide_about_the_candidate() -> None:
    """The candidate may be the only one that is alive."""
    consent = ConsentSurroundings()
    await consent.die_with_a_candidate()
    consent.pipedrive.identify_access_token = _away  # type: ignore[method-assign,assignment]
    for _ in range(3):
        with pytest.raises(PipedriveUnavailable):
            await consent.in_time(consent.run())

    assert ["code-1", "seed"] == consent.pipedrive.sent


async def test_a_renewal_that_nobody_has_answered_is_named_after_the_grant_had_its_turn(
    consent: ConsentSurroundings,
) -> None:
    """The intent of the grant takes the place of that of the renewal."""
    await consent.renew_without_an_answer()

    await consent.in_time(consent.run())

    assert consent.candidate is not None
    assert consent.candidate.unanswered is not None


async def test_a_candidate_that_cannot_be_handed_over_keeps_no_grant_from_working(consent: ConsentSurroundings) -> None:
    """A quota allows no Secret in the operator's namespace."""
    await consent.die_with_a_candidate()
    candidate = consent.held
    patched = write_grant(Grant(refresh_token=SecretValue("patched")), {})
    consent.vault.put(GRANT_LOCATION, **with_candidate(patched, candidate))
    consent.pipedrive.alive.add("patched")
    consent.cluster.breaks = ApiServerUnavailable("exceeded quota")

    await consent.in_time(consent.run())

    assert ["code-1", "patched"] == consent.pipedrive.sent
    with pytest.raises(GrantUnstored):
        await consent.protocol.parts.candidates.settle(GRANT_SOURCE)


async def test_a_copy_of_a_dropped_candidate_does_not_let_another_candidate_stop_the_grant(
    consent: ConsentSurroundings,
) -> None:
    """Pipedrive does not decide about the other one, and the grant is due."""
    await consent.leave_a_copy_of_a_dropped_candidate()
    await consent.in_time(consent.run())
    other = Grant(refresh_token=SecretValue("other"), token=access_token(), terms=consent.terms_of_another())
    consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, other))
    consent.clock.turn(timedelta(hours=2))
    _let_renewals_of_candidates_fail(consent, PipedriveUnavailable("502"))

    await consent.in_time(consent.run())

    assert ["code-1", "seed", "refresh-3"] == consent.pipedrive.sent


@pytest.mark.parametrize("is_usable", [True, False])
async def test_a_grant_that_was_refused_once_comes_first_again_after_a_success(
    consent: ConsentSurroundings, *, is_usable: bool
) -> None:
    """Its refresh token does not rotate, and the refusal was false."""
    consent.pipedrive.rotates = False
    consent.pipedrive.alive = set()
    with pytest.raises(ConsentRequired):
        await consent.in_time(consent.run())
    consent.pipedrive.alive = {"seed"}
    consent.pipedrive.spoils_answers = 0.0 if is_usable else 1.0
    with nullcontext() if is_usable else pytest.raises(TokenResponseUnusable):
        await consent.in_time(consent.run())
    consent.pipedrive.spoils_answers = 0.0
    other = Grant(refresh_token=SecretValue("other"), token=access_token(), terms=consent.terms_of_another())
    consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, other))
    consent.clock.turn(timedelta(hours=2))
    _let_renewals_of_candidates_fail(consent, PipedriveUnavailable("502"))

    await consent.in_time(consent.run())

    assert ["seed", "seed", "seed"] == consent.pipedrive.sent


async def test_a_half_usable_answer_about_a_candidate_is_none_about_the_grant(consent: ConsentSurroundings) -> None:
    """Otherwise it would count as a refresh of the grant, which needs none."""
    await consent.in_time(consent.run())
    expired = replace(access_token(), expires_at=consent.clock.now())
    other = Grant(refresh_token=SecretValue("other"), token=expired, terms=consent.terms_of_another())
    consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, other))
    consent.pipedrive.alive.add("other")
    consent.pipedrive.spoils_answers = 1.0

    with pytest.raises(PipedriveUnavailable):
        await consent.in_time(consent.run())

    assert ["seed", "other"] == consent.pipedrive.sent


def _fail_once(consent: ConsentSurroundings) -> None:
    """Let Pipedrive say nothing about the next access token."""
    identify = consent.pipedrive.identify_access_token

    async def fail_once(_: Token) -> Account:
        consent.pipedrive.identify_access_token = identify  # type: ignore[method-assign]
        raise PipedriveUnavailable("503")

    consent.pipedrive.identify_access_token = fail_once  # type: ignore[method-assign,assignment]


async def _away(_: Token) -> Account:
    raise PipedriveUnavailable("503")


def _let_renewals_of_candidates_fail(consent: ConsentSurroundings, trouble: Any) -> None:
    refresh = consent.pipedrive.refresh

    async def fail(client: Any, token: SecretValue, *, fence: Any) -> Any:
        if token == consent.stored.refresh_token:
            return await refresh(client, token, fence=fence)
        await fence()
        if isinstance(trouble, Exception):
            raise trouble
        consent.pipedrive.numbers += 1
        raise TokenResponseUnusable("api_domain", refresh_token=SecretValue(f"half-{consent.pipedrive.numbers}"))

    consent.pipedrive.refresh = fail  # type: ignore[method-assign,assignment]


@pytest.mark.parametrize("is_rewritten", [False, True])
@pytest.mark.parametrize("renewals", [1, 2])
async def test_a_grant_that_was_spent_for_the_candidate_does_not_come_first(
    consent: ConsentSurroundings, renewals: int, *, is_rewritten: bool
) -> None:
    """Another process has promoted it, or a person has written it, while the candidate was renewed. It is not sent."""
    _, candidate = await consent.promote_what_is_renewed(renewals)
    values = {"refresh_token": consent.stored.refresh_token.reveal()} if is_rewritten else consent.values
    consent.vault.put(GRANT_LOCATION, **with_candidate(values, candidate))
    say_nothing_about(consent.pipedrive, candidate, RateLimited("429"))

    with pytest.raises(RateLimited):
        await consent.in_time(consent.run(replace(ORDER, replaces=consent.stored.access_digest)))

    assert ["code-1"] == consent.pipedrive.sent


@pytest.mark.parametrize("renewals", [1, 2])
async def test_a_grant_is_not_sent_while_the_candidate_that_it_was_spent_for_is_set_aside(
    consent: ConsentSurroundings, renewals: int
) -> None:
    """Pipedrive decides neither about that one nor about the candidate of the newer consent."""
    _, renewed = await consent.promote_what_is_renewed(renewals)
    spent = consent.stored.refresh_token.reveal()
    consent.vault.put(GRANT_LOCATION, **with_candidate(consent.values, renewed))
    consent.pipedrive.alive = {renewed.refresh_token.reveal()}

    async def say_nothing(_: Token) -> Account:
        raise RateLimited("429")

    consent.pipedrive.identify_access_token = say_nothing  # type: ignore[method-assign,assignment]
    with pytest.raises(RateLimited):
        await consent.in_time(consent.exchange.run(replace(consent.order(), consent="newer"), consent.claim))

    with pytest.raises(RateLimited):
        await consent.in_time(consent.run(replace(ORDER, replaces=consent.stored.access_digest)))

    assert spent not in consent.pipedrive.sent
    assert (renewed.lineage, renewals) == (consent.stored.lineage, consent.stored.refresh_count)
