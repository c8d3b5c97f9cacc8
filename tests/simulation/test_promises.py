"""What the judge excuses, and what it does not."""

import asyncio
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta

import pytest

from fakes.pipedrive import Send
from pipedrive_operator.core.grant.grant import Grant, Terms
from pipedrive_operator.core.values.secret_value import SecretValue
from simulation.history import History
from simulation.promises import LONGEST_CHECK, Promises

CALM = 100.0
END = 1000.0
SENT = 500.0
DUE = timedelta(seconds=160)
TERMS = Terms(consent="uid", consent_generation=2, expected=None, over=None)
CANDIDATE_2, CANDIDATE_3 = (Grant(refresh_token=SecretValue(f"refresh-{n}"), terms=TERMS) for n in (2, 3))


@pytest.mark.parametrize(
    ("intents", "sends", "broken_at"),
    [
        pytest.param([495.0], [SENT], None, id="an intent before its request"),
        pytest.param([450.0, 472.0, 494.0], [SENT], None, id="two intents that a slow Vault had withdrawn"),
        pytest.param([410.0, 440.0, 470.0, 494.0], [SENT], None, id="three that were withdrawn in 90 s"),
        pytest.param([300.0, 340.0, 380.0, 420.0, 460.0, 494.0], [SENT], 300.0, id="attempts for minutes"),
        pytest.param([400.0, 494.0], [SENT], 400.0, id="an intent long before the attempts"),
        pytest.param([450.0, 472.0, 494.0], [], 450.0, id="attempts that led to no request"),
    ],
)
def test_an_intent_belongs_to_a_request_that_follows_soon(
    intents: list[float], sends: list[float], broken_at: float | None
) -> None:
    """Attempts that a slow Vault ended have a cause; those of an operator that never sends have none."""

    def judged(promises: Promises) -> str | None:
        promises.intents = intents
        promises.writes = [(moment, "a1 wrote the intent") for moment in intents]
        promises.sends = [Send("refresh-1", began=moment) for moment in sends]
        return promises.wrote_for_nothing(CALM)

    wrong = _judged(judged)

    assert wrong == (None if broken_at is None else f"(d) nothing changed, but at {broken_at:.3f} a1 wrote the intent")


def test_a_candidate_is_a_stored_successor() -> None:
    """The refresh token that was spent for it is not sent again."""

    def judged(promises: Promises) -> str | None:
        promises.sends = [
            Send("code-1", 10, by="a1", ended=11, successor="refresh-2"),
            _spent("refresh-2", "refresh-3"),
        ]
        for send in promises.sends:
            promises.spent(send, f"access of {send.successor}")
        promises.stored({"refresh_token": "consent-1"}, by="a1", candidate=CANDIDATE_3)
        promises.knows(by="a1", as_of=END + 1)
        promises.acknowledges({"refresh_holder": "a1", "refresh_id": "a1-2"}, by="a1")
        promises.sent(Send("refresh-2", END, by="a1"), left=None, due=DUE)
        return promises.broken

    wrong = _judged(judged)

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

    def judged(promises: Promises) -> str | None:
        promises.sends = [_spent("refresh-1", "refresh-2")]
        promises.spent(promises.sends[0], "access-2")
        if where == "Vault":
            promises.stored({"refresh_token": "refresh-2"}, by="a1")
            promises.knows(by="a2", as_of=END - asked_before)
        else:
            promises.kept_since = lambda _by, _token: END
            promises.knows(by="a2", as_of=END)
            promises.lists(by="a2", as_of=END - asked_before)
        promises.acknowledges({"refresh_holder": "a2", "refresh_id": "a2-1"}, by="a2")
        promises.sent(Send("refresh-1", END, by="a2"), left=None, due=DUE)
        assert promises.history.excuses["sent again within a moment"] == 1
        return promises.broken

    wrong = _judged(judged)

    assert (wrong is not None and wrong.startswith("(a) refresh-1 was sent again")) is is_broken


