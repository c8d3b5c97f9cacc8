"""Each copy belongs to the request that brought the result, wherever it is moved and whenever it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from chaos import exchange_judgement
from chaos.attribution import first_copy
from chaos.evidence import Answer, Death, Evidence, Exchange, Kind, Publication, Refresh, Write, escrow_name
from chaos.exchange_judgement import Beginning
from chaos.judgement import Limits, Loss

PATH = "pipedrive/acme/grant"
LIMITS = Limits(vault=3.0, answer=8.0)
SEEDED = Beginning(path=PATH, consent="grant-1", at=50.0, over=50.0)
OLD = {"refresh_token": "old"}


def exchange(name: str, reported: str, *, taken: float, belongs: bool = True) -> Exchange:
    """Exchange the code of a consent."""
    answer = Answer(
        path=PATH, name=f"acme/{name}", code=f"code-{name}", belongs=belongs, reported=reported, ended=taken + 15
    )
    return Exchange(
        path=PATH,
        consent=f"grant-{name}",
        token=answer.code,
        issued=f"{name}1",
        accepted=True,
        taken=taken,
        answered=taken + 0.2,
        delivered=True,
        answer=answer,
    )


def refresh(consent: str, token: str, issued: str, *, taken: float) -> Refresh:
    """Refresh a grant."""
    return Refresh(
        path=PATH,
        consent=consent,
        token=token,
        issued=issued,
        accepted=True,
        taken=taken,
        answered=taken + 0.1,
        delivered=True,
    )


def intent(number: int, at: float, by: str, held: Mapping[str, str] = OLD, *, for_consent: bool = True) -> Write:
    """Write an intent beside what Vault holds."""
    tokens = {**held, "refresh_id": str(number)}
    return Write(path=PATH, by=by, at=at, kind=Kind.INTENT, for_consent=for_consent, tokens=tokens)


def write(kind: Kind, at: float, by: str, **held: str) -> Write:
    """Write what is in Vault afterwards."""
    return Write(path=PATH, by=by, at=at, kind=kind, tokens=held or OLD)


def escrow(at: float, by: str, number: int = 1) -> Publication:
    """Keep a copy in escrow."""
    name = f"{escrow_name(PATH)}-{number:024}"
    return Publication(by=by, resource="secrets", namespace="pair", name=name, at=at)


FIRST = exchange("a", "Connected", taken=100.0)
HELD = {**OLD, "consent_candidate": "a"}
RETURNED = write(Kind.CANDIDATE, 210.0, "pair-0", **HELD)
PROMOTED = write(Kind.PROMOTED, 211.0, "pair-0", refresh_token="a's token")
KILLED = Death(replica="pair-1", at=200.3, gone_at=200.31)


def set_aside(second: Exchange, *after: Write) -> Evidence:
    """Set the candidate of a first consent aside for the code of a second one."""
    return Evidence(
        exchanges=(FIRST, second),
        answers=(FIRST.answer, second.answer),
        writes=(
            intent(1, 99.9, "pair-0"),
            write(Kind.CANDIDATE, 100.3, "pair-0", **HELD),
            write(Kind.DROPPED, 199.0, "pair-1"),
            intent(2, 199.5, "pair-1"),
            *after,
        ),
        publications=(escrow(198.9, "pair-1"),),
    )


def began(evidence: Evidence, held: str = "") -> list[str]:
    """Return the consents that became the grant."""
    return [one.consent for one in exchange_judgement.beginnings(evidence, [SEEDED], {PATH: held})]


def wrong(evidence: Evidence) -> list[str]:
    """Return the consents that were wrongly reported."""
    begun = exchange_judgement.beginnings(evidence, [SEEDED], {})
    return [one.name for one in exchange_judgement.wrongly_reported(evidence, begun)]


def lost(evidence: Evidence, deaths: Sequence[Death]) -> list[Loss]:
    """Judge the results that did not become the grant."""
    begun = exchange_judgement.beginnings(evidence, [SEEDED], {})
    return exchange_judgement.lost_results(evidence, begun, deaths=deaths, troubles=[], limits=LIMITS)


def dropped(second: Exchange) -> Evidence:
    """Drop the second candidate; then the first one returns, and becomes the grant."""
    theirs = {**OLD, "consent_candidate": "b"}
    stored, gone = write(Kind.CANDIDATE, 200.3, "pair-1", **theirs), write(Kind.DROPPED, 201.0, "pair-1")
    return set_aside(second, stored, gone, RETURNED, PROMOTED)


def test_a_candidate_that_returns_from_escrow_is_still_that_of_its_own_consent() -> None:
    """The newest code, of another company, has not become the grant with it."""
    evidence = dropped(exchange("b", "WrongAccount", taken=200.0, belongs=False))
    begun = exchange_judgement.beginnings(evidence, [SEEDED], {})

    assert ["grant-1", "grant-a"] == [one.consent for one in begun]
    assert [] == exchange_judgement.of_another_company(evidence, begun)
    assert [] == exchange_judgement.wrongly_reported(evidence, begun)


def test_a_candidate_that_returns_is_no_copy_of_a_result_that_was_lost_in_its_window() -> None:
    """The loss is excused, and the status is right."""
    second = exchange("b", "Uncertain", taken=200.0)
    evidence = set_aside(second, RETURNED, PROMOTED)

    assert first_copy(second, evidence) is None
    assert [] == wrong(evidence)
    (loss,) = lost(evidence, [KILLED])
    assert (second, True) == (loss.spending, loss.excused)


def test_a_candidate_that_was_thrown_away_is_not_the_one_that_became_the_grant() -> None:
    """It must not be called connected because another one is."""
    evidence = dropped(exchange("b", "Connected", taken=200.0))

    assert ["acme/b"] == wrong(evidence)
    (loss,) = lost(evidence, [KILLED])
    assert not loss.excused


def test_a_candidate_that_returns_with_a_mark_is_nobody_s_until_it_is_used() -> None:
    """The mark of an unanswered refresh changes its digest; the ledger knows the consent of a refresh."""
    second = exchange("b", "Uncertain", taken=200.0)
    marked = replace(RETURNED, tokens={**HELD, "consent_candidate": "a, marked", "refresh_id": "2"})
    for by in ("pair-0", "pair-1"):
        evidence = set_aside(second, replace(marked, by=by), PROMOTED)
        assert ["grant-1"] == began(evidence)
        assert ["grant-1", "grant-a"] == began(evidence, held="a1")
        assert first_copy(second, evidence) is None
    used = set_aside(second, marked, PROMOTED, intent(3, 219.9, "pair-0", PROMOTED.tokens, for_consent=False))
    used = replace(used, refreshes=(refresh("grant-a", "a1", "a2", taken=220.0),))
    (_, begun) = exchange_judgement.beginnings(used, [SEEDED], {})
    assert ("grant-a", PROMOTED.at) == (begun.consent, begun.at)


def test_a_candidate_is_a_copy_even_if_the_grant_that_it_became_is_known_by_its_next_refresh() -> None:
    """The first copy is the candidate, not the grant."""
    evidence = Evidence(
        refreshes=(refresh("grant-a", "a1", "a2", taken=220.0),),
        exchanges=(FIRST,),
        writes=(
            intent(1, 99.9, "pair-0"),
            write(Kind.CANDIDATE, 100.3, "pair-0", **HELD),
            PROMOTED,
            intent(3, 219.9, "pair-0", PROMOTED.tokens, for_consent=False),
        ),
    )

    assert first_copy(FIRST, evidence) == 100.3


def test_a_result_that_is_stored_beside_the_intent_of_another_holder_is_that_of_its_writer() -> None:
    """It removes its own intent only."""
    late = refresh("grant-1", "T1", "T2", taken=100.0)
    beside = write(Kind.STORED, 170.1, "pair-0", refresh_token="new", refresh_id="2")
    second = exchange("b", "Uncertain", taken=170.3)
    evidence = Evidence(
        refreshes=(late,),
        exchanges=(second,),
        writes=(intent(1, 99.9, "pair-0", for_consent=False), intent(2, 170.0, "pair-1"), beside),
    )

    assert beside.at == first_copy(late, evidence)
    assert first_copy(second, evidence) is None


def test_a_result_that_another_process_moves_from_escrow_to_vault_is_that_of_the_request_that_was_kept() -> None:
    """The intent stays as it was. If two results were kept, nobody knows which one it is."""
    kept = exchange("b", "Uncertain", taken=100.0)
    moved = write(Kind.CANDIDATE, 120.0, "pair-1", **HELD, refresh_id="1")
    promoted = replace(PROMOTED, at=121.0)
    evidence = Evidence(
        exchanges=(kept,),
        writes=(intent(1, 99.9, "pair-0"), moved, promoted),
        publications=(escrow(100.3, "pair-0"),),
    )
    assert ["grant-1", "grant-b"] == began(evidence)

    another = exchange("c", "Uncertain", taken=110.0)
    writes = (intent(1, 99.9, "pair-0"), intent(2, 109.9, "pair-0"), moved, promoted)
    publications = (escrow(100.3, "pair-0"), escrow(110.3, "pair-0", 2))
    both = replace(evidence, exchanges=(kept, another), writes=writes, publications=publications)
    assert ["grant-1"] == began(both)


def test_the_result_of_a_refresh_of_a_candidate_is_that_of_its_consent() -> None:
    """It was written under the intent of that refresh."""
    renewed = refresh("grant-a", "a1", "a2", taken=110.0)
    again = {**OLD, "consent_candidate": "a, renewed"}
    evidence = Evidence(
        refreshes=(renewed,),
        exchanges=(FIRST,),
        writes=(
            intent(1, 99.9, "pair-0"),
            write(Kind.CANDIDATE, 100.3, "pair-0", **HELD),
            intent(2, 109.9, "pair-1", HELD),
            write(Kind.CANDIDATE, 110.2, "pair-1", **again),
            PROMOTED,
        ),
    )

    assert (100.3, 110.2) == (first_copy(FIRST, evidence), first_copy(renewed, evidence))
    assert ["grant-1", "grant-a"] == began(evidence)


def test_an_escrow_is_a_copy_of_the_last_request_of_its_process_even_if_others_have_sent_one_since() -> None:
    """A process that was stopped may keep its result late."""
    late, other = refresh("grant-1", "T1", "T2", taken=100.0), exchange("b", "Uncertain", taken=120.0)
    evidence = Evidence(
        refreshes=(late,),
        exchanges=(other,),
        writes=(intent(1, 99.9, "pair-0", for_consent=False), intent(2, 119.9, "pair-1")),
        publications=(escrow(130.0, "pair-0"),),
    )

    assert (130.0, None) == (first_copy(late, evidence), first_copy(other, evidence))


def test_a_candidate_that_is_set_aside_is_no_copy_of_what_its_process_has_sent_before() -> None:
    """It is dropped from Vault just after it was kept."""
    earlier = refresh("grant-1", "T1", "T2", taken=150.0)
    evidence = set_aside(exchange("b", "Uncertain", taken=200.0))
    writes = sorted([*evidence.writes, intent(9, 149.9, "pair-1", HELD, for_consent=False)], key=lambda one: one.at)
    assert first_copy(earlier, replace(evidence, refreshes=(earlier,), writes=tuple(writes))) is None
