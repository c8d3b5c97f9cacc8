"""What the judge of consents expects."""

import pytest

from fakes.pipedrive import Send
from simulation.history import PERSON
from simulation.judging import CANDIDATE_2, CANDIDATE_3, DUE, END, Clock, claim, exchanged, judged
from simulation.promises import Promises
from simulation.record import LONGEST_CHECK


@pytest.mark.parametrize(
    ("over", "is_dead", "is_broken"),
    [
        pytest.param("consent-1", False, False, id="the grant that it is meant to replace"),
        pytest.param("consent-4", True, False, id="a dead one that a person wrote later"),
        pytest.param("consent-4", False, True, id="a living one that a person wrote later"),
    ],
)
def test_a_consent_replaces_no_living_grant_that_was_written_after_its_code_was_sent(
    over: str, *, is_dead: bool, is_broken: bool
) -> None:
    """Nobody has meant it, so it stays needed."""

    def judge(promises: Promises) -> str | None:
        promises.stored({"refresh_token": "consent-1"}, by=PERSON)
        claim(promises, "a1")
        promises.sent(Send("code-2", 10, by="a1", is_code=True), left=None, due=DUE)
        promises.spent(exchanged("code-2", "refresh-3"), "access-3")
        promises.is_alive = lambda _: not is_dead
        promises.promoted(("uid", 2), "refresh-3", over=over)
        assert (over in promises.replaced) is not is_broken
        return promises.broken

    wrong = "(h) refresh-3 replaced consent-4, which is alive and was written after its code was sent"
    assert judged(judge) == (wrong if is_broken else None)


def test_a_consent_may_write_over_a_grant_whose_version_number_had_returned() -> None:
    """That exception has a judge and a name of its own; the grant is lost."""

    def judge(promises: Promises) -> str | None:
        promises.overwritten(["consent-4"], by="a1", asked=END, knew=END - 1)
        promises.promoted(("uid", 2), "refresh-3", over="consent-4")
        assert "consent-4" not in promises.replaced
        return promises.broken

    assert judged(judge) is None


@pytest.mark.parametrize(
    ("generation", "seconds", "is_broken"),
    [
        pytest.param(2, LONGEST_CHECK + 1, False, id="this answer has brought the grant"),
        pytest.param(3, None, False, id="an earlier one has, and Vault holds its grant"),
        pytest.param(3, LONGEST_CHECK - 1, False, id="Vault has held it a moment ago"),
        pytest.param(3, LONGEST_CHECK + 1, True, id="Vault holds another grant"),
        pytest.param(1, None, True, id="a later one has"),
    ],
)
def test_a_consent_is_connected_only_by_the_grant_of_its_answers(
    generation: int, seconds: float | None, *, is_broken: bool
) -> None:
    """That an earlier answer brought one says nothing about a later answer, unless its grant is used still."""

    def judge(promises: Promises) -> str | None:
        promises.meant["refresh-3"] = "consent-1"
        promises.promoted(("uid", 2), "refresh-3", over="consent-1")
        promises.stored({"refresh_token": "refresh-3"}, by="a1")
        if seconds is not None:
            promises.stored({"refresh_token": "consent-9"}, by=PERSON)
            promises.knows(by="a1", as_of=END + seconds)
        promises.consent_reported("a/consent", ("uid", generation), "Connected", by="a1")
        return promises.broken

    assert judged(judge) == ("(h) a/consent is connected, but nothing is stored" if is_broken else None)


@pytest.mark.parametrize(
    ("by", "after", "is_lost", "known", "is_broken"),
    [
        pytest.param("a1", 1, False, 0, False, id="the grant in Vault is alive"),
        pytest.param("a1", -1, False, 0, False, id="it was alive before the copy was kept once more"),
        pytest.param("a1", -7, False, 0, True, id="it was alive before any copy was kept"),
        pytest.param("a1", 1, True, 0, True, id="its process got no answer"),
        pytest.param("a2", 1, False, 1, True, id="another process knows that it is alive"),
        pytest.param("a2", 1, False, 3, False, id="another process has stored that, and Vault was read since"),
        pytest.param("a2", -1, False, 3, False, id="the same, after another copy was kept"),
        pytest.param("a2", -7, False, 3, True, id="the same, before any copy was kept"),
    ],
)
@pytest.mark.parametrize(("line", "letter"), [("code-2", "h"), ("consent-0", "b")])
def test_a_result_in_escrow_is_dropped_only_after_the_decision_of_pipedrive(
    line: str, letter: str, by: str, after: float, *, is_lost: bool, known: float, is_broken: bool
) -> None:
    """Pipedrive accepts a refresh of the grant in Vault: nobody needs the result of a consent or a refresh then."""

    def judge(promises: Promises) -> str | None:
        promises.lines["refresh-3"] = line
        promises.stored({"refresh_token": "consent-0"}, by=PERSON)
        promises.stored({"refresh_token": "consent-1"}, by=PERSON)
        began = END + after
        send = Send("consent-1", began, by=by, ended=began + 1, successor="refresh-4", is_lost=is_lost)
        promises.sends = [send]
        promises.handed_over.add("refresh-3")
        promises.first_kept["refresh-3"] = END - 5
        promises.knows(by="a1", as_of=END + known)
        promises.drops_escrow("refresh-3", by="a1")
        return promises.broken

    wrong = f"({letter}) a1 dropped refresh-3, for which Pipedrive had not decided"
    assert judged(judge) == (wrong if is_broken else None)


