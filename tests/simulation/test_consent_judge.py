"""What the judge of consents expects."""

import pytest

from fakes.pipedrive import Send
from simulation.judging import CANDIDATE_3, DUE, END, claim, exchanged, judged
from simulation.promises import Promises
from simulation.record import LONGEST_CHECK


@pytest.mark.parametrize(("written_since", "replaced"), [(False, True), (True, False)])
def test_a_consent_replaces_the_grant_that_vault_held_when_its_code_was_sent(
    *, written_since: bool, replaced: bool
) -> None:
    """Nobody has meant a grant that a person wrote later: it is lost if it was alive."""

    def judge(promises: Promises) -> str | None:
        promises.stored({"refresh_token": "consent-1"}, by="person")
        promises.sends = []
        claim(promises, "a1")
        promises.sent(Send("code-2", 10, by="a1", is_code=True), left=None, due=DUE)
        promises.spent(exchanged("code-2", "refresh-3"), "access-3")
        over = "consent-4" if written_since else "consent-1"
        promises.promoted(("uid", 2), "refresh-3", over=over)
        return None if over in promises.replaced else over

    assert (judged(judge) is None) is replaced


@pytest.mark.parametrize("became", ["dropped", "the grant", "handed over", "lost", "never copied", "dead"])
def test_the_result_of_an_exchange_is_not_just_dropped(became: str) -> None:
    """It becomes the grant, unless nobody needs it or nobody can have it."""

    def judge(promises: Promises) -> str | None:
        promises.sends = [exchanged("code-2", "refresh-3")]
        promises.spent(promises.sends[0], "access-3")
        if became != "never copied":
            promises.stored({"refresh_token": "consent-1"}, by="a1", candidate=CANDIDATE_3)
        promises.held |= {"refresh-3"} if became == "the grant" else set()
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
        promises.promoted(("uid", 2), "refresh-3", over="consent-1")
        promises.stored({"refresh_token": "consent-9"}, by="person")
        promises.knows(by="a1", as_of=END + LONGEST_CHECK + 1)
        promises.consent_reported("a/consent", ("uid", 2), "Uncertain", by="a1")
        return promises.broken

    assert judged(judge) is None
