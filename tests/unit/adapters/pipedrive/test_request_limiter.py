"""The rate of requests."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.adapters.pipedrive.request_limiter import RequestLimiter


def test_the_requests_of_one_second_leave_at_once_and_the_rest_is_spaced() -> None:
    """After a quiet time, requests do not wait."""
    limiter = RequestLimiter(4)

    waits = [limiter.reserve(100.0) for _ in range(7)]

    assert waits == pytest.approx([0, 0, 0, 0, 0.25, 0.5, 0.75])


def test_the_allowance_returns_and_does_not_accumulate() -> None:
    """After a quiet hour, the requests of one second leave at once."""
    limiter = RequestLimiter(2)
    spent = [limiter.reserve(0.0) for _ in range(2)]

    later = [limiter.reserve(3600.0) for _ in range(3)]

    assert spent + later == pytest.approx([0, 0, 0, 0, 0.5])


def test_a_slow_rate_has_no_burst() -> None:
    """One request every ten seconds means just that."""
    limiter = RequestLimiter(0.1)

    assert [limiter.reserve(0.0) for _ in range(3)] == pytest.approx([0, 10, 20])


@given(st.floats(0.1, 100), st.lists(st.floats(0, 5), min_size=2, max_size=60))
def test_no_period_has_more_requests_than_the_rate_allows(per_second: float, gaps: list[float]) -> None:
    """Whenever requests come: at most those of one second above the rate."""
    limiter = RequestLimiter(per_second)

    departures = [now + limiter.reserve(now) for now in itertools.accumulate(gaps)]

    for first, last in itertools.combinations(range(len(departures)), 2):
        stretch = departures[last] - departures[first]
        assert last - first + 1 <= per_second * stretch + max(1.0, per_second) + 1e-6
