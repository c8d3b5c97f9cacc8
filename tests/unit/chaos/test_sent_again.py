"""A spent refresh token that is sent again breaks a promise, except in the moments that the protocol names."""

from dataclasses import replace

from chaos.evidence import Answer, Evidence, Exchange, Kind, Listing, Publication, Read, Write, escrow_name
from chaos.sent_again import SentAgain, SentAtOnce, sent_again, sent_at_once
from support.chaos_evidence import INTENT, OLD, PATH, REFRESH

AGAIN = replace(REFRESH, accepted=False, issued=None, taken=200.5, answered=200.6)
THEIRS = replace(INTENT, by="pair-1", at=199.9, tokens={**OLD, "refresh_id": "2"})
STORED = Write(
    path=PATH, by="pair-0", at=200.3, kind=Kind.STORED, tokens={"refresh_token": "new in Vault", "refresh_id": "2"}
)
READ = Read(path=PATH, by="pair-1", at=200.0)
ESCROW = Publication(by="pair-0", resource="secrets", namespace="pair", name=f"{escrow_name(PATH)}-1", at=130.0)
LISTED = Listing(by="pair-1", namespace="pair", at=50.0)
STORED_LATE = Evidence(refreshes=(REFRESH, AGAIN), writes=(INTENT, THEIRS, STORED), reads=(READ,))
KEPT = Evidence(refreshes=(REFRESH, AGAIN), writes=(INTENT, THEIRS), publications=(ESCROW,), listings=(LISTED,))
KNOWN = SentAgain(known=[AGAIN], unseen=[])
UNSEEN = SentAgain(known=[], unseen=[AGAIN])
NEITHER = SentAgain(known=[], unseen=[])
PATIENCE = 7.9


def test_a_token_is_sent_again_after_a_lost_answer() -> None:
    """Nothing shows that it is spent."""
    assert NEITHER == sent_again(replace(STORED_LATE, writes=(INTENT, THEIRS)))


def test_a_token_whose_successor_was_stored_after_the_last_check_is_counted() -> None:
    """The check is a read of the grant, or the intent."""
    assert UNSEEN == sent_again(STORED_LATE)
    assert UNSEEN == sent_again(replace(STORED_LATE, reads=()))


def test_a_token_whose_successor_was_stored_before_the_last_check_breaks_the_promise() -> None:
    """A check by another process does not count."""
    assert KNOWN == sent_again(replace(STORED_LATE, reads=(READ, replace(READ, at=200.4))))
    assert UNSEEN == sent_again(replace(STORED_LATE, reads=(READ, replace(READ, by="pair-0", at=200.4))))


def test_a_token_that_is_sent_long_after_the_last_check_breaks_the_promise() -> None:
    """The fence checks again."""
    late = replace(AGAIN, taken=206.5)
    assert [late] == sent_again(replace(STORED_LATE, refreshes=(REFRESH, late))).known
    in_time = replace(AGAIN, taken=205.9)
    assert [in_time] == sent_again(replace(STORED_LATE, refreshes=(REFRESH, in_time))).unseen


def test_a_successor_of_the_successor_shows_that_a_token_is_spent() -> None:
    """The first copy that Vault shows may be a later one."""
    second = replace(REFRESH, token="new", issued="newer", taken=110.0, answered=110.1)
    intent = replace(INTENT, at=109.9, tokens={"refresh_id": "3"})
    stored = replace(STORED, at=110.2, tokens={"refresh_token": "newer in Vault"})
    evidence = Evidence(refreshes=(REFRESH, second, AGAIN), writes=(INTENT, intent, stored, THEIRS))
    assert KNOWN == sent_again(evidence)


def test_a_successor_in_escrow_breaks_the_promise_even_if_it_was_kept_after_other_requests() -> None:
    """A process that was stopped keeps it late. The escrow was never listed since."""
    assert KNOWN == sent_again(KEPT)
    exchange = Exchange(
        path=PATH,
        consent="",
        token="code",
        issued=None,
        accepted=False,
        taken=120.0,
        answered=120.1,
        delivered=True,
        answer=Answer(path=PATH, name="acme/x", code="code", belongs=True, reported="CodeRefused", ended=121.0),
    )
    assert KNOWN == sent_again(replace(KEPT, exchanges=(exchange,)))


def test_a_successor_that_was_kept_in_escrow_after_the_last_list_is_counted() -> None:
    """It is a breach if the list could show it."""
    listings = (LISTED, replace(LISTED, at=200.2))
    assert KNOWN == sent_again(replace(KEPT, listings=listings))
    assert UNSEEN == sent_again(replace(KEPT, listings=listings, publications=(replace(ESCROW, at=200.3),)))


def test_an_escrow_in_another_namespace_is_not_seen() -> None:
    """It may be in another cluster."""
    assert NEITHER == sent_again(replace(KEPT, listings=(replace(LISTED, namespace="another"),)))


def test_two_requests_with_one_token_at_the_same_time_break_the_promise() -> None:
    """A request after the answer to the first one does not count, nor does the order in the ledger."""
    second = replace(AGAIN, taken=100.1)
    assert SentAtOnce(early=[second], awaited=[]) == sent_at_once([second, REFRESH], patience=PATIENCE)
    assert SentAtOnce(early=[], awaited=[]) == sent_at_once([REFRESH, AGAIN], patience=PATIENCE)


def test_a_request_after_four_time_outs_without_an_answer_is_counted() -> None:
    """The first one waits at Pipedrive still. A third one must be as patient."""
    unanswered = replace(REFRESH, answered=None)
    third = replace(AGAIN, taken=203.0, answered=203.1)
    assert SentAtOnce(early=[], awaited=[AGAIN]) == sent_at_once([unanswered, AGAIN], patience=PATIENCE)
    both = sent_at_once([unanswered, AGAIN, third], patience=PATIENCE)
    assert SentAtOnce(early=[], awaited=[AGAIN, third]) == both
    second = replace(AGAIN, answered=204.0)
    found = sent_at_once([unanswered, second, third], patience=PATIENCE)
    assert SentAtOnce(early=[third], awaited=[second]) == found
