"""A candidate about which Pipedrive does not decide makes room for a newer consent, and is not lost."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fakes.escrow import build_escrow
from pipedrive_operator.core.grant.candidate import marks_of, with_candidate, with_marks
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.grant import Grant, TokenResponse
from pipedrive_operator.core.grant.intent import Intent
from pipedrive_operator.core.grant.succession import EscrowedGrant
from pipedrive_operator.core.grant.terms import Exchange
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    CheckAndSetConflict,
    GrantUnstored,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    Trouble,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.grants.exchange import CODE_USABLE, LONGEST_WAIT_FOR_ROOM
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, GRANT_SOURCE, access_token
from support.exchanges import CONSENT, ConsentSurroundings, say_nothing_about


async def test_a_newer_consent_does_not_wait_for_an_older_one_that_pipedrive_does_not_decide_about(
    consent: ConsentSurroundings,
) -> None:
    """The older result waits in escrow."""
    stuck = await consent.die_with_a_candidate()
    say_nothing_about(consent.pipedrive, consent.held, RateLimited("429"))

    assert ConsentReason.CONNECTED is await consent.in_time(consent.connect())

    assert [stuck.exchange] == await _exchanges_in_escrow(consent)
    assert (["code-1", "code-3"], None) == (consent.pipedrive.sent, consent.candidate)


async def test_a_newer_consent_waits_while_pipedrive_is_away_but_not_until_its_code_expires(
    consent: ConsentSurroundings,
) -> None:
    """If Pipedrive returned in time, both could be exchanged."""
    await consent.die_with_a_candidate()
    say_nothing_about(consent.pipedrive, consent.held, PipedriveUnavailable("503"))
    order, began = consent.order(), consent.clock.monotonic()

    found = await consent.in_time(consent.exchange.run(order, consent.claim))

    assert found is not None
    assert ConsentReason.CONNECTED is found.reason
    assert LONGEST_WAIT_FOR_ROOM <= consent.clock.monotonic() - began < CODE_USABLE


async def test_a_candidate_that_cannot_be_kept_in_escrow_keeps_its_place(consent: ConsentSurroundings) -> None:
    """A quota allows no Secret in the operator's namespace."""
    await consent.die_with_a_candidate()
    candidate = consent.held
    say_nothing_about(consent.pipedrive, candidate, RateLimited("429"))
    consent.cluster.breaks = ApiServerUnavailable("exceeded quota")

    assert ConsentReason.CODE_EXPIRED is await consent.in_time(consent.connect())

    assert (candidate, ["code-1"]) == (consent.held, consent.pipedrive.sent)


async def test_a_candidate_that_was_set_aside_is_verified_after_the_newer_consent(
    consent: ConsentSurroundings,
) -> None:
    """Its grant is alive, so Pipedrive decides between the two."""
    consent.pipedrive.consent_ends_others = False
    stuck = await consent.die_with_a_candidate()
    decide = say_nothing_about(consent.pipedrive, consent.held, RateLimited("429"))
    newer = await _connect(consent)
    consent.pipedrive.identify_access_token = decide  # type: ignore[method-assign,assignment]

    found = await consent.in_time(consent.exchange.conclude(stuck))

    assert ConsentReason.UNCERTAIN is found.reason
    assert (newer, None) == (consent.stored.exchange, consent.candidate)
    assert [stuck.exchange] == await _exchanges_in_escrow(consent)


async def test_a_candidate_that_was_settled_while_it_was_set_aside_stays_settled(consent: ConsentSurroundings) -> None:
    """This process was stopped before it removed the candidate from Vault."""
    await consent.die_with_a_candidate()
    candidate = consent.held
    decide = say_nothing_about(consent.pipedrive, candidate, RateLimited("429"))
    keep = consent.escrow.keep

    async def keep_late(*copy: object) -> bool:
        consent.escrow.keep = keep  # type: ignore[method-assign]
        consent.pipedrive.identify_access_token = decide  # type: ignore[method-assign,assignment]
        await consent.protocol.parts.candidates.settle(GRANT_SOURCE)
        return await keep(*copy)  # type: ignore[arg-type]

    consent.escrow.keep = keep_late  # type: ignore[method-assign,assignment]

    assert ConsentReason.CONNECTED is await consent.in_time(consent.connect())

    assert (None, []) == (consent.candidate, await _exchanges_in_escrow(consent))