@pytest.mark.parametrize(
    ("known", "began", "ran_for", "is_broken"),
    [
        pytest.param(-4, -2, 1, False, id="which another process has awaited meanwhile"),
        pytest.param(-4, -2, LONGEST_CHECK + 1, True, id="long after its check"),
        pytest.param(-2, -1, 1, True, id="which was no candidate any more when it read Vault"),
        pytest.param(-4, -9, 1, True, id="which was never awaited"),
    ],
)
def test_a_process_that_was_stopped_after_its_check_drops_its_copy_of_a_candidate(
    known: float, began: float, ran_for: float, *, is_broken: bool
) -> None:
    """Another process has handed the candidate over meanwhile, and dropped its copy after Pipedrive's decision."""
    clock = Clock()

    def judge(promises: Promises) -> str | None:
        promises.ran = lambda _by, _since, _until: ran_for
        clock.pass_time(-3)
        promises.stored({"refresh_token": "consent-1"}, by="a1", candidate=CANDIDATE_2)
        promises.stored({"refresh_token": "consent-1"}, by="a2")
        clock.pass_time(3)
        promises.sends = [Send("consent-1", END + began, by="a2", ended=END + began, successor="refresh-4")]
        promises.handed_over.add("refresh-2")
        promises.first_kept["refresh-2"] = END - 5
        promises.knows(by="a1", as_of=END + known)
        promises.drops_escrow("refresh-2", by="a1")
        return promises.broken

    assert (judged(judge, clock) is not None) is is_broken


@pytest.mark.parametrize("where", ["in Vault", "a candidate", "in another cluster", "dead", "of another account"])
def test_a_copy_that_nobody_needs_is_dropped_without_a_decision(where: str) -> None:
    """Vault has held it, there is another copy, Pipedrive has ended it, or it was never for these credentials."""

    def judge(promises: Promises) -> str | None:
        promises.handed_over.add("refresh-3")
        promises.escrowed = lambda: {"refresh-3"} if where == "in another cluster" else set()
        promises.stored({"refresh_token": "refresh-3" if where == "in Vault" else "consent-1"}, by="a1")
        promises.candidate = "refresh-3" if where == "a candidate" else None
        promises.is_alive = lambda token: token == "consent-1" or where != "dead"
        promises.is_right = lambda token: token == "consent-1" or where != "of another account"
        promises.drops_escrow("refresh-3", by="a1")
        return promises.broken

    assert judged(judge) is None


@pytest.mark.parametrize("became", ["dropped", "the grant", "handed over", "lost", "never copied", "dead"])
def test_the_result_of_an_exchange_is_not_just_dropped(became: str) -> None:
    """It becomes the grant, unless nobody needs it or nobody can have it."""

    def judge(promises: Promises) -> str | None:
        promises.sends = [exchanged("code-2", "refresh-3")]
        promises.spent(promises.sends[0], "access-3")
        if became != "never copied":
            promises.stored({"refresh_token": "consent-1"}, by="a1", candidate=CANDIDATE_3)
        promises.held_since |= {"refresh-3": END} if became == "the grant" else {}
        promises.handed_over |= {"refresh-3"} if became == "handed over" else set()
        promises.history.lost |= {"refresh-3"} if became == "lost" else set()
        promises.is_alive = lambda _: became != "dead"
        return promises.unconnected()

    assert judged(judge) == ("(h) the result of code-2 was dropped" if became == "dropped" else None)


@pytest.mark.parametrize("is_promoted", [True, False])
@pytest.mark.parametrize(
    ("generation", "known_as_of", "is_wrong"),
    [
        pytest.param(2, END + LONGEST_CHECK + 1, True, id="it has seen the candidate"),
        pytest.param(2, END + 1, False, id="it may not have seen it yet"),
        pytest.param(3, END + LONGEST_CHECK + 1, False, id="another answer"),
    ],
)
def test_a_consent_is_uncertain_only_if_its_result_is_not_known(
    generation: int, known_as_of: float, *, is_wrong: bool, is_promoted: bool
) -> None:
    """The person would have to press the button again."""

    def judge(promises: Promises) -> str | None:
        if is_promoted:
            promises.meant["refresh-3"] = "consent-1"
            promises.promoted(("uid", 2), "refresh-3", over="consent-1")
        held = "refresh-3" if is_promoted else "consent-1"
        promises.stored({"refresh_token": held}, by="a2", candidate=None if is_promoted else CANDIDATE_3)
        promises.knows(by="a1", as_of=known_as_of)
        promises.consent_reported("a/consent", ("uid", generation), "Uncertain", by="a1")
        return promises.broken

    wrong = "(h) a/consent is uncertain, but Vault has held its result since 1000.000"
    assert judged(judge) == (wrong if is_wrong else None)


def test_a_consent_may_be_uncertain_after_a_person_has_replaced_its_grant() -> None:
    """Then nothing in Vault shows that it was connected."""

    def judge(promises: Promises) -> str | None:
        promises.meant["refresh-3"] = "consent-1"
        promises.promoted(("uid", 2), "refresh-3", over="consent-1")
        promises.stored({"refresh_token": "consent-9"}, by=PERSON)
        promises.knows(by="a1", as_of=END + LONGEST_CHECK + 1)
        promises.consent_reported("a/consent", ("uid", 2), "Uncertain", by="a1")
        return promises.broken

    assert judged(judge) is None
