"""Copies in escrow are a reason for a few early refreshes, not for any number of them."""

from simulation.early_refreshes import FIRST_PAUSE, EarlyRefreshes


def test_a_copy_that_stays_allows_one_refresh_after_each_pause() -> None:
    """The pauses double, as those of the operator."""
    early = EarlyRefreshes()

    allowed = [moment for moment in range(500) if early.allows({"copy-1"}, moment)]

    assert allowed == [0, FIRST_PAUSE, 3 * FIRST_PAUSE, 7 * FIRST_PAUSE]


def test_another_copy_allows_another_refresh_at_once() -> None:
    """And then the first pause applies again."""
    early = EarlyRefreshes()
    assert early.allows({"copy-1"}, 0)
    assert early.allows({"copy-1"}, FIRST_PAUSE)

    allowed = [moment for moment in range(61, 200) if early.allows({"copy-1", "copy-2"}, moment)]

    assert allowed == [61, 61 + FIRST_PAUSE]
