"""What the judge excuses, and what it does not."""

from base64 import b64encode
from dataclasses import replace

import pytest

from fakes.pipedrive import Send
from pipedrive_operator.core.grant.grant import Grant
from simulation import causes
from simulation.history import PERSON
from simulation.judging import CANDIDATE_2, END, Clock, judged, spent
from simulation.loop import Process
from simulation.promises import Promises
from simulation.record import LONGEST_CHECK

CALM = 100.0
CONSENT = "ConsentRequired"
SENT = 500.0


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

    def judge(promises: Promises) -> str | None:
        promises.intents = intents
        promises.writes = [(moment, "a1 wrote the intent") for moment in intents]
        promises.sends = [Send("refresh-1", began=moment) for moment in sends]
        return promises.wrote_for_nothing(CALM)

    wrong = judged(judge)

    assert wrong == (None if broken_at is None else f"(d) nothing changed, but at {broken_at:.3f} a1 wrote the intent")


@pytest.mark.parametrize(
    ("requests", "writes", "is_caused"),
    [
        pytest.param(1, causes.MOST_WRITES, True, id="a few of one request"),
        pytest.param(1, causes.MOST_WRITES + 1, False, id="too many of one request"),
        pytest.param(2, 2 * causes.MOST_WRITES, True, id="those of two requests"),
    ],
)
def test_only_a_few_writes_of_a_status_belong_to_a_request(requests: int, writes: int, *, is_caused: bool) -> None:
    """An operator that writes a status each second after a refresh writes it for nothing, whichever process it is."""

    def judge(promises: Promises) -> str | None:
        promises.sends = [Send("refresh-1", began=SENT) for _ in range(requests)]
        promises.writes = [(SENT + 1 + number, f"a{number} wrote the status of a/one") for number in range(writes)]
        promises.writes += [(SENT + 1, "a1 wrote the status of a/two"), (SENT + 1, "a1 wrote the Secret of a/one")]
        return promises.wrote_for_nothing(CALM)

    assert (judged(judge) is None) is is_caused


@pytest.mark.parametrize(
    ("wrote", "is_caused"),
    [(END + 1 + causes.AFTERMATH + 1, True), (END + 15 + causes.AFTERMATH + 1, False)],
)
def test_a_result_is_published_after_it_became_the_grant(wrote: float, *, is_caused: bool) -> None:
    """A slow Vault keeps the result of an exchange from becoming the grant for 15 s."""
    clock = Clock()

    def judge(promises: Promises) -> str | None:
        promises.sends = [Send("code-1", END, ended=END + 1, successor="refresh-2")]
        clock.pass_time(15)
        promises.stored({"refresh_token": "refresh-2"}, by="a1")
        promises.writes = [(wrote, "a1 wrote the Secret of a/one")]
        clock.pass_time(wrote)
        return promises.wrote_for_nothing(CALM)

    assert (judged(judge, clock) is None) is is_caused


@pytest.mark.parametrize("was_gone", [True, False])
def test_an_access_token_goes_back_only_if_an_old_copy_was_put_back(*, was_gone: bool) -> None:
    """Vault held the grant of another consent before, so that nothing in it showed that the copy was spent."""

    def judge(promises: Promises) -> str | None:
        promises.sends = [spent("refresh-2", "refresh-3")]
        promises.spent(promises.sends[0], "access-3")
        promises.issued = {"access-3": 20.0, "access-2": 10.0}
        promises.lines["access-2"] = promises.lines["access-3"]
        promises.stored({"refresh_token": "refresh-3", "access_token": "access-3"}, by="a1")
        promises.published("a/one", _secret("access-3", "2026-01-01T00:09:00Z"), by="a1")
        if was_gone:
            promises.stored({"refresh_token": "consent-9"}, by=PERSON)
        promises.stored({"refresh_token": "refresh-2", "access_token": "access-2"}, by="a1")
        promises.published("a/one", _secret("access-2", "2026-01-01T00:08:00Z"), by="a1")
        return promises.broken

    wrong = judged(judge)

    assert (wrong is None) is was_gone