async def test_the_result_of_a_consent_waits_in_escrow_for_the_candidate_of_another_one(
    consent: ConsentSurroundings,
) -> None:
    """Another process has stored that one since the code was sent, and Pipedrive does not decide about it."""
    task = await consent.begin_exchange()
    other = _store_candidate_of_another(consent, RateLimited("429"))
    consent.pipedrive.answer()

    with pytest.raises(RateLimited):
        await consent.in_time(task)

    assert (other.lineage, 1) == (consent.held.lineage, len(await _exchanges_in_escrow(consent)))


async def test_a_result_that_is_left_in_escrow_leaves_no_intent(consent: ConsentSurroundings) -> None:
    """Other holders would wait for as long as they see it."""
    task = await consent.begin_exchange()
    _store_candidate_of_another(consent, RateLimited("429"))
    consent.pipedrive.answer()

    with pytest.raises(RateLimited):
        await consent.in_time(task)

    assert (None, None) == marks_of(consent.vault.documents[GRANT_LOCATION])


async def test_a_result_that_is_left_in_escrow_is_no_unanswered_renewal_of_another_answer(
    consent: ConsentSurroundings,
) -> None:
    """Both are of one consent, and the intent of the exchange could not be removed."""
    task = await consent.begin_exchange()
    other = _store_candidate_of_another(consent, consent=CONSENT)
    decide = say_nothing_about(consent.pipedrive, other, RateLimited("429"))
    _let_the_next_write_land_late(consent, after=1)
    consent.pipedrive.answer()
    with pytest.raises(RateLimited):
        await consent.in_time(task)
    consent.pipedrive.identify_access_token = decide  # type: ignore[method-assign,assignment]

    await consent.in_time(consent.protocol.parts.candidates.settle(GRANT_SOURCE))

    assert (other.lineage, None) == (consent.stored.lineage, consent.stored.unanswered)


async def test_a_result_that_cannot_be_kept_in_escrow_gets_into_vault_after_the_other_candidate(
    consent: ConsentSurroundings,
) -> None:
    """A quota allows no Secret in the operator's namespace, and Pipedrive decides about the other one."""
    task = await consent.begin_exchange()
    other = _store_candidate_of_another(consent)
    consent.cluster.breaks = ApiServerUnavailable("exceeded quota")
    consent.pipedrive.answer()

    with pytest.raises(GrantUnstored):
        await consent.in_time(task)

    assert (other.lineage, SecretValue("refresh-2")) == (consent.stored.lineage, consent.held.refresh_token)


async def test_a_candidate_whose_renewals_are_never_answered_makes_room(consent: ConsentSurroundings) -> None:
    """Pipedrive answers everything else."""
    await consent.die_with_a_candidate()
    stuck = consent.held.refresh_token
    consent.clock.turn(timedelta(hours=9))
    refresh = consent.pipedrive.refresh

    async def answer_others(client: ClientCredentials, token: SecretValue, *, fence: Any) -> TokenResponse:
        if token == stuck:
            await fence()
            raise RefreshUncertain("502")
        return await refresh(client, token, fence=fence)

    consent.pipedrive.refresh = answer_others  # type: ignore[method-assign,assignment]

    assert ConsentReason.CONNECTED is await consent.in_time(consent.connect())


