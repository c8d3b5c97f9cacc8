"""The pace of requests."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.adapters.pipedrive.request_limiter import RequestLimiter


def test_a_seconds_worth_goes_at_once_and_the_rest_is_spaced() -> None:
    """Nothing waits in quiet times."""
    pace = RequestLimiter(4)

    waits = [pace.reserve(100.0) for _ in range(7)]

    assert waits == pytest.approx([0, 0, 0, 0, 0.25, 0.5, 0.75])


def test_an_allowance_comes_back_and_does_not_pile_up() -> None:
    """A quiet hour is worth a second's requests."""
    pace = RequestLimiter(2)
    spent = [pace.reserve(0.0) for _ in range(2)]

    later = [pace.reserve(3600.0) for _ in range(3)]

    assert spent + later == pytest.approx([0, 0, 0, 0, 0.5])


def test_a_slow_pace_has_no_burst() -> None:
    """One request each ten seconds is that."""
    pace = RequestLimiter(0.1)

    assert [pace.reserve(0.0) for _ in range(3)] == pytest.approx([0, 10, 20])


@given(st.floats(0.1, 100), st.lists(st.floats(0, 5), min_size=2, max_size=60))
def test_no_stretch_of_time_holds_more_than_its_share(per_second: float, gaps: list[float]) -> None:
    """Whenever requests come: at most a second's worth above the rate."""
    pace = RequestLimiter(per_second)

    departures = [now + pace.reserve(now) for now in itertools.accumulate(gaps)]

    for first, last in itertools.combinations(range(len(departures)), 2):
        stretch = departures[last] - departures[first]
        assert last - first + 1 <= per_second * stretch + max(1.0, per_second) + 1e-6
