"""The judgement finds every broken promise, and excuses a loss only inside the window."""

from dataclasses import replace

import pytest

from chaos import judgement
from chaos.attribution import first_copy
from chaos.evidence import Death, Evidence, Kind, Publication, Refresh, Trouble, Write, escrow_name
from chaos.judgement import Complaint, Limits, Loss, Moment
from support.chaos_evidence import INTENT, OLD, PATH, REFRESH

LIMITS = Limits(vault=3.0, answer=8.0)
STORED = Write(path=PATH, by="pair-0", at=100.21, kind=Kind.STORED, tokens={"refresh_token": "new in Vault"})
CANDIDATE = replace(STORED, kind=Kind.CANDIDATE, tokens={**OLD, "consent_candidate": "candidate"})
PUBLISHED = Publication(by="pair-0", resource="secrets", namespace="acme", name="grant", at=100.3)
STATUS = replace(PUBLISHED, resource="pipedrivecredentials/status")
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


def test_a_grant_whose_successor_vault_holds_is_not_lost() -> None:
    """An older token in Vault shows that the result is lost."""
    assert [] == judgement.lost([REFRESH], {PATH: "new"}, [])
    assert [REFRESH] == judgement.lost([REFRESH], {PATH: "older"}, [])
    assert [REFRESH] == judgement.lost([REFRESH], {PATH: REFRESH.token}, [])


def test_a_grant_that_needed_a_new_consent_is_lost_no_matter_what_vault_holds_now() -> None:
    """Otherwise the new consent would hide the loss."""
    assert [REFRESH] == judgement.lost([REFRESH], {PATH: "new"}, [COMPLAINT])


def test_a_grant_that_was_never_refreshed_cannot_have_been_lost() -> None:
    """Asking a person for a consent then breaks another promise."""
    assert [COMPLAINT] == judgement.wrongly_declared_dead([replace(REFRESH, accepted=False)], [COMPLAINT])
    assert [] == judgement.wrongly_declared_dead([REFRESH], [COMPLAINT])


def test_a_complaint_is_about_the_grant_of_the_last_refresh_before_the_status_was_written() -> None:
    """The status that a person reads may be older than the consent that has replaced the grant."""
    later = replace(REFRESH, consent="grant-2", taken=110.0)
    evidence = Evidence(refreshes=(REFRESH, later), publications=(replace(STATUS, at=109.0),))
    blank = replace(COMPLAINT, consent="")

    assert ["grant-1"] == [one.consent for one in judgement.attributed([blank], evidence, TARGETS)]
    rewritten = replace(evidence, publications=(replace(STATUS, at=111.0),))
    assert ["grant-2"] == [one.consent for one in judgement.attributed([blank], rewritten, TARGETS)]
    unwritten = replace(evidence, publications=())
    assert ["grant-2"] == [one.consent for one in judgement.attributed([blank], unwritten, TARGETS)]


def test_a_complaint_before_any_refresh_is_wrong() -> None:
    """Neither does a refresh of a candidate count, because no status reports it as refused."""
    renewed = replace(REFRESH, consent="grant-2")
    of_candidate = Evidence(refreshes=(renewed,), writes=(replace(INTENT, for_consent=True),))
    for evidence in (Evidence(), of_candidate):
        (complaint,) = judgement.attributed([replace(COMPLAINT, consent="")], evidence, TARGETS)
        assert "" == complaint.consent
        assert [complaint] == judgement.wrongly_declared_dead(evidence.refreshes, [complaint])


def test_a_grant_that_a_consent_has_replaced_is_lost_only_if_a_person_was_asked_to_consent() -> None:
    """Nobody uses it any more; but a complaint shows that it was lost before."""
    held = {PATH: "of another consent"}
    assert [REFRESH] == judgement.lost([REFRESH], held, [])
    assert [] == judgement.lost([REFRESH], held, [], replaced={"grant-1"})
    assert [REFRESH] == judgement.lost([REFRESH], held, [COMPLAINT], replaced={"grant-1"})


def test_a_candidate_that_becomes_the_grant_is_no_copy_of_a_refresh() -> None:
    """Otherwise the consent would hide that the result of the refresh was lost, or accuse a replica of it."""
    promoted, dropped = replace(STORED, kind=Kind.PROMOTED), replace(STORED, kind=Kind.DROPPED, tokens=OLD)
    for write in (CANDIDATE, promoted, dropped):
        evidence = Evidence(refreshes=(REFRESH,), writes=(INTENT, write))
        assert first_copy(REFRESH, evidence) is None
    evidence = Evidence(refreshes=(REFRESH,), writes=(INTENT, STORED))
    assert STORED.at == first_copy(REFRESH, evidence)


def test_the_copy_of_a_refreshed_candidate_is_a_candidate() -> None:
    """Its intent names the consent."""
    writes = (replace(INTENT, for_consent=True), STORED, replace(CANDIDATE, at=100.3))
    assert pytest.approx(100.3) == first_copy(REFRESH, Evidence(refreshes=(REFRESH,), writes=writes))


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