@pytest.mark.parametrize("how", ["restored", "put back"])
@pytest.mark.parametrize(
    ("seconds", "is_broken"),
    [(LONGEST_CHECK - 1, False), (LONGEST_CHECK + 1, True)],
)
def test_an_access_token_goes_back_only_while_vault_holds_it(how: str, seconds: float, *, is_broken: bool) -> None:
    """A restore or an old copy is no excuse any more a moment after Vault has got a newer grant."""
    clock = Clock()

    def judge(promises: Promises) -> str | None:
        promises.sends = [spent("refresh-2", "refresh-3")]
        promises.spent(promises.sends[0], "access-3")
        promises.issued = {"access-2": 10.0, "access-3": 20.0, "access-5": 30.0}
        promises.lines |= dict.fromkeys(("access-2", "access-5", "refresh-5"), "refresh-2")
        promises.stored({"refresh_token": "refresh-3", "access_token": "access-3"}, by="a1")
        if how == "put back":
            promises.stored({"refresh_token": "consent-9"}, by=PERSON)
            promises.stored({"refresh_token": "refresh-2", "access_token": "access-2"}, by="a1")
        else:
            promises.restored({"refresh_token": "refresh-2", "access_token": "access-2"}, by=PERSON)
        promises.published("a/one", _secret("access-3", "2026-01-01T00:09:00Z"), by="a1")
        promises.published("a/one", _secret("access-2", "2026-01-01T00:08:00Z"), by="a1")
        assert promises.broken is None
        promises.stored({"refresh_token": "refresh-5", "access_token": "access-5"}, by="a1")
        promises.published("a/one", _secret("access-5", "2026-01-01T00:20:00Z"), by="a1")
        clock.pass_time(seconds)
        promises.published("a/one", _secret("access-2", "2026-01-01T00:08:00Z"), by="a1")
        return promises.broken

    wrong = "(c) a/one went back to access-2 until 2026-01-01T00:08:00Z"
    assert judged(judge, clock) == (wrong if is_broken else None)


def test_an_access_token_that_the_operator_writes_back_is_no_restored_one() -> None:
    """It was in Vault before and after the restore, and a newer one between."""

    def judge(promises: Promises) -> str | None:
        promises.issued = {"access-2": 10.0, "access-3": 20.0}
        promises.lines |= dict.fromkeys(promises.issued, "consent-1")
        promises.restored({"refresh_token": "refresh-2", "access_token": "access-2"}, by=PERSON)
        promises.stored({"refresh_token": "refresh-3", "access_token": "access-3"}, by="a1")
        promises.published("a/one", _secret("access-3", "2026-01-01T00:09:00Z"), by="a1")
        promises.stored({"refresh_token": "refresh-2", "access_token": "access-2"}, by="a1")
        promises.published("a/one", _secret("access-2", "2026-01-01T00:08:00Z"), by="a1")
        return promises.broken

    assert judged(judge) == "(c) a/one went back to access-2 until 2026-01-01T00:08:00Z"


@pytest.mark.parametrize(("frozen_for", "is_broken"), [(899.0, False), (1.0, True)])
def test_a_process_may_write_over_a_returned_version_only_a_moment_after_it_has_compared(
    frozen_for: float, *, is_broken: bool
) -> None:
    """The time in which it was frozen does not count; that a freeze was in it is no excuse for the rest."""

    def judge(promises: Promises) -> str | None:
        process = Process("a1", stops=[(101.0, 101.0 + frozen_for)])
        promises.ran = lambda _by, since, until: process.ran(since, until)
        promises.overwritten(["refresh-9"], by="a1", asked=1005.0, knew=100.0)
        return promises.broken

    assert judged(judge) == ("(b) a1 wrote over refresh-9, unseen since 100.000" if is_broken else None)


