"""Pauses grow, are spread, and leave time before a token expires."""

import itertools
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.values.backoff import (
    LONGEST_BACK_OFF,
    SHORTEST_PAUSE,
    cap_to_lifetime,
    fraction,
    pause,
)
from support.builders import NOW

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def test_pauses_grow_to_a_limit() -> None:
    """Each failure doubles the pause."""
    pauses = [pause(failures, spread_by="x") for failures in range(1, 40)]

    assert 0.9 * SHORTEST_PAUSE <= pauses[0] <= SHORTEST_PAUSE
    assert all(one <= 1.2 * other for one, other in itertools.pairwise(pauses))
    assert 0.9 * LONGEST_BACK_OFF <= pauses[-1] <= LONGEST_BACK_OFF


def test_a_pause_leaves_three_quarters_of_the_lifetime() -> None:
    """The end of an outage is noticed before the token expires."""
    assert MINUTE == cap_to_lifetime(5 * MINUTE, NOW + 4 * MINUTE, NOW)
    assert 5 * MINUTE == cap_to_lifetime(5 * MINUTE, NOW + HOUR, NOW)
    assert 5 * MINUTE == cap_to_lifetime(5 * MINUTE, NOW - HOUR, NOW)
    assert SHORTEST_PAUSE == cap_to_lifetime(5 * MINUTE, NOW + SHORTEST_PAUSE, NOW)


@given(st.text())
def test_a_fraction_is_below_one(text: str) -> None:
    """It is not negative, either."""
    assert 0 <= fraction(text) < 1