def test_the_window_is_longer_without_vault_and_lasts_until_a_copy_can_be_made() -> None:
    """Escrow is written after Vault has failed; if the cluster fails too, one of them must return first."""
    vault = Trouble(what="vault", began=90.0, ended=200.0)
    cluster = replace(vault, what="cluster", ended=150.0)
    assert judged(death(104.0), troubles=(vault,)).excused
    assert not judged(death(110.0), troubles=(vault,)).excused
    assert judged(death(165.0), troubles=(vault, cluster)).excused
    assert not judged(death(170.0), troubles=(vault, cluster)).excused


def test_the_window_does_not_count_the_time_in_which_the_process_was_stopped() -> None:
    """It makes the copy when it goes on."""
    stopped = Trouble(what="stopped", began=100.1, ended=104.0, replica="pair-0")
    assert judged(death(104.9), troubles=(stopped,)).excused
    assert not judged(death(106.0), troubles=(stopped,)).excused
    assert not judged(death(104.9), troubles=(replace(stopped, replica="pair-1"),)).excused


def test_an_answer_is_lost_if_the_process_was_stopped_for_longer_than_it_waits() -> None:
    """After a shorter stop it reads the answer."""
    stopped = Trouble(what="stopped", began=100.1, ended=108.5, replica="pair-0")
    assert judged(troubles=(stopped,)).excused
    assert not judged(troubles=(replace(stopped, ended=107.0),)).excused


def test_an_answer_lost_on_a_cut_link_excuses_the_replica_behind_that_link() -> None:
    """The link of another replica is no excuse."""
    cut = Trouble(what="pipedrive", began=100.1, ended=104.0, replica="pair-0")
    assert judged(troubles=(cut,)).excused
    assert not judged(troubles=(replace(cut, replica="pair-1"),)).excused


def test_a_fault_that_began_when_the_answer_had_arrived_is_no_excuse() -> None:
    """The answer arrives a moment after Pipedrive has passed it to the kernel."""
    cut = Trouble(what="pipedrive", began=100.4, ended=104.0)
    stopped = Trouble(what="stopped", began=100.4, ended=120.0, replica="pair-0")
    for fault in (cut, stopped):
        assert not judged(troubles=(fault,)).excused
        assert judged(troubles=(replace(fault, began=100.25),)).excused


def test_an_undelivered_answer_excuses_only_after_the_time_out() -> None:
    """An operator that closes the connection earlier has caused the loss itself."""
    late = replace(REFRESH, delivered=False, answered=108.1)
    assert judged(refresh=late).excused
    assert not judged(refresh=replace(late, answered=102.1)).excused


def names(message: str, refresh: Refresh = REFRESH, *, intent: Write = INTENT, later: tuple[Refresh, ...] = ()) -> bool:
    """Return whether a message names the cause of a loss."""
    evidence = Evidence(refreshes=(refresh, *later), writes=(intent,))
    return judgement.names_the_cause(replace(COMPLAINT, message=message), refresh, evidence)


@pytest.mark.parametrize(
    "message", ["", "Pipedrive refused the refresh token", MESSAGE.replace("00:01:39", "00:01:20")]
)
def test_a_status_must_name_the_unanswered_refresh_and_not_an_earlier_one(message: str) -> None:
    """A person must be able to find the refresh that was lost."""
    assert names(MESSAGE)
    assert not names(message)


def test_a_status_names_the_time_of_the_intent() -> None:
    """On a busy machine, the request arrives seconds after its intent; an earlier refresh is still no cause."""
    late = replace(REFRESH, taken=104.0)
    assert names(MESSAGE, late)
    assert names(MESSAGE.replace("00:01:39", "00:01:43"), late)
    assert not names(MESSAGE, late, intent=replace(INTENT, at=103.0))


def test_a_status_may_name_a_later_refresh_of_the_grant_and_nothing_else() -> None:
    """It may have gone unanswered too. One after the status was read is none of it."""
    message = MESSAGE.replace("00:01:39", "00:01:50")
    assert not names(message)
    assert names(message, later=(replace(REFRESH, accepted=False, taken=112.0),))
    assert not names(message, later=(replace(REFRESH, accepted=False, taken=115.0),))
    after = replace(REFRESH, accepted=False, taken=130.0)
    assert not names(MESSAGE.replace("00:01:39", "00:02:09"), later=(after,))


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


@pytest.mark.parametrize("kind", [Kind.CANDIDATE, Kind.PROMOTED, Kind.DROPPED])
def test_a_death_beside_an_exchange_interrupts_no_refresh(kind: Kind) -> None:
    """What it interrupts of an exchange is counted apart."""
    for last in (replace(STORED, kind=kind), replace(INTENT, for_consent=True)):
        evidence = Evidence(writes=(last,))
        assert Moment.IDLE == judgement.moment(death(100.25), evidence, TARGETS)


def test_a_window_runs_from_the_request_and_from_the_answer_to_the_first_copy() -> None:
    """The first copy may be in Vault or in escrow."""
    escrow = replace(PUBLISHED, name=escrow_name(PATH), namespace="operator", at=100.205)
    (window,) = judgement.windows(Evidence(refreshes=(REFRESH,), writes=(INTENT, STORED), publications=(escrow,)))
    assert pytest.approx(0.205) == window.since_taken
    assert pytest.approx(0.005) == window.since_answered