@pytest.mark.parametrize(
    ("restored", "is_undone"),
    [
        pytest.param({"refresh_token": "consent-1"}, True, id="nothing"),
        pytest.param({"refresh_token": "consent-1", "refresh_unanswered": "1"}, False, id="what became of it"),
        pytest.param({"refresh_token": "consent-1", "refresh_id": "a1-1"}, False, id="its intent"),
        pytest.param({"refresh_token": "consent-1", "refresh_id": "a1-2"}, True, id="another intent"),
        pytest.param({"refresh_token": "consent-2", "refresh_id": "a1-1"}, True, id="that of another token"),
    ],
)
def test_a_restore_undoes_the_marks_of_a_request_unless_it_brings_one_back(
    restored: dict[str, object], *, is_undone: bool
) -> None:
    """The status must name an unanswered refresh as long as Vault does."""

    def judge(promises: Promises) -> str | None:
        send = Send("consent-1", END - 1, intent="a1-1")
        assert not promises.is_undone(send)
        promises.restored(restored, by=PERSON)
        return "undone" if promises.is_undone(send) else None

    assert judged(judge) == ("undone" if is_undone else None)


@pytest.mark.parametrize(
    ("by", "is_meant", "sent_at", "is_undone"),
    [
        pytest.param(PERSON, False, END - 1, True, id="before a person replaced the token"),
        pytest.param(PERSON, False, END + 1, False, id="after an old copy of it returned from escrow"),
        pytest.param("a1", True, END - 1, True, id="before a consent replaced it"),
        pytest.param("a1", False, END - 1, False, id="before the operator replaced it"),
    ],
)
def test_a_person_or_a_consent_that_replaces_a_token_removes_the_marks_of_its_requests(
    by: str, sent_at: float, *, is_meant: bool, is_undone: bool
) -> None:
    """An old copy may bring the token back without them. A restore of Vault may bring them back too."""
    marked, clock = {"refresh_token": "refresh-2", "refresh_unanswered": "1"}, Clock()

    def judge(promises: Promises) -> str | None:
        send = Send("refresh-2", sent_at, intent="a1-1")
        promises.restored(marked, by=PERSON)
        clock.pass_time(0.5)
        promises.stored({"refresh_token": "consent-9"}, by=by, is_meant=is_meant)
        promises.stored({"refresh_token": "refresh-2"}, by="a1")
        found = promises.is_undone(send)
        promises.restored(marked, by=PERSON)
        assert not promises.is_undone(replace(send, began=END - 1))
        return "undone" if found else None

    assert judged(judge, clock) == ("undone" if is_undone else None)


@pytest.mark.parametrize(("token", "broken"), [("refresh-3", True), ("code-9", False)])
def test_an_access_token_goes_back_only_for_the_grant_of_another_consent(token: str, broken: bool) -> None:  # noqa: FBT001
    """A consent some time ago is no excuse."""

    def judge(promises: Promises) -> str | None:
        promises.meant["refresh-3"] = "consent-1"
        promises.promoted(("uid-1", 2), "refresh-3", over="consent-1")
        promises.spent(spent("refresh-2", "refresh-3"), "access-3")
        promises.spent(spent(token, "refresh-4"), "access-4")
        promises.issued = {"access-3": 20.0, "access-4": 10.0}
        promises.stored_access = {"access-3": 10.0, "access-4": 20.0}
        promises.published("a/one", _secret("access-3", "2026-01-01T00:09:00Z"), by="a1")
        promises.published("a/one", _secret("access-4", "2026-01-01T00:10:00Z"), by="a1")
        return promises.broken

    wrong = judged(judge)

    assert wrong == ("(c) a/one went back to access-4 until 2026-01-01T00:10:00Z" if broken else None)


@pytest.mark.parametrize(("seconds", "is_wrong"), [(LONGEST_CHECK - 1, False), (LONGEST_CHECK + 1, True)])
def test_a_grant_is_not_dead_if_its_process_has_since_seen_another_one(seconds: float, *, is_wrong: bool) -> None:
    """A pass that reads at the same time needs a moment."""

    def judge(promises: Promises) -> str | None:
        promises.stored({"refresh_token": "consent-1"}, by="person")
        promises.refuses(Send("consent-1", END, by="a1"), is_newest=True)
        promises.stored({"refresh_token": "consent-2"}, by="person")
        promises.knows(by="a1", as_of=END + seconds)
        status = {"conditions": [{"type": "Authorized", "reason": "ConsentRequired"}]}
        promises.reported("a/one", status, was="Accepted", by="a1")
        return promises.broken

    assert (judged(judge) is not None) is is_wrong


