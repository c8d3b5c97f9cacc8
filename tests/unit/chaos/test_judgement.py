"""The judgement finds every broken promise, and excuses a loss only inside the window."""

from dataclasses import replace

import pytest

from chaos import judgement
from chaos.evidence import Death, Evidence, Kind, Publication, Refresh, Trouble, Write, escrow_name
from chaos.judgement import Complaint, Limits, Loss, Moment

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
COMPLAINT = Complaint(path=PATH, consent="grant-1", message=MESSAGE, at=120.0)
TARGETS = {PATH: ("acme", "grant")}


def judged(*deaths: Death, troubles: tuple[Trouble, ...] = (), refresh: Refresh = REFRESH, **evidence: object) -> Loss:
    """Judge the loss of a refresh that was sent after an intent."""
    seen = replace(Evidence(refreshes=(refresh,), writes=(INTENT,)), **evidence)  # type: ignore[arg-type]
    return judgement.judge(refresh, seen, deaths=deaths, troubles=troubles, complaints=[COMPLAINT], limits=LIMITS)


def death(at: float, replica: str = "pair-0") -> Death:
    """Kill a replica."""
    return Death(replica=replica, at=at, gone_at=at + 0.01)


def test_a_token_accepted_twice_is_a_breach() -> None:
    """It does not matter which replica sent it."""
    assert ["old"] == judgement.accepted_twice([REFRESH, replace(REFRESH, issued="another", taken=130.0)])


def test_a_token_that_is_refused_the_second_time_was_accepted_once() -> None:
    """A refused request spends nothing."""
    assert [] == judgement.accepted_twice([REFRESH, replace(REFRESH, accepted=False, taken=130.0)])


def test_a_token_sent_again_is_a_breach_if_its_successor_was_stored() -> None:
    """After a lost answer, sending the token again is the only option."""
    again = replace(REFRESH, accepted=False, issued=None, taken=130.0)
    kept = Evidence(refreshes=(REFRESH, again), writes=(INTENT, STORED))
    assert [again] == judgement.sent_again(kept)
    assert [] == judgement.sent_again(replace(kept, writes=(INTENT,)))


def test_two_requests_with_one_token_at_the_same_time_are_found() -> None:
    """A request after the answer to the first one does not count."""
    second = replace(REFRESH, accepted=False, taken=100.1)
    assert [(REFRESH, second)] == judgement.sent_at_once([second, REFRESH])
    assert [] == judgement.sent_at_once([REFRESH, replace(second, taken=100.3)])


def test_a_grant_whose_successor_vault_holds_is_not_lost() -> None:
    """An older token in Vault shows that the result is lost."""
    assert [] == judgement.lost([REFRESH], {PATH: "new"}, [])
    assert [REFRESH] == judgement.lost([REFRESH], {PATH: "older"}, [])


def test_a_grant_that_needed_a_new_consent_is_lost_no_matter_what_vault_holds_now() -> None:
    """Otherwise the new consent would hide the loss."""
    assert [REFRESH] == judgement.lost([REFRESH], {PATH: "new"}, [COMPLAINT])


def test_a_grant_that_was_never_refreshed_cannot_have_been_lost() -> None:
    """Asking a person for a consent then breaks another promise."""
    assert [COMPLAINT] == judgement.wrongly_declared_dead([replace(REFRESH, accepted=False)], [COMPLAINT])
    assert [] == judgement.wrongly_declared_dead([REFRESH], [COMPLAINT])


def test_a_loss_without_a_death_breaks_the_promise() -> None:
    """The verdict gives the reason."""
    loss = judged()
    assert not loss.excused
    assert "no death" in loss.why


@pytest.mark.parametrize("at", [100.0, 100.1, 100.25, 101.1])
def test_a_death_inside_the_window_excuses(at: float) -> None:
    """The window lasts from the request until shortly after the answer."""
    loss = judged(death(at))
    assert loss.excused
    assert loss.truthful
    assert "pair-0" == loss.sender


@pytest.mark.parametrize("killed", [death(99.5), death(101.5), death(100.1, "pair-1")])
def test_a_death_outside_the_window_or_of_another_replica_does_not_excuse(killed: Death) -> None:
    """One second after the answer the result should have been stored long ago."""
    assert not judged(killed).excused


def test_a_death_after_the_copy_was_acknowledged_does_not_excuse() -> None:
    """The copy may be in Vault or in escrow."""
    escrow = replace(PUBLISHED, name=escrow_name(PATH), namespace="operator", at=100.25)
    assert not judged(death(100.5), writes=(INTENT, STORED)).excused
    assert not judged(death(100.5), publications=(escrow,)).excused


def test_the_window_is_longer_without_vault_and_unlimited_without_vault_and_cluster() -> None:
    """Escrow is written after Vault has failed; if the cluster fails too, no copy can be made."""
    vault = Trouble(what="vault", began=90.0, ended=200.0)
    cluster = replace(vault, what="cluster")
    assert judged(death(104.0), troubles=(vault,)).excused
    assert not judged(death(110.0), troubles=(vault,)).excused
    assert judged(death(110.0), troubles=(vault, cluster)).excused


def test_an_answer_lost_on_a_cut_link_excuses_the_replica_behind_that_link() -> None:
    """The link of another replica is no excuse."""
    cut = Trouble(what="pipedrive", began=100.1, ended=104.0, replica="pair-0")
    assert judged(troubles=(cut,)).excused
    assert not judged(troubles=(replace(cut, replica="pair-1"),)).excused


def test_an_undelivered_answer_excuses_only_after_the_time_out() -> None:
    """An operator that closes the connection earlier has caused the loss itself."""
    late = replace(REFRESH, delivered=False, answered=102.1)
    assert judged(refresh=late).excused
    assert not judged(refresh=replace(late, answered=100.5)).excused


@pytest.mark.parametrize(
    "message", ["", "Pipedrive refused the refresh token", MESSAGE.replace("00:01:39", "00:01:20")]
)
def test_a_status_must_name_the_unanswered_refresh_and_not_an_earlier_one(message: str) -> None:
    """A person must be able to find the refresh that was lost."""
    assert judgement.names_the_cause(MESSAGE, REFRESH)
    assert not judgement.names_the_cause(message, REFRESH)


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
def test_a_death_is_assigned_to_what_it_interrupted(at: float, expected: Moment) -> None:
    """The logs up to that time decide."""
    evidence = Evidence(refreshes=(REFRESH,), writes=(INTENT, STORED), publications=(PUBLISHED,))
    assert expected == judgement.moment(death(at), evidence, TARGETS)


def test_a_window_runs_from_the_request_and_from_the_answer_to_the_first_copy() -> None:
    """The first copy may be in Vault or in escrow."""
    escrow = replace(PUBLISHED, name=escrow_name(PATH), namespace="operator", at=100.205)
    (window,) = judgement.windows(Evidence(refreshes=(REFRESH,), writes=(INTENT, STORED), publications=(escrow,)))
    assert pytest.approx(0.205) == window.since_taken
    assert pytest.approx(0.005) == window.since_answered
