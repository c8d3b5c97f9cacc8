"""Copies in escrow are a reason for a few early refreshes, not for any number of them."""

from fakes.pipedrive import Send
from simulation.early_refreshes import FIRST_PAUSE, EarlyRefreshes


def test_a_copy_that_stays_allows_one_refresh_after_each_pause() -> None:
    """The pauses double, as those of the operator."""
    early = EarlyRefreshes()

    allowed = [moment for moment in range(500) if early.allows({"copy-1"}, _refresh(moment))]

    assert allowed == [0, FIRST_PAUSE, 3 * FIRST_PAUSE, 7 * FIRST_PAUSE]


def test_another_copy_allows_another_refresh_at_once() -> None:
    """And then the first pause applies again."""
    early = EarlyRefreshes()
    assert early.allows({"copy-1"}, _refresh(0))
    assert early.allows({"copy-1"}, _refresh(FIRST_PAUSE))

    allowed = [moment for moment in range(61, 200) if early.allows({"copy-1", "copy-2"}, _refresh(moment))]

    assert allowed == [61, 61 + FIRST_PAUSE]


def test_a_refresh_that_pipedrive_has_not_accepted_does_not_count() -> None:
    """It was limited, or a person has replaced the grant just then: nothing is known about the copy."""
    early = EarlyRefreshes()
    assert early.allows({"copy-1"}, _refresh(0, successor=None))

    assert [early.allows({"copy-1"}, _refresh(moment)) for moment in (1, 2)] == [True, False]


def _refresh(began: float, *, successor: str | None = "successor") -> Send:
    return Send("token", began, by="a1", ended=began, successor=successor)
