"""A refresh token that is spent: what the judge excuses when it is sent again, and what it does not."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from fakes.pipedrive import Send
from pipedrive_operator.core.grant.obsolete import with_obsolete
from simulation.history import PERSON
from simulation.judging import CANDIDATE_2, CANDIDATE_3, DUE, END, claim, judged, spent
from simulation.promises import Promises
from simulation.record import LONGEST_CHECK


def test_a_candidate_is_a_stored_successor() -> None:
    """The refresh token that was spent for it is not sent again."""

    def judge(promises: Promises) -> str | None:
        promises.sends = [
            Send("code-1", 10, by="a1", ended=11, successor="refresh-2"),
            spent("refresh-2", "refresh-3"),
        ]
        for send in promises.sends:
            promises.spent(send, f"access of {send.successor}")
        promises.stored({"refresh_token": "consent-1"}, by="a1", candidate=CANDIDATE_3)
        promises.knows(by="a1", as_of=END + 1)
        claim(promises, "a1")
        promises.sent(Send("refresh-2", END, by="a1"), left=None, due=DUE)
        return promises.broken

    wrong = judged(judge)

    assert wrong == "(a) refresh-2 was sent again after its successor refresh-3 was stored at 1000.000"


@pytest.mark.parametrize(
    ("asked_before", "where", "is_broken"),
    [
        pytest.param(1.0, "Vault", False, id="stored a moment after the last check"),
        pytest.param(LONGEST_CHECK + 1, "Vault", True, id="stored since, but the last check is too old"),
        pytest.param(-1.0, "Vault", True, id="stored before the last check"),
        pytest.param(1.0, "escrow", False, id="kept in escrow a moment after the last look"),
        pytest.param(-1.0, "escrow", True, id="kept in escrow before the last look"),
    ],
)
def test_a_spent_token_is_sent_only_if_its_process_cannot_know(
    asked_before: float, where: str, *, is_broken: bool
) -> None:
    """Its successor was stored by another process."""

    def judge(promises: Promises) -> str | None:
        promises.sends = [spent("refresh-1", "refresh-2")]
        promises.spent(promises.sends[0], "access-2")
        if where == "Vault":
            promises.stored({"refresh_token": "refresh-2"}, by="a1")
            promises.knows(by="a2", as_of=END - asked_before)
        else:
            promises.kept_since = lambda _by, _token: END
            promises.knows(by="a2", as_of=END)
            promises.lists(by="a2", as_of=END - asked_before)
        claim(promises, "a2")
        promises.sent(Send("refresh-1", END, by="a2"), left=None, due=DUE)
        assert promises.broken or promises.history.excuses == {"sent again within a moment": 1}
        return promises.broken

    wrong = judged(judge)

    assert (wrong is not None and wrong.startswith("(a) refresh-1 was sent again")) is is_broken


@pytest.mark.parametrize(
    ("listed_at", "is_broken"),
    [pytest.param(END + 1, False, id="after the intent"), pytest.param(END - 1, True, id="before the intent")],
)
def test_a_refresh_in_progress_does_not_know_what_another_task_has_listed(listed_at: float, *, is_broken: bool) -> None:
    """The list behind its fence was a moment older than the copy, and Vault was slow afterwards."""

    def judge(promises: Promises) -> str | None:
        promises.sends = [spent("refresh-1", "refresh-2")]
        promises.spent(promises.sends[0], "access-2")
        promises.kept_since = lambda _by, _token: END - 2
        promises.knows(by="a2", as_of=END)
        promises.lists(by="a2", as_of=END - 3)
        if listed_at < END:
            promises.listed_as_of["a2"] = listed_at
        claim(promises, "a2")
        promises.listed_as_of["a2"] = listed_at
        promises.sent(Send("refresh-1", END, by="a2"), left=None, due=DUE)
        return promises.broken

    wrong = judged(judge)

    assert wrong == (
        "(a) refresh-1 was sent again after its successor refresh-2 was kept in escrow at 998.000"
        if is_broken
        else None
    )


def _store_a_successor(promises: Promises) -> None:
    """Let Vault hold refresh-3, for which refresh-2 was spent."""
    promises.sends = [spent("refresh-2", "refresh-3")]
    promises.spent(promises.sends[0], "access-3")
    promises.lines["refresh-2"] = promises.lines["refresh-3"]
    promises.stored({"refresh_token": "refresh-3"}, by="a1")


MARKED = with_obsolete({"refresh_token": "consent-9"}, replace(CANDIDATE_3, refreshed_from=CANDIDATE_2.lineage))


@pytest.mark.parametrize(
    ("held", "by", "is_broken"),
    [
        pytest.param({"refresh_token": "consent-9"}, "b1", False, id="a person has put another grant in its place"),
        pytest.param({"refresh_token": "consent-9"}, "a1", True, id="its sender has spent it"),
        pytest.param({"refresh_token": "refresh-3"}, "b1", True, id="its successor is in Vault"),
        pytest.param(MARKED, "b1", True, id="a mark in Vault names it"),
    ],
)
def test_a_candidate_may_be_sent_again_by_another_when_its_line_has_gone_from_vault(
    held: Mapping[str, object], by: str, *, is_broken: bool
) -> None:
    """The escrow of a cluster has an old copy."""

    def judge(promises: Promises) -> str | None:
        _store_a_successor(promises)
        promises.stored(held, by=PERSON)
        promises.stored(held, by=by, candidate=CANDIDATE_2)
        promises.knows(by=by, as_of=END + 1)
        claim(promises, by)
        promises.sent(Send("refresh-2", END, by=by), left=None, due=DUE)
        return promises.broken

    assert (judged(judge) is not None) == is_broken


@pytest.mark.parametrize(
    ("refused", "refused_to", "is_broken"),
    [("refresh-3", "b1", False), ("refresh-3", "a1", True), ("refresh-1", "b1", True)],
)
def test_a_grant_may_be_sent_again_when_an_old_copy_of_another_line_has_replaced_its_refused_successor(
    refused: str, refused_to: str, *, is_broken: bool
) -> None:
    """The process that writes the copy into Vault must be the one to which Pipedrive has refused the successor."""

    def judge(promises: Promises) -> str | None:
        _store_a_successor(promises)
        promises.refuses(Send(refused, END, by=refused_to), is_newest=True)
        promises.stored({"refresh_token": "consent-9"}, by="b1")
        promises.stored({"refresh_token": "refresh-2"}, by="c1")
        promises.knows(by="c1", as_of=END + 1)
        claim(promises, "c1")
        promises.sent(Send("refresh-2", END, by="c1"), left=None, due=DUE)
        return promises.broken

    assert (judged(judge) is not None) is is_broken


@pytest.mark.parametrize("by", ["a1", "b1"])
def test_a_grant_may_be_sent_again_by_anybody_when_its_line_has_gone_from_vault(by: str) -> None:
    """Another cluster has put its old copy in the place of a refused grant. The docs name this exception."""

    def judge(promises: Promises) -> str | None:
        _store_a_successor(promises)
        promises.stored({"refresh_token": "consent-9"}, by=PERSON)
        promises.stored({"refresh_token": "refresh-2"}, by="b1")
        promises.knows(by=by, as_of=END + 1)
        claim(promises, by)
        promises.sent(Send("refresh-2", END, by=by), left=None, due=DUE)
        assert promises.history.excuses == {"sent again after its line had gone from Vault": 1}
        return promises.broken

    assert judged(judge) is None


@pytest.mark.parametrize("restored_at", [None, 10, 30])
def test_a_process_may_send_its_own_candidate_again_after_vault_was_restored(restored_at: float | None) -> None:
    """Its successor is gone then, like everything that was stored since."""

    def judge(promises: Promises) -> str | None:
        _store_a_successor(promises)
        promises.stored({"refresh_token": "consent-9"}, by=PERSON)
        promises.stored({"refresh_token": "consent-9"}, by="a2", candidate=CANDIDATE_2)
        promises.restores = [(restored_at, {})] if restored_at is not None else []
        promises.knows(by="a1", as_of=END + 1)
        claim(promises, "a1")
        promises.sent(Send("refresh-2", END, by="a1"), left=None, due=DUE)
        return promises.broken

    assert (judged(judge) is None) == (restored_at == 30)


def test_a_person_who_replaces_the_document_removes_the_mark_that_a_token_is_spent() -> None:
    """Nothing in Vault shows it then."""

    def judge(promises: Promises) -> str | None:
        promises.sends = [spent("refresh-2", "refresh-3")]
        promises.spent(promises.sends[0], "access-3")
        promises.lines["refresh-2"] = promises.lines["refresh-3"]
        for values, by in (({"refresh_token": "refresh-3"}, "a1"), (MARKED, "a1"), ({"refresh_token": "x"}, PERSON)):
            promises.stored(values, by=by)
        promises.knows(by="b1", as_of=END + 1)
        claim(promises, "b1")
        promises.sent(Send("refresh-2", END, by="b1"), left=None, due=DUE)
        return promises.broken

    assert judged(judge) is None


@pytest.mark.parametrize(
    ("restored", "again", "wrong"),
    [
        ("refresh-2", "seed", "(a) seed was sent again after its successor refresh-1 was stored at 1000.000"),
        ("refresh-1", "seed", "(a) seed was sent again after its successor refresh-1 was stored at 1000.000"),
        ("refresh-1", "refresh-1", None),
        ("seed", "refresh-1", None),
        ("seed", "seed", None),
    ],
)
def test_a_restore_excuses_only_tokens_whose_successor_it_has_undone(
    restored: str, again: str, wrong: str | None
) -> None:
    """What was spent for the restored token is as spent as before."""

    def judge(promises: Promises) -> str | None:
        promises.sends = [spent("seed", "refresh-1"), spent("refresh-1", "refresh-2")]
        for send in promises.sends:
            promises.spent(send, f"access of {send.successor}")
            promises.stored({"refresh_token": send.successor}, by="a1")
        promises.restored({"refresh_token": restored}, by=PERSON)
        promises.knows(by="a1", as_of=END + 1)
        claim(promises, "a1")
        promises.sent(Send(again, END, by="a1"), left=None, due=DUE)
        assert (promises.history.excuses["sent again after a restore undid its successor"] == 1) is (wrong is None)
        return promises.broken

    assert judged(judge) == wrong


def test_a_candidate_that_a_restore_brings_back_is_a_stored_successor() -> None:
    """What was spent for it stays spent."""

    def judge(promises: Promises) -> str | None:
        promises.sends = [spent("refresh-2", "refresh-3")]
        promises.spent(promises.sends[0], "access-3")
        promises.restored({"refresh_token": "consent-9"}, by=PERSON, candidate=CANDIDATE_3)
        promises.knows(by="a1", as_of=END + 1)
        claim(promises, "a1")
        promises.sent(Send("refresh-2", END, by="a1"), left=None, due=DUE)
        return promises.broken

    assert judged(judge) == "(a) refresh-2 was sent again after its successor refresh-3 was stored at 1000.000"


@pytest.mark.parametrize("vault", ["within a moment", "line gone"])
def test_a_successor_that_the_sender_has_found_in_escrow_is_known_whatever_vault_shows(vault: str) -> None:
    """Vault has held it too, in a way that excuses who has not looked into the escrow."""

    def judge(promises: Promises) -> str | None:
        promises.sends = [spent("refresh-1", "refresh-2")]
        promises.spent(promises.sends[0], "access-2")
        promises.kept_since = lambda _by, _token: END - 600
        promises.lists(by="a2", as_of=END)
        promises.knows(by="a2", as_of=END - 1)
        promises.stored({"refresh_token": "refresh-2"}, by="a1")
        if vault == "line gone":
            promises.stored({"refresh_token": "consent-9"}, by=PERSON)
        claim(promises, "a2")
        promises.sent(Send("refresh-1", END, by="a2"), left=None, due=DUE)
        return promises.broken

    assert judged(judge) == "(a) refresh-1 was sent again after its successor refresh-2 was kept in escrow at 400.000"


@pytest.mark.parametrize(
    ("by", "is_broken"), [pytest.param(PERSON, False, id="a person"), pytest.param("a1", True, id="the operator")]
)
def test_a_line_that_the_operator_itself_has_removed_from_vault_is_no_excuse(by: str, *, is_broken: bool) -> None:
    """It knows what it has written over."""

    def judge(promises: Promises) -> str | None:
        promises.sends = [spent("refresh-2", "refresh-3")]
        promises.spent(promises.sends[0], "access-3")
        promises.stored({"refresh_token": "refresh-3"}, by="a1")
        promises.stored({"refresh_token": "other-1"}, by=by)
        promises.stored({"refresh_token": "refresh-2"}, by="a2")
        promises.knows(by="a2", as_of=END + 1)
        claim(promises, "a2")
        promises.sent(Send("refresh-2", END, by="a2"), left=None, due=DUE)
        return promises.broken

    assert (judged(judge) is not None) is is_broken