@pytest.mark.parametrize(
    ("kept_at", "listed_at", "is_alive", "is_wrong"),
    [
        pytest.param(END - 1, END, True, True, id="it was there, and was seen"),
        pytest.param(END + 1, END + 2, True, False, id="it was kept after the refusal"),
        pytest.param(END - 1, END - 1, True, False, id="the escrow was not listed since"),
        pytest.param(END - 1, END, False, False, id="it is dead"),
    ],
)
def test_a_grant_is_not_dead_if_its_process_has_seen_a_living_copy_in_escrow(
    kept_at: float, listed_at: float, *, is_alive: bool, is_wrong: bool
) -> None:
    """A refused grant is replaced by it."""

    def judge(promises: Promises) -> str | None:
        promises.stored({"refresh_token": "consent-1"}, by="person")
        promises.escrow_of = lambda _: {"refresh-2": kept_at}
        promises.is_alive = lambda _: is_alive
        promises.refuses(Send("consent-1", END, by="a1"), is_newest=True)
        promises.lists(by="a1", as_of=listed_at)
        status = {"conditions": [{"type": "Authorized", "reason": "ConsentRequired"}]}
        promises.reported("a/one", status, was="Accepted", by="a1")
        return promises.broken

    wrong = "(e) a/one asks for consent, but the escrow holds ['refresh-2']"
    assert judged(judge) == (wrong if is_wrong else None)


@pytest.mark.parametrize(
    ("changed_by", "ran_for", "is_wrong"),
    [
        pytest.param("a2", 1, False, id="while it was stopped"),
        pytest.param("a2", LONGEST_CHECK + 1, True, id="although it has run since"),
        pytest.param("a1", 1, True, id="although it was the process itself"),
    ],
)
def test_a_late_status_repeats_what_another_process_has_changed(
    changed_by: str, ran_for: float, *, is_wrong: bool
) -> None:
    """The status asked for consent when the process began to write it; the newer leader writes it once more."""

    def judge(promises: Promises) -> str | None:
        promises.ran = lambda _by, _since, _until: ran_for
        accepted, asks = ({"conditions": [{"type": "Authorized", "reason": one}]} for one in ("Accepted", CONSENT))
        promises.stored({"refresh_token": "refresh-2"}, by="a2")
        promises.refuses(Send("consent-1", END, by="a1"), is_newest=False)
        promises.reported("a/one", accepted, was=CONSENT, by=changed_by)
        promises.reported("a/one", asks, was="Accepted", by="a1")
        return promises.broken

    assert (judged(judge) is not None) is is_wrong


@pytest.mark.parametrize(
    ("dropped_by", "held", "was_the_grant", "is_excused"),
    [
        pytest.param("a1", CANDIDATE_2, False, True, id="because Vault held it"),
        pytest.param("a2", CANDIDATE_2, False, False, id="but another process could not drop it"),
        pytest.param("a1", None, False, False, id="although it was the only copy"),
        pytest.param("a1", CANDIDATE_2, True, False, id="although a restore may bring back what was before it"),
    ],
)
def test_a_copy_that_its_process_could_not_drop_is_no_grant_to_use(
    dropped_by: str, held: Grant | None, *, was_the_grant: bool, is_excused: bool
) -> None:
    """Vault held it as a candidate, which another cluster has set aside since. A webhook denied the deletion."""

    def judge(promises: Promises) -> str | None:
        if was_the_grant:
            promises.stored({"refresh_token": "refresh-2"}, by="a1")
        promises.stored({"refresh_token": "consent-1"}, by=PERSON, candidate=held)
        promises.escrow_of = lambda _: {"refresh-2": END - 1}
        promises.handed_over.add("refresh-2")
        promises.must_keep_escrow("refresh-2", by=dropped_by)
        promises.refuses(Send("consent-1", END, by="a1"), is_newest=True)
        promises.lists(by="a1", as_of=END)
        status = {"conditions": [{"type": "Authorized", "reason": "ConsentRequired"}]}
        promises.reported("a/one", status, was="Accepted", by="a1")
        return promises.broken

    assert (judged(judge) is None) is is_excused


def _secret(access_token: str, expires_at: str) -> dict[str, str]:
    values = {"access_token": access_token, "expires_at": expires_at}
    return {key: b64encode(value.encode()).decode() for key, value in values.items()}
