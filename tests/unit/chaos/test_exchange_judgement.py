"""The judgement of exchanges: no code twice, no other company, and no result lost outside the window."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from chaos import exchange_judgement
from chaos.attribution import first_copy
from chaos.evidence import (
    Answer,
    Death,
    Evidence,
    Exchange,
    Kind,
    Publication,
    Refresh,
    Trouble,
    Write,
    escrow_name,
    handed_over_name,
)
from chaos.exchange_judgement import Beginning, ExchangeMoment
from chaos.judgement import Limits, Loss

PATH = "pipedrive/acme/grant"
TARGETS = {PATH: ("acme", "grant")}
LIMITS = Limits(vault=3.0, answer=8.0)
ANSWER = Answer(path=PATH, name="acme/consent-1", code="code", belongs=True, reported="Connected", ended=101.0)
EXCHANGE = Exchange(
    path=PATH,
    consent="grant-2",
    token="code",
    issued="new",
    accepted=True,
    taken=100.0,
    answered=100.2,
    delivered=True,
    answer=ANSWER,
)
FOREIGN = replace(EXCHANGE, answer=replace(ANSWER, belongs=False, reported="WrongAccount"))
OLD = {"refresh_token": "old in Vault"}
HELD = {**OLD, "consent_candidate": "candidate"}
INTENT = Write(path=PATH, by="pair-0", at=99.9, kind=Kind.INTENT, for_consent=True, tokens={**OLD, "refresh_id": "1"})
CANDIDATE = Write(path=PATH, by="pair-0", at=100.21, kind=Kind.CANDIDATE, tokens=HELD)
PROMOTED = Write(path=PATH, by="pair-0", at=100.4, kind=Kind.PROMOTED, tokens={"refresh_token": "new in Vault"})
OVERWRITTEN = Write(path=PATH, by="root", at=100.3, kind=Kind.CONSENT)
SEEDED = Beginning(path=PATH, consent="grant-1", at=50.0, over=50.0)
REFRESH = Refresh(
    path=PATH,
    consent="grant-2",
    token="new",
    issued="newer",
    accepted=True,
    taken=110.0,
    answered=110.1,
    delivered=True,
)
PUBLISHED = Publication(by="pair-0", resource="secrets", namespace="acme", name="grant", at=100.5)
KILLED = Death(replica="pair-0", at=100.205, gone_at=100.21)


def reported(exchange: Exchange, reason: str) -> Exchange:
    """Let a consent end with another reason."""
    return replace(exchange, answer=replace(exchange.answer, reported=reason))


def seen(*writes: Write, exchange: Exchange = EXCHANGE, refreshes: Sequence[Refresh] = ()) -> Evidence:
    """Return the evidence of one exchange."""
    return Evidence(
        exchanges=(exchange,), answers=(exchange.answer,), writes=(INTENT, *writes), refreshes=tuple(refreshes)
    )


def begun(evidence: Evidence, held: str = "") -> list[Beginning]:
    """Return the consents that became the grant, after a first one."""
    return exchange_judgement.beginnings(evidence, [SEEDED], {PATH: held})


def lost(evidence: Evidence, *deaths: Death, troubles: Sequence[Trouble] = ()) -> list[Loss]:
    """Judge the results that did not become the grant."""
    return exchange_judgement.lost_results(evidence, begun(evidence), deaths=deaths, troubles=troubles, limits=LIMITS)


def test_a_code_that_is_sent_twice_is_found_even_if_pipedrive_refuses_it() -> None:
    """A code works once, so only a defect sends it again."""
    again = replace(EXCHANGE, accepted=False, consent="", issued=None, taken=130.0)
    assert ["code"] == exchange_judgement.sent_twice([EXCHANGE, again])
    assert [] == exchange_judgement.sent_twice([EXCHANGE, replace(EXCHANGE, token="another")])


def test_a_candidate_becomes_the_grant_when_it_is_promoted() -> None:
    """It replaces what Vault held when the code was sent."""
    expected = Beginning(path=PATH, consent="grant-2", at=100.4, over=100.0)
    assert [SEEDED, expected] == begun(seen(CANDIDATE, PROMOTED))
    assert [SEEDED] == begun(seen(CANDIDATE))


def test_a_promotion_without_an_acknowledgement_shows_in_what_vault_holds_and_in_the_next_refresh() -> None:
    """A Vault that is killed logs no acknowledgement."""
    assert ["grant-1", "grant-2"] == [one.consent for one in begun(seen(CANDIDATE), held="new")]
    refreshed = seen(CANDIDATE, Write(path=PATH, by="pair-0", at=109.0, kind=Kind.INTENT), refreshes=[REFRESH])
    assert ["grant-1", "grant-2"] == [one.consent for one in begun(refreshed)]


def test_a_refresh_of_a_candidate_does_not_make_it_the_grant() -> None:
    """Its intent names the consent."""
    assert ["grant-1"] == [
        one.consent for one in begun(seen(CANDIDATE, replace(INTENT, at=109.0), refreshes=[REFRESH]))
    ]


def test_only_the_newest_consent_of_a_path_must_be_held() -> None:
    """A candidate that never became the grant need not be held either."""
    evidence = seen(CANDIDATE, PROMOTED, refreshes=[replace(REFRESH, consent="grant-1", taken=60.0), REFRESH])
    assert {"grant-1"} == exchange_judgement.replaced(begun(evidence), evidence)
    unpromoted = seen(CANDIDATE)
    assert {"grant-2"} == exchange_judgement.replaced(begun(unpromoted), unpromoted)


@pytest.mark.parametrize(("written_at", "replaced"), [(99.0, {"grant-1", "grant-3"}), (100.3, {"grant-1"})])
def test_a_consent_does_not_replace_a_grant_that_was_written_after_its_code_was_sent(
    written_at: float, replaced: set[str]
) -> None:
    """The operator was not asked to replace that one."""
    written = Beginning(path=PATH, consent="grant-3", at=written_at, over=written_at)
    refreshes = [replace(REFRESH, consent=consent) for consent in ("grant-1", "grant-2", "grant-3")]
    evidence = seen(CANDIDATE, PROMOTED, refreshes=refreshes)
    both = exchange_judgement.beginnings(evidence, [SEEDED, written], {})

    assert replaced == exchange_judgement.replaced(both, evidence)


def test_a_result_that_became_the_grant_is_not_lost() -> None:
    """Nor is one that Pipedrive did not issue, or that belongs to another company."""
    assert [] == lost(seen(CANDIDATE, PROMOTED))
    assert [] == lost(seen(exchange=replace(EXCHANGE, accepted=False, consent="", issued=None)))
    assert [] == lost(seen(CANDIDATE, exchange=FOREIGN))


def test_a_result_that_is_lost_without_a_death_breaks_the_promise() -> None:
    """The verdict gives the reason."""
    (loss,) = lost(seen(exchange=reported(EXCHANGE, "Uncertain")))
    assert not loss.excused
    assert "no death" in loss.why


@pytest.mark.parametrize("reason", ["Uncertain", "CodeRefused", "Connected"])
def test_a_death_inside_the_window_excuses_and_the_status_must_say_uncertain(reason: str) -> None:
    """The window of an exchange is that of a refresh."""
    (loss,) = lost(seen(exchange=reported(EXCHANGE, reason)), KILLED)
    assert (True, reason == "Uncertain", "pair-0") == (loss.excused, loss.truthful, loss.sender)


def test_a_result_is_not_excused_once_a_copy_was_acknowledged() -> None:
    """The copy is a candidate in Vault, or an escrow."""
    escrow = Publication(
        by="pair-0", resource="secrets", namespace="pair", name=f"{escrow_name(PATH)}-{1:024}", at=100.205
    )
    for evidence in (seen(CANDIDATE), replace(seen(), publications=(escrow,))):
        (loss,) = lost(evidence, replace(KILLED, at=100.3, gone_at=100.31))
        assert not loss.excused
        assert "a copy was acknowledged" in loss.why


def test_the_result_of_a_refresh_is_no_copy_of_a_candidate() -> None:
    """Neither is an escrow that a later refresh has left."""
    stored = replace(CANDIDATE, kind=Kind.STORED, tokens={"refresh_token": "newer in Vault"})
    assert first_copy(EXCHANGE, seen(stored)) is None
    escrow = Publication(by="pair-0", resource="secrets", namespace="pair", name=escrow_name(PATH), at=110.05)
    later = replace(seen(refreshes=[REFRESH]), publications=(escrow,))
    assert first_copy(EXCHANGE, later) is None


def test_a_candidate_whose_own_refresh_is_lost_inside_the_window_is_excused() -> None:
    """A candidate is refreshed when its access token has expired."""
    death = replace(KILLED, at=110.12, gone_at=110.13)
    evidence = seen(CANDIDATE, replace(INTENT, at=109.9), refreshes=[REFRESH])
    (loss,) = lost(evidence, death)
    assert (REFRESH, True) == (loss.spending, loss.excused)
    assert not lost(evidence)[0].excused


def test_a_grant_that_a_person_wrote_during_the_exchange_excuses() -> None:
    """The operator does not overwrite it. One that was written before the intent, or after the end, is no excuse."""
    (loss,) = lost(seen(OVERWRITTEN, CANDIDATE))
    assert loss.excused
    assert "a person" in loss.why
    for at in (99.0, 102.0):
        writes = sorted([INTENT, CANDIDATE, replace(OVERWRITTEN, at=at)], key=lambda one: one.at)
        (loss,) = lost(replace(seen(), writes=tuple(writes)))
        assert not loss.excused


HANDED_OVER = Publication(
    by="pair-0", resource="secrets", namespace="pair", name=handed_over_name(PATH, "new"), at=100.35
)
OF_THE_GRANT = replace(REFRESH, consent="grant-1", token="old", issued="newer")


def handed_over(*refreshes: Refresh, name: str = HANDED_OVER.name) -> Evidence:
    """Hand a verified result over to escrow, beside a grant that is refreshed afterwards."""
    intent = replace(INTENT, at=109.9, for_consent=False, tokens={**OLD, "refresh_id": "2"})
    dropped = replace(PROMOTED, kind=Kind.DROPPED, tokens=OLD)
    exchange = replace(reported(EXCHANGE, "Uncertain"), lineage="new")
    evidence = seen(CANDIDATE, dropped, intent, exchange=exchange, refreshes=refreshes)
    return replace(evidence, publications=(replace(HANDED_OVER, name=name),))


def outlived(evidence: Evidence) -> list[str]:
    """Return the consents whose result a newer grant outlived."""
    return [one.consent for one in exchange_judgement.outlived(evidence, begun(evidence))]


def test_a_result_that_was_handed_over_to_escrow_is_outlived_by_a_grant_that_is_alive() -> None:
    """Pipedrive decides with the next refresh of the grant in Vault; until then, the result must not be lost."""
    evidence = handed_over(OF_THE_GRANT)
    assert ["grant-2"] == outlived(evidence)
    assert [] == lost(evidence)
    assert [] == exchange_judgement.wrongly_reported(evidence, begun(evidence))
    for undecided in (handed_over(), handed_over(replace(OF_THE_GRANT, accepted=False))):
        assert [] == outlived(undecided)
        assert not lost(undecided)[0].excused


def test_a_result_in_an_escrow_of_another_kind_is_not_outlived() -> None:
    """A success does not drop a candidate that was set aside."""
    evidence = handed_over(OF_THE_GRANT, name=f"{escrow_name(PATH)}-{1:024}")
    assert [] == outlived(evidence)
    assert not lost(evidence)[0].excused


@pytest.mark.parametrize(("at", "expected"), [(100.9, ["grant-2"]), (101.5, [])])
def test_a_result_is_outlived_by_the_grant_of_a_newer_consent_that_was_stored_meanwhile(
    at: float, expected: list[str]
) -> None:
    """Not after the end of the exchange."""
    newer = replace(EXCHANGE, consent="grant-3", token="code-3", issued="third", taken=100.6, answered=100.7)
    evidence = seen(
        CANDIDATE,
        replace(INTENT, at=100.5, by="pair-1", tokens={**OLD, "refresh_id": "3"}),
        replace(CANDIDATE, at=100.8, by="pair-1", tokens={**OLD, "consent_candidate": "third"}),
        replace(PROMOTED, at=at, by="pair-1"),
        exchange=reported(EXCHANGE, "Uncertain"),
    )
    evidence = replace(evidence, exchanges=(*evidence.exchanges, newer))
    assert expected == outlived(evidence)
    assert len(expected) == 1 - len(lost(evidence))


def test_a_consent_must_be_reported_as_what_it_became() -> None:
    """Connected without a grant misleads; a grant without Connected makes a person press again for nothing."""
    connected, uncertain = seen(CANDIDATE, PROMOTED), seen(exchange=reported(EXCHANGE, "Uncertain"))
    for evidence in (connected, uncertain):
        assert [] == exchange_judgement.wrongly_reported(evidence, begun(evidence))
    assert [ANSWER] == exchange_judgement.wrongly_reported(seen(CANDIDATE), [SEEDED])
    late = seen(CANDIDATE, PROMOTED, exchange=reported(EXCHANGE, "Uncertain"))
    assert [late.answers[0]] == exchange_judgement.wrongly_reported(late, begun(late))


def test_a_consent_without_any_exchange_is_not_connected() -> None:
    """The code never reached Pipedrive."""
    assert [ANSWER] == exchange_judgement.wrongly_reported(Evidence(answers=(ANSWER,)), [SEEDED])


def test_a_report_before_the_first_copy_may_be_uncertain() -> None:
    """A process that was stopped stores its result when it goes on."""
    early = replace(ANSWER, reported="Uncertain", ended=100.1)
    evidence = seen(CANDIDATE, PROMOTED, exchange=replace(EXCHANGE, answer=early))
    assert [] == exchange_judgement.wrongly_reported(evidence, begun(evidence))


def test_a_report_after_a_person_wrote_another_grant_may_be_uncertain() -> None:
    """The promoted grant is no longer in Vault when the next process looks for it."""
    evidence = seen(CANDIDATE, PROMOTED, replace(OVERWRITTEN, at=100.5), exchange=reported(EXCHANGE, "Uncertain"))
    assert [] == exchange_judgement.wrongly_reported(evidence, begun(evidence))


def test_the_grant_of_another_company_must_not_become_the_grant_or_be_called_connected() -> None:
    """Dropping it changes nothing."""
    dropped = seen(CANDIDATE, replace(PROMOTED, kind=Kind.DROPPED), exchange=FOREIGN)
    assert [] == exchange_judgement.of_another_company(dropped, begun(dropped))
    promoted = seen(CANDIDATE, PROMOTED, exchange=FOREIGN)
    assert [FOREIGN] == exchange_judgement.of_another_company(promoted, begun(promoted))
    called = reported(FOREIGN, "Connected")
    assert [called] == exchange_judgement.of_another_company(seen(CANDIDATE, exchange=called), [SEEDED])


def test_an_access_token_of_another_company_or_of_nobody_is_found() -> None:
    """The ledger says whom it was issued to."""
    companies, expected = {"ours": 1, "theirs": 2}, {PATH: 1}
    assert [] == exchange_judgement.strange_tokens({(PATH, "ours")}, companies, expected)
    assert [PATH] == exchange_judgement.strange_tokens({(PATH, "theirs")}, companies, expected)
    assert [PATH] == exchange_judgement.strange_tokens({(PATH, "unknown")}, companies, expected)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (99.0, None),
        (99.95, ExchangeMoment.INTENT),
        (100.1, ExchangeMoment.SENT),
        (100.205, ExchangeMoment.ANSWERED),
        (100.3, ExchangeMoment.CANDIDATE),
        (100.45, ExchangeMoment.PROMOTED),
        (100.6, None),
    ],
)
def test_a_death_is_assigned_to_what_it_interrupted_of_an_exchange(at: float, expected: ExchangeMoment | None) -> None:
    """The logs up to that time decide."""
    evidence = replace(seen(CANDIDATE, PROMOTED), publications=(PUBLISHED,))
    death = Death(replica="pair-0", at=at, gone_at=at + 0.01)
    assert expected is exchange_judgement.exchange_moment(death, [death], evidence, TARGETS)


def test_a_death_interrupts_only_what_the_same_process_has_begun() -> None:
    """Neither another replica nor the process before it."""
    other = replace(KILLED, replica="pair-1")
    assert exchange_judgement.exchange_moment(other, [other], seen(), TARGETS) is None
    earlier = Death(replica="pair-0", at=99.95, gone_at=99.96)
    assert exchange_judgement.exchange_moment(KILLED, [earlier, KILLED], seen(), TARGETS) is None


def test_a_refresh_without_a_consent_is_not_an_exchange() -> None:
    """A refresh of a candidate belongs to the exchange."""
    plain = replace(INTENT, at=109.0, for_consent=False)
    death = Death(replica="pair-0", at=110.05, gone_at=110.06)
    assert exchange_judgement.exchange_moment(death, [death], seen(plain, refreshes=[REFRESH]), TARGETS) is None
    of_candidate = seen(replace(plain, for_consent=True), refreshes=[REFRESH])
    assert ExchangeMoment.CANDIDATE is exchange_judgement.exchange_moment(death, [death], of_candidate, TARGETS)
