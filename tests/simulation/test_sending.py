"""A request beside another one, or one that is not due: what the judge excuses, and what it does not."""

from datetime import timedelta

import pytest

from fakes.pipedrive import Send
from simulation.history import PERSON
from simulation.judging import DUE, END, claim, judged
from simulation.promises import Promises
from simulation.record import LONGEST_CHECK


@pytest.mark.parametrize(("since", "is_excused"), [(END - 1, True), (END + 1, False)])
def test_a_restore_during_a_request_excuses_another_one_with_its_token(since: float, *, is_excused: bool) -> None:
    """It has removed the intent, so no other holder knows that the token is in flight."""

    def judge(promises: Promises) -> str | None:
        promises.restored({"refresh_token": "refresh-1"}, by=PERSON)
        promises.sends = [Send("refresh-1", since, by="a1")]
        promises.patience = 32.0
        claim(promises, "a2")
        promises.sent(Send("refresh-1", END + 2, by="a2"), left=None, due=DUE)
        return promises.broken

    assert (judged(judge) is None) is is_excused


@pytest.mark.parametrize(
    ("by", "restored_intent", "is_excused"),
    [
        pytest.param("a1", "", True, id="the intent of another process is gone"),
        pytest.param("a2", "", False, id="its own request"),
        pytest.param("a1", "a1-1", False, id="the intent is there still"),
        pytest.param("a1", "a3-1", True, id="another intent is there"),
    ],
)
def test_a_restore_excuses_a_request_beside_one_that_its_sender_cannot_know(
    by: str, restored_intent: str, *, is_excused: bool
) -> None:
    """A process knows its own requests, and finds the intents that Vault has again."""

    def judge(promises: Promises) -> str | None:
        promises.patience = 32.0
        promises.sends = [Send("refresh-1", END - 5, by=by, intent=f"{by}-1")]
        marks = {"refresh_id": restored_intent} if restored_intent else {}
        promises.restored({"refresh_token": "refresh-1"} | marks, by=PERSON)
        claim(promises, "a2", 2)
        promises.sent(Send("refresh-1", END, by="a2"), left=None, due=DUE)
        return promises.broken

    assert judged(judge) == (None if is_excused else "(a) two sends of refresh-1 overlap")


@pytest.mark.parametrize(
    ("by", "kept", "is_excused"),
    [
        pytest.param(PERSON, {}, True, id="a person has replaced the document"),
        pytest.param(PERSON, {"refresh_id": "a1-1"}, False, id="a person has patched the document"),
        pytest.param("a3", {}, False, id="the operator has removed the intent"),
    ],
)
def test_a_person_who_removes_an_intent_excuses_a_request_beside_it(
    by: str, kept: dict[str, object], *, is_excused: bool
) -> None:
    """The token is that of a candidate, of which another cluster has had a copy."""

    def judge(promises: Promises) -> str | None:
        promises.patience = 32.0
        promises.sends = [Send("refresh-8", END - 5, by="a1", intent="a1-1")]
        promises.stored({"refresh_token": "consent-9"} | kept, by=by)
        claim(promises, "b1", 2)
        promises.sent(Send("refresh-8", END, by="b1"), left=None, due=DUE)
        return promises.broken

    assert judged(judge) == (None if is_excused else "(a) two sends of refresh-8 overlap")


def test_a_request_has_the_intent_of_its_sender() -> None:
    """The judge of a later restore compares it."""

    def judge(promises: Promises) -> str | None:
        claim(promises, "a1", 7)
        promises.sent(send := Send("refresh-1", END, by="a1"), left=None, due=DUE)
        return send.intent

    assert judged(judge) == "a1-7"


@pytest.mark.parametrize(
    ("replaced_by", "leader", "is_broken"),
    [("refresh-3", None, True), ("refresh-3", "a2", True), ("refresh-3", "a1", False), ("consent-9", None, False)],
)
def test_a_copy_in_escrow_that_stays_excuses_no_refresh_every_second(
    replaced_by: str, leader: str | None, *, is_broken: bool
) -> None:
    """One for each consent, until the pause of the protocol is over. A process that leads again has forgotten it."""

    def judge(promises: Promises) -> str | None:
        promises.in_escrow = lambda _by, _since: {("copy-1", 0.0)}
        promises.stored({"refresh_token": "refresh-2"}, by="a1")
        claim(promises, "a1")
        promises.sent(Send("refresh-2", END, by="a1", successor="refresh-3"), left=timedelta(seconds=200), due=DUE)
        assert (promises.broken, promises.history.excuses) == (None, {"refreshed early to settle an escrow": 1})
        promises.spent(promises.sends[-1], "access-3")
        promises.stored({"refresh_token": replaced_by}, by="a1")
        if leader is not None:
            promises.leads(leader)
        promises.sent(Send(replaced_by, END + 1, by="a1"), left=timedelta(seconds=200), due=DUE)
        return promises.broken

    wrong = "(d) refresh-3 was refreshed, but the access token is valid for 0:03:20"
    assert judged(judge) == (wrong if is_broken else None)