@pytest.mark.parametrize("held", ["refresh-3", "consent-9"])
def test_a_token_may_be_sent_again_when_its_line_has_gone_from_vault(held: str) -> None:
    """A person has put another grant in its place, and the escrow of a cluster has an old copy."""

    def judged(promises: Promises) -> str | None:
        promises.sends = [_spent("refresh-2", "refresh-3")]
        promises.spent(promises.sends[0], "access-3")
        promises.stored({"refresh_token": "refresh-3"}, by="a1")
        promises.stored({"refresh_token": held}, by="person", candidate=CANDIDATE_2)
        promises.knows(by="a1", as_of=END + 1)
        promises.acknowledges({"refresh_holder": "a1", "refresh_id": "a1-2"}, by="a1")
        promises.sent(Send("refresh-2", END, by="a1"), left=None, due=DUE)
        return promises.broken

    wrong = _judged(judged)

    assert (wrong is None) == (held == "consent-9")


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

    def judged(promises: Promises) -> str | None:
        promises.sends = [_spent("seed", "refresh-1"), _spent("refresh-1", "refresh-2")]
        for send in promises.sends:
            promises.spent(send, f"access of {send.successor}")
            promises.stored({"refresh_token": send.successor}, by="a1")
        promises.restored({"refresh_token": restored}, by="person")
        promises.knows(by="a1", as_of=END + 1)
        promises.acknowledges({"refresh_holder": "a1", "refresh_id": "a1-3"}, by="a1")
        promises.sent(Send(again, END, by="a1"), left=None, due=DUE)
        assert (promises.history.excuses["sent again after a restore undid its successor"] == 1) is (wrong is None)
        return promises.broken

    assert _judged(judged) == wrong


def test_a_candidate_that_a_restore_brings_back_is_a_stored_successor() -> None:
    """What was spent for it stays spent."""

    def judged(promises: Promises) -> str | None:
        promises.sends = [_spent("refresh-2", "refresh-3")]
        promises.spent(promises.sends[0], "access-3")
        promises.restored({"refresh_token": "consent-9"}, by="person", candidate=CANDIDATE_3)
        promises.knows(by="a1", as_of=END + 1)
        promises.acknowledges({"refresh_holder": "a1", "refresh_id": "a1-2"}, by="a1")
        promises.sent(Send("refresh-2", END, by="a1"), left=None, due=DUE)
        return promises.broken

    assert _judged(judged) == "(a) refresh-2 was sent again after its successor refresh-3 was stored at 1000.000"


@pytest.mark.parametrize(("since", "is_excused"), [(END - 1, True), (END + 1, False)])
def test_a_restore_during_a_request_excuses_another_one_with_its_token(since: float, *, is_excused: bool) -> None:
    """It has removed the intent, so no other holder knows that the token is in flight."""

    def judged(promises: Promises) -> str | None:
        promises.restored({"refresh_token": "refresh-1"}, by="person")
        promises.sends = [Send("refresh-1", since, by="a1")]
        promises.patience = 32.0
        promises.acknowledges({"refresh_holder": "a2", "refresh_id": "a2-1"}, by="a2")
        promises.sent(Send("refresh-1", END + 2, by="a2"), left=None, due=DUE)
        return promises.broken

    assert (_judged(judged) is None) is is_excused


@pytest.mark.parametrize("after", [31.0, 32.0])
def test_a_request_that_waits_at_pipedrive_excuses_another_one_after_four_time_outs(after: float) -> None:
    """Before that, two requests with one token overlap."""

    def judged(promises: Promises) -> str | None:
        promises.patience = 32.0
        promises.sends = [Send("refresh-1", END - after, by="a1")]
        promises.acknowledges({"refresh_holder": "a2", "refresh_id": "a2-1"}, by="a2")
        promises.sent(Send("refresh-1", END, by="a2"), left=None, due=DUE)
        assert promises.history.excuses["sent again after four time-outs"] == 1
        return promises.broken

    wrong = _judged(judged)

    assert wrong == (None if after >= 32 else "(a) two sends of refresh-1 overlap")


