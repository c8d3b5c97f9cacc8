"""The judgement itself: it must see a breach, excuse what is to be excused, and nothing else."""

from dataclasses import replace

import pytest

from chaos import judgement
from chaos.evidence import Death, Evidence, Kind, Publication, Refresh, Trouble, Write, escrow_name
from chaos.judgement import Limits, Loss, Moment, Told

PATH = "pipedrive/acme/grant"
LIMITS = Limits(vault=3.0, pipedrive=2.0)
REFRESH = Refresh(
    path=PATH,
    consent="grant-1",
    token="old",
    issued="new",
    accepted=True,
    taken=100.0,
    answered=100.2,
    delivered=True,
)
INTENT = Write(path=PATH, by="pair-0", at=99.9, kind=Kind.INTENT)
STORED = Write(path=PATH, by="pair-0", at=100.21, kind=Kind.STORED)
PUBLISHED = Publication(by="pair-0", resource="secrets", namespace="acme", name="grant", at=100.3)
MESSAGE = "Refused. A refresh, started at 1970-01-01T00:01:39Z by vm_1, went unanswered"
TOLD = Told(path=PATH, consent="grant-1", message=MESSAGE, at=120.0)
TARGETS = {PATH: ("acme", "grant")}


def judged(*deaths: Death, troubles: tuple[Trouble, ...] = (), refresh: Refresh = REFRESH, **evidence: object) -> Loss:
    """Judge the loss of a refresh that was sent after an intent."""
    seen = replace(Evidence(refreshes=(refresh,), writes=(INTENT,)), **evidence)  # type: ignore[arg-type]
    return judgement.judge(refresh, seen, deaths=deaths, troubles=troubles, told=[TOLD], limits=LIMITS)


def death(at: float, replica: str = "pair-0") -> Death:
    """Kill a replica."""
    return Death(replica=replica, at=at, gone_at=at + 0.01)


def test_a_token_accepted_twice_is_a_breach() -> None:
    """Whoever sent it."""
    assert ["old"] == judgement.accepted_twice([REFRESH, replace(REFRESH, issued="another", taken=130.0)])


def test_a_token_refused_the_second_time_is_none() -> None:
    """What was refused was not spent."""
    assert [] == judgement.accepted_twice([REFRESH, replace(REFRESH, accepted=False, taken=130.0)])


def test_a_token_sent_again_is_a_breach_where_its_successor_was_kept() -> None:
    """Where the answer was lost, trying it again is all that can be done."""
    again = replace(REFRESH, accepted=False, issued=None, taken=130.0)
    kept = Evidence(refreshes=(REFRESH, again), writes=(INTENT, STORED))
    assert [again] == judgement.sent_again(kept)
    assert [] == judgement.sent_again(replace(kept, writes=(INTENT,)))


def test_two_requests_with_one_token_at_once_are_seen() -> None:
    """One that comes after the answer is no such thing."""
    second = replace(REFRESH, accepted=False, taken=100.1)
    assert [(REFRESH, second)] == judgement.sent_at_once([second, REFRESH])
    assert [] == judgement.sent_at_once([REFRESH, replace(second, taken=100.3)])


def test_a_grant_whose_successor_vault_holds_is_not_lost() -> None:
    """Nor is one whose token did not rotate."""
    assert [] == judgement.lost([REFRESH], {PATH: "new"}, [])
    assert [REFRESH] == judgement.lost([REFRESH], {PATH: "older"}, [])


def test_a_grant_that_a_person_had_to_renew_is_lost_whatever_vault_holds_now() -> None:
    """Or a loss would be healed before it is counted."""
    assert [REFRESH] == judgement.lost([REFRESH], {PATH: "new"}, [TOLD])


def test_a_grant_that_was_never_refreshed_cannot_have_been_lost() -> None:
    """To ask a person for it is a breach of its own."""
    assert [TOLD] == judgement.declared_dead_for_nothing([replace(REFRESH, accepted=False)], [TOLD])
    assert [] == judgement.declared_dead_for_nothing([REFRESH], [TOLD])