@pytest.mark.parametrize(("listed", "is_broken"), [(END - 5, False), (END - 1, True)])
def test_a_copy_that_was_kept_after_the_sender_listed_the_escrow_excuses_the_next_refresh(
    listed: float, *, is_broken: bool
) -> None:
    """The sender settles what it has listed before its intent. The list behind the fence settles nothing."""

    def judge(promises: Promises) -> str | None:
        promises.in_escrow = lambda _by, _since: {("copy-1", 0.0), ("copy-2", END - 2)}
        promises.stored({"refresh_token": "refresh-2"}, by="a1")
        promises.lists(by="a1", as_of=listed)
        claim(promises, "a1")
        promises.lists(by="a1", as_of=END)
        claim(promises, "a1")
        promises.sent(Send("refresh-2", END, by="a1", successor="refresh-3"), left=timedelta(seconds=200), due=DUE)
        promises.spent(promises.sends[-1], "access-3")
        promises.stored({"refresh_token": "refresh-3"}, by="a1")
        claim(promises, "a1", 2)
        promises.sent(Send("refresh-3", END + 1, by="a1"), left=timedelta(seconds=200), due=DUE)
        return promises.broken

    wrong = "(d) refresh-3 was refreshed, but the access token is valid for 0:03:20"
    assert judged(judge) == (wrong if is_broken else None)


@pytest.mark.parametrize("after", [31.0, 32.0])
def test_a_request_that_waits_at_pipedrive_excuses_another_one_after_four_time_outs(after: float) -> None:
    """Before that, two requests with one token overlap."""

    def judge(promises: Promises) -> str | None:
        promises.patience = 32.0
        promises.sends = [Send("refresh-1", END - after, by="a1")]
        claim(promises, "a2")
        promises.sent(Send("refresh-1", END, by="a2"), left=None, due=DUE)
        assert promises.history.excuses["sent again after four time-outs"] == 1
        return promises.broken

    wrong = judged(judge)

    assert wrong == (None if after >= 32 else "(a) two sends of refresh-1 overlap")


@pytest.mark.parametrize("cluster", ["a", "b"])
def test_an_escrow_is_a_reason_to_refresh_early_in_its_own_cluster_only(cluster: str) -> None:
    """A process cannot see the escrow of another cluster."""

    def judge(promises: Promises) -> str | None:
        promises.in_escrow = lambda by, _since: {("copy-1", 0.0)} if by.startswith(cluster) else set()
        promises.stored({"refresh_token": "refresh-2"}, by="a1")
        claim(promises, "a1")
        promises.sent(Send("refresh-2", END, by="a1"), left=timedelta(seconds=200), due=DUE)
        return promises.broken

    wrong = judged(judge)

    assert (wrong is None) == (cluster == "a")


@pytest.mark.parametrize(
    ("asked_before", "is_broken"),
    [
        pytest.param(1.0, False, id="stored a moment after the last check"),
        pytest.param(LONGEST_CHECK + 1, True, id="stored since, but the last check is too old"),
        pytest.param(-1.0, True, id="stored before the last check"),
    ],
)
def test_a_token_that_does_not_rotate_is_sent_early_only_if_its_process_cannot_know(
    asked_before: float, *, is_broken: bool
) -> None:
    """A holder that was stopped has stored its late access token beside the intent, as it may a new refresh token."""

    def judge(promises: Promises) -> str | None:
        promises.rotates = False
        promises.knows(by="a1", as_of=END - asked_before)
        promises.stored({"refresh_token": "consent-1", "access_token": "access-2"}, by="a2")
        claim(promises, "a1")
        promises.sent(Send("consent-1", END, by="a1"), left=timedelta(seconds=200), due=DUE)
        kind = "refreshed without need within a moment, as its refresh token does not rotate"
        assert promises.history.excuses == ({} if is_broken else {kind: 1})
        return promises.broken

    wrong = judged(judge)

    assert (wrong is not None and wrong.startswith("(d) consent-1 was refreshed")) is is_broken


def test_a_token_that_rotates_is_not_sent_early_because_its_access_token_was_stored_a_moment_ago() -> None:
    """Vault has got both at once, so that its process knows both."""

    def judge(promises: Promises) -> str | None:
        promises.knows(by="a1", as_of=END)
        promises.stored({"refresh_token": "refresh-2", "access_token": "access-2"}, by="a2")
        claim(promises, "a1")
        promises.sent(Send("refresh-2", END, by="a1"), left=timedelta(seconds=200), due=DUE)
        return promises.broken

    assert judged(judge) == "(d) refresh-2 was refreshed, but the access token is valid for 0:03:20"
