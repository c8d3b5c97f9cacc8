"""Copies in escrow are a reason for a few early refreshes, not for any number of them."""

from fakes.pipedrive import Send
from simulation.early_refreshes import FIRST_PAUSE, Copy, EarlyRefreshes

COPY: Copy = ("copy-1", 0.0)


def test_a_copy_that_stays_allows_one_refresh_after_each_pause() -> None:
    """The pauses double, as those of the operator."""
    early = EarlyRefreshes()

    allowed = [moment for moment in range(500) if early.allows({COPY}, _refresh(moment), listed_at=1.0)]

    assert allowed == [0, FIRST_PAUSE, 3 * FIRST_PAUSE, 7 * FIRST_PAUSE]


def test_another_copy_allows_another_refresh_at_once() -> None:
    """And then the first pause applies again."""
    early = EarlyRefreshes()
    assert early.allows({COPY}, _refresh(0), listed_at=1.0)
    assert early.allows({COPY}, _refresh(FIRST_PAUSE), listed_at=1.0)

    allowed = [
        moment for moment in range(61, 200) if early.allows({COPY, ("copy-2", 0.0)}, _refresh(moment), listed_at=1.0)
    ]

    assert allowed == [61, 61 + FIRST_PAUSE]


def test_a_refresh_that_pipedrive_has_not_accepted_does_not_count() -> None:
    """It was limited, or a person has replaced the grant just then: nothing is known about the copy."""
    early = EarlyRefreshes()
    assert early.allows({COPY}, _refresh(0, successor=None), listed_at=1.0)

    assert [early.allows({COPY}, _refresh(moment), listed_at=1.0) for moment in (1, 2)] == [True, False]


def test_a_copy_that_the_sender_had_not_listed_allows_another_refresh_later() -> None:
    """The first refresh said nothing about it: the sender only drops the copies that it has listed before."""
    early = EarlyRefreshes()
    both = {COPY, ("copy-2", 2.0)}
    assert early.allows(both, _refresh(3), listed_at=1.0)

    assert [early.allows(both, _refresh(moment), listed_at=4.0) for moment in (5, 6)] == [True, False]


def _refresh(began: float, *, successor: str | None = "successor") -> Send:
    return Send("token", began, by="a1", ended=began, successor=successor)