def test_a_loss_with_nobody_dead_is_a_breach() -> None:
    """And says so."""
    loss = judged()
    assert not loss.excused
    assert "no death" in loss.why


@pytest.mark.parametrize("at", [100.0, 100.1, 100.25, 101.1])
def test_a_death_inside_the_window_excuses(at: float) -> None:
    """From the request until shortly after the answer."""
    loss = judged(death(at))
    assert loss.excused
    assert loss.truthful
    assert "pair-0" == loss.sender


@pytest.mark.parametrize("killed", [death(99.5), death(101.5), death(100.1, "pair-1")])
def test_a_death_before_or_after_the_window_or_of_another_does_not(killed: Death) -> None:
    """A second after the answer it could have been stored for long."""
    assert not judged(killed).excused


def test_a_death_after_the_copy_was_acknowledged_does_not_excuse() -> None:
    """Neither where the copy is in Vault, nor where it is in escrow."""
    escrow = replace(PUBLISHED, name=escrow_name(PATH), namespace="operator", at=100.25)
    assert not judged(death(100.5), writes=(INTENT, STORED)).excused
    assert not judged(death(100.5), publications=(escrow,)).excused


def test_the_window_is_longer_while_vault_is_away_and_without_bound_while_both_places_are() -> None:
    """Escrow is written after Vault was tried; where that cannot be written either, there is nothing to be done."""
    vault = Trouble(what="vault", began=90.0, ended=200.0)
    cluster = replace(vault, what="cluster")
    assert judged(death(104.0), troubles=(vault,)).excused
    assert not judged(death(110.0), troubles=(vault,)).excused
    assert judged(death(110.0), troubles=(vault, cluster)).excused


def test_an_answer_that_was_cut_off_excuses_for_the_replica_that_it_was_for() -> None:
    """Another's link is no excuse."""
    cut = Trouble(what="pipedrive", began=100.1, ended=104.0, replica="pair-0")
    assert judged(troubles=(cut,)).excused
    assert not judged(troubles=(replace(cut, replica="pair-1"),)).excused


def test_an_answer_that_nobody_waited_for_excuses_only_after_the_time_out() -> None:
    """An operator that hangs up early has lost it by itself."""
    late = replace(REFRESH, delivered=False, answered=102.1)
    assert judged(refresh=late).excused
    assert not judged(refresh=replace(late, answered=100.5)).excused


@pytest.mark.parametrize(
    "message", ["", "Pipedrive refused the refresh token", MESSAGE.replace("00:01:39", "00:01:20")]
)
def test_a_status_that_names_no_unanswered_refresh_or_an_earlier_one_is_not_the_truth(message: str) -> None:
    """It must lead a person to this one."""
    assert judgement.tells_truth(MESSAGE, REFRESH)
    assert not judgement.tells_truth(message, REFRESH)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (99.0, Moment.IDLE),
        (99.95, Moment.INTENT),
        (100.1, Moment.SENT),
        (100.205, Moment.ANSWERED),
        (100.25, Moment.STORED),
        (100.4, Moment.IDLE),
    ],
)
def test_a_death_falls_into_a_moment(at: float, expected: Moment) -> None:
    """By what the logs had seen until then."""
    evidence = Evidence(refreshes=(REFRESH,), writes=(INTENT, STORED), publications=(PUBLISHED,))
    assert expected == judgement.moment(death(at), evidence, TARGETS)


def test_a_window_runs_from_the_request_and_from_the_answer_to_the_first_copy() -> None:
    """Be it in Vault or in escrow."""
    escrow = replace(PUBLISHED, name=escrow_name(PATH), namespace="operator", at=100.205)
    (window,) = judgement.windows(Evidence(refreshes=(REFRESH,), writes=(INTENT, STORED), publications=(escrow,)))
    assert pytest.approx(0.205) == window.since_taken
    assert pytest.approx(0.005) == window.since_answered