async def test_a_candidate_that_was_set_aside_and_renewed_since_is_not_sent_again(consent: ConsentSurroundings) -> None:
    """Its copy cannot be deleted, and a newer consent has replaced the grant that it became."""
    stuck = await consent.die_with_a_candidate()
    spent = consent.held.refresh_token.reveal()
    decide = say_nothing_about(consent.pipedrive, consent.held, RateLimited("429"))
    refused = replace(consent.order(), code=SecretValue("unknown"))
    await consent.in_time(consent.exchange.run(refused, consent.claim))
    consent.pipedrive.identify_access_token = decide  # type: ignore[method-assign,assignment]
    consent.cluster.keeps_escrow_for_ever = True
    consent.clock.turn(timedelta(hours=9))
    await consent.in_time(consent.exchange.conclude(stuck))
    await _connect(consent)

    await consent.in_time(consent.run())

    assert 1 == consent.pipedrive.sent.count(spent)


async def test_a_connected_consent_is_reported_although_an_older_one_has_returned(consent: ConsentSurroundings) -> None:
    """Pipedrive still says nothing about the older one."""
    await consent.die_with_a_candidate()
    older = consent.held
    say_nothing_about(consent.pipedrive, older, RateLimited("429"))
    order = consent.order()
    await consent.in_time(consent.exchange.run(order, consent.claim))
    await consent.protocol.parts.copies.restore_any(GRANT_SOURCE)
    assert older.exchange == consent.held.exchange

    found = await consent.in_time(consent.exchange.conclude(order))

    assert ConsentReason.CONNECTED is found.reason


async def test_a_lost_result_is_reported_although_pipedrive_says_nothing_about_an_older_one(
    consent: ConsentSurroundings,
) -> None:
    """The process died before the first copy of the newer result."""
    await consent.die_with_a_candidate()
    say_nothing_about(consent.pipedrive, consent.held, RateLimited("429"))
    lost = consent.order()

    found = await consent.in_time(consent.exchange.conclude(lost))

    assert ConsentReason.UNCERTAIN is found.reason


async def test_a_grant_that_is_due_does_not_wait_for_two_answers_that_pipedrive_does_not_decide_about(
    consent: ConsentSurroundings,
) -> None:
    """One is the candidate, and one is in escrow."""
    await consent.die_with_a_candidate()
    say_nothing_about(consent.pipedrive, consent.held, PipedriveUnavailable("503"))
    other = Grant(refresh_token=SecretValue("other"), token=access_token(), terms=consent.terms_of_another())
    await build_escrow(consent.cluster).keep(GRANT_LOCATION, other, "them-1", SecretValue("hush"))
    await consent.escrow.load()

    await consent.in_time(consent.run())

    assert ["code-1", "seed"] == consent.pipedrive.sent
    assert [other.exchange] == await _exchanges_in_escrow(consent)


async def test_a_copy_stays_until_the_write_that_removes_its_candidate_can_no_longer_land(
    consent: ConsentSurroundings,
) -> None:
    """Vault did not answer that write in time."""
    await consent.die_with_a_candidate()
    candidate, copies = consent.held, consent.protocol.parts.copies
    land_late = _let_the_next_write_land_late(consent)
    with pytest.raises(VaultUnavailable):
        await consent.protocol.parts.places.set_aside(GRANT_SOURCE)

    await copies.drop_unneeded(await _in_escrow(consent), GRANT_SOURCE)
    assert await copies.restore_any(GRANT_SOURCE)
    assert [candidate.exchange] == await _exchanges_in_escrow(consent)

    with pytest.raises(CheckAndSetConflict):
        await land_late()
    assert not await copies.restore_any(GRANT_SOURCE)
    assert (candidate, []) == (consent.held, await _exchanges_in_escrow(consent))


async def test_a_candidate_that_left_vault_late_returns_from_escrow(consent: ConsentSurroundings) -> None:
    """Vault did not answer the write that removes it in time, and has stored it since."""
    await consent.die_with_a_candidate()
    candidate = consent.held
    land_late = _let_the_next_write_land_late(consent)
    with pytest.raises(VaultUnavailable):
        await consent.protocol.parts.places.set_aside(GRANT_SOURCE)
    await land_late()
    left = consent.candidate

    assert await consent.protocol.parts.copies.restore_any(GRANT_SOURCE)

    assert (None, candidate.lineage) == (left, consent.held.lineage)