@pytest.mark.parametrize("cluster", ["a", "b"])
def test_an_escrow_is_a_reason_to_refresh_early_in_its_own_cluster_only(cluster: str) -> None:
    """A process cannot see the escrow of another cluster."""

    def judged(promises: Promises) -> str | None:
        promises.in_escrow = lambda by, _since: by.startswith(cluster)
        promises.stored({"refresh_token": "refresh-2"}, by="a1")
        promises.acknowledges({"refresh_holder": "a1", "refresh_id": "a1-1"}, by="a1")
        promises.sent(Send("refresh-2", END, by="a1"), left=timedelta(seconds=200), due=DUE)
        return promises.broken

    wrong = _judged(judged)

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

    def judged(promises: Promises) -> str | None:
        promises.rotates = False
        promises.knows(by="a1", as_of=END - asked_before)
        promises.stored({"refresh_token": "consent-1", "access_token": "access-2"}, by="a2")
        promises.acknowledges({"refresh_holder": "a1", "refresh_id": "a1-1"}, by="a1")
        promises.sent(Send("consent-1", END, by="a1"), left=timedelta(seconds=200), due=DUE)
        assert promises.history.excuses["sent again within a moment"] == (0 if is_broken else 1)
        return promises.broken

    wrong = _judged(judged)

    assert (wrong is not None and wrong.startswith("(d) consent-1 was refreshed")) is is_broken


@pytest.mark.parametrize("was_gone", [True, False])
def test_an_access_token_goes_back_only_if_an_old_copy_was_put_back(*, was_gone: bool) -> None:
    """Vault held the grant of another consent before, so that nothing in it showed that the copy was spent."""

    def judged(promises: Promises) -> str | None:
        promises.sends = [spent := _spent("refresh-2", "refresh-3")]
        promises.spent(spent, "access-3")
        promises.issued = {"access-3": 20.0, "access-2": 10.0}
        promises.lines["access-2"] = promises.lines["access-3"]
        promises.stored({"refresh_token": "refresh-3", "access_token": "access-3"}, by="a1")
        promises.published("a/one", _secret("access-3", "2026-01-01T00:09:00Z"), by="a1")
        if was_gone:
            promises.stored({"refresh_token": "consent-9"}, by="a1")
        promises.stored({"refresh_token": "refresh-2", "access_token": "access-2"}, by="a1")
        promises.published("a/one", _secret("access-2", "2026-01-01T00:08:00Z"), by="a1")
        return promises.broken

    wrong = _judged(judged)

    assert (wrong is None) is was_gone


@pytest.mark.parametrize(("token", "broken"), [("refresh-3", True), ("code-9", False)])
def test_an_access_token_goes_back_only_for_the_grant_of_another_consent(token: str, broken: bool) -> None:  # noqa: FBT001
    """A consent some time ago is no excuse."""

    def judged(promises: Promises) -> str | None:
        promises.promoted(("uid-1", 2), "refresh-3", over="consent-1")
        promises.spent(_spent("refresh-2", "refresh-3"), "access-3")
        promises.spent(_spent(token, "refresh-4"), "access-4")
        promises.issued = {"access-3": 20.0, "access-4": 10.0}
        promises.stored_access = {"access-3": 10.0, "access-4": 20.0}
        promises.published("a/one", _secret("access-3", "2026-01-01T00:09:00Z"), by="a1")
        promises.published("a/one", _secret("access-4", "2026-01-01T00:10:00Z"), by="a1")
        return promises.broken

    wrong = _judged(judged)

    assert wrong == ("(c) a/one went back to access-4 until 2026-01-01T00:10:00Z" if broken else None)


@pytest.mark.parametrize(("written_since", "replaced"), [(False, True), (True, False)])
def test_a_consent_replaces_the_grant_that_vault_held_when_its_code_was_sent(
    *, written_since: bool, replaced: bool
) -> None:
    """Nobody has meant a grant that a person wrote later: it is lost if it was alive."""

    def judged(promises: Promises) -> str | None:
        promises.stored({"refresh_token": "consent-1"}, by="person")
        promises.sends = []
        promises.acknowledges({"refresh_holder": "a1", "refresh_id": "a1-1"}, by="a1")
        promises.sent(Send("code-2", 10, by="a1", is_code=True), left=None, due=DUE)
        promises.spent(_exchanged("code-2", "refresh-3"), "access-3")
        over = "consent-4" if written_since else "consent-1"
        promises.promoted(("uid", 2), "refresh-3", over=over)
        return None if over in promises.replaced else over

    assert (_judged(judged) is None) is replaced