async def test_a_candidate_is_set_aside_with_its_renewals_that_nobody_has_answered(
    consent: ConsentSurroundings,
) -> None:
    """The process that renewed it has died."""
    await consent.die_with_a_candidate()
    say_nothing_about(consent.pipedrive, consent.held, RateLimited("429"))
    started_at, timeout = consent.clock.now(), timedelta(seconds=30)
    renewal = Intent(holder="them", refresh_id="them-1", started_at=started_at, timeout=timeout, consent=CONSENT)
    consent.vault.put(GRANT_LOCATION, **with_marks(consent.values, renewal, None))

    await _connect(consent)

    (copy,) = await consent.escrow.open(GRANT_LOCATION, SecretValue("hush"))
    assert copy.grant.unanswered is not None


async def test_a_copy_waits_until_the_candidate_of_another_consent_is_settled(consent: ConsentSurroundings) -> None:
    """Another process has stored that candidate since this one has read the document."""
    await consent.die_with_a_candidate()
    held = consent.held
    other = Grant(refresh_token=SecretValue("other"), token=access_token(), terms=consent.terms_of_another())
    copy = EscrowedGrant(grant=other, refresh_id="them-1")

    assert await consent.protocol.parts.copies.restore([copy], GRANT_SOURCE)

    assert held == consent.held


async def test_a_copy_aside_that_cannot_be_decrypted_stops_no_refresh(consent: ConsentSurroundings) -> None:
    """The client secret was changed; the copy stays, in case it is put back."""
    await consent.die_with_a_candidate()
    say_nothing_about(consent.pipedrive, consent.held, RateLimited("429"))
    newer = await _connect(consent)
    consent.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="changed")
    consent.clock.turn(timedelta(hours=2))

    await consent.in_time(consent.run())

    assert ["code-1", "code-3", "refresh-4"] == consent.pipedrive.sent
    assert (newer, 1) == (consent.stored.exchange, len(consent.cluster.escrow))


async def _connect(consent: ConsentSurroundings) -> Exchange:
    order = consent.order()
    found = await consent.in_time(consent.exchange.run(order, consent.claim))
    assert found is not None
    assert ConsentReason.CONNECTED is found.reason
    return order.exchange


async def _exchanges_in_escrow(consent: ConsentSurroundings) -> Sequence[Exchange]:
    return [copy.grant.exchange for copy in await _in_escrow(consent)]


async def _in_escrow(consent: ConsentSurroundings) -> Sequence[EscrowedGrant]:
    return await consent.escrow.open(GRANT_LOCATION, SecretValue("hush"))


def _let_the_next_write_land_late(consent: ConsentSurroundings, *, after: int = 0) -> Callable[[], Awaitable[int]]:
    """Let Vault not answer the next write, or one after it, and return what stores it."""
    write, held_back, before = consent.vault.write, [], iter(range(after))

    async def hold_back(*request: Any, cas: int) -> int:
        if next(before, None) is not None:
            return await write(*request, cas=cas)
        held_back.append((request, cas))
        consent.vault.write = write  # type: ignore[method-assign]
        raise VaultUnavailable("no answer in time")

    consent.vault.write = hold_back  # type: ignore[method-assign,assignment]

    async def land() -> int:
        request, cas = held_back.pop()
        return await write(*request, cas=cas)

    return land


def _store_candidate_of_another(
    around: ConsentSurroundings, trouble: Trouble | None = None, *, consent: str = "another"
) -> Grant:
    """Store a candidate, as another process would, about which Pipedrive does not decide if there is trouble."""
    terms = replace(around.terms_of_another(), consent=consent, consent_generation=9)
    other = Grant(refresh_token=SecretValue("other"), token=(token := access_token()), terms=terms)
    around.pipedrive.accounts[token.value.reveal()] = around.pipedrive.company
    around.vault.put(GRANT_LOCATION, **with_candidate(around.values, other))
    if trouble is not None:
        say_nothing_about(around.pipedrive, other, trouble)
    return other