@pytest.mark.parametrize("became", ["dropped", "the grant", "handed over", "lost", "never copied", "dead"])
def test_the_result_of_an_exchange_is_not_just_dropped(became: str) -> None:
    """It becomes the grant, unless nobody needs it or nobody can have it."""

    def judged(promises: Promises) -> str | None:
        promises.sends = [_exchanged("code-2", "refresh-3")]
        promises.spent(promises.sends[0], "access-3")
        if became != "never copied":
            promises.stored({"refresh_token": "consent-1"}, by="a1", candidate=CANDIDATE_3)
        promises.held |= {"refresh-3"} if became == "the grant" else set()
        promises.handed_over |= {"refresh-3"} if became == "handed over" else set()
        promises.history.lost |= {"refresh-3"} if became == "lost" else set()
        promises.is_alive = lambda _: became != "dead"
        return promises.unconnected()

    assert _judged(judged) == ("(h) the result of code-2 was dropped" if became == "dropped" else None)


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

    def judged(promises: Promises) -> str | None:
        if is_promoted:
            promises.promoted(("uid", 2), "refresh-3", over="consent-1")
        held = "refresh-3" if is_promoted else "consent-1"
        promises.stored({"refresh_token": held}, by="a2", candidate=None if is_promoted else CANDIDATE_3)
        promises.knows(by="a1", as_of=known_as_of)
        promises.consent_reported("a/consent", ("uid", generation), "Uncertain", by="a1")
        return promises.broken

    wrong = "(h) a/consent is uncertain, but Vault has held its result since 1000.000"
    assert _judged(judged) == (wrong if is_wrong else None)


@pytest.mark.parametrize(("seconds", "is_wrong"), [(LONGEST_CHECK - 1, False), (LONGEST_CHECK + 1, True)])
def test_a_grant_is_not_dead_if_its_process_has_since_seen_another_one(seconds: float, *, is_wrong: bool) -> None:
    """A pass that reads at the same time needs a moment."""

    def judged(promises: Promises) -> str | None:
        promises.stored({"refresh_token": "consent-1"}, by="person")
        promises.refuses(Send("consent-1", END, by="a1"), is_newest=True)
        promises.stored({"refresh_token": "consent-2"}, by="person")
        promises.knows(by="a1", as_of=END + seconds)
        status = {"conditions": [{"type": "Authorized", "reason": "ConsentRequired"}]}
        promises.reported("a/one", status, was="Accepted", by="a1")
        return promises.broken

    assert (_judged(judged) is not None) is is_wrong


def test_a_consent_may_be_uncertain_after_a_person_has_replaced_its_grant() -> None:
    """Then nothing in Vault shows that it was connected."""

    def judged(promises: Promises) -> str | None:
        promises.promoted(("uid", 2), "refresh-3", over="consent-1")
        promises.stored({"refresh_token": "consent-9"}, by="person")
        promises.knows(by="a1", as_of=END + LONGEST_CHECK + 1)
        promises.consent_reported("a/consent", ("uid", 2), "Uncertain", by="a1")
        return promises.broken

    assert _judged(judged) is None


def _exchanged(code: str, refresh_token: str) -> Send:
    return Send(code, 20, by="a1", ended=21, successor=refresh_token, is_code=True)


def _spent(token: str, successor: str) -> Send:
    return Send(token, 20, by="a1", ended=21, successor=successor)


def _secret(access_token: str, expires_at: str) -> dict[str, str]:
    values = {"access_token": access_token, "expires_at": expires_at}
    return {key: b64encode(value.encode()).decode() for key, value in values.items()}


def _judged(judge: Callable[[Promises], str | None]) -> str | None:
    async def judged() -> str | None:
        asyncio.get_running_loop().time = lambda: END  # type: ignore[method-assign]
        return judge(Promises(History()))

    return asyncio.run(judged())
