"""Budgets: what a namespace may do at once, how its allowance refills, and that others are not delayed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.fairness import budget
from pipedrive_operator.fairness.budget import Budget


def test_a_burst_is_free_and_what_follows_waits_in_turn() -> None:
    """The budget allows two actions a second, and three at once."""
    allowance = Budget(per_second=2, burst=3)

    assert [0.0, 0.0, 0.0, 0.5, 1.0] == [allowance.reserve("crm", 0) for _ in range(5)]


def test_a_quiet_time_fills_the_allowance_once() -> None:
    """After a year without actions, one burst is allowed."""
    allowance = Budget(per_second=2, burst=3)
    for _ in range(5):
        allowance.reserve("crm", 0)

    assert [0.0, 0.0, 0.0, 0.5] == [allowance.reserve("crm", 1e7) for _ in range(4)]


def test_a_slow_rate_has_no_burst() -> None:
    """One action every ten seconds means just that."""
    allowance = Budget(per_second=0.1, burst=1)

    assert [allowance.reserve("crm", 0.0) for _ in range(3)] == pytest.approx([0, 10, 20])


def test_what_is_not_allowed_uses_nothing_of_the_allowance() -> None:
    """Otherwise, the larger the flood, the longer it would lock out its victim."""
    allowance = Budget(per_second=2, burst=3)

    assert 3 == sum(allowance.take("crm", 0) for _ in range(1000))
    assert [True, False] == [allowance.take("crm", 0.5) for _ in range(2)]


def test_a_namespace_that_has_used_up_its_budget_delays_no_other() -> None:
    """Each has an allowance of its own."""
    allowance = Budget(per_second=1, burst=1)
    for _ in range(100):
        allowance.reserve("hostile", 0)

    assert 0.0 == allowance.reserve("honest", 0)


def test_namespaces_with_a_full_allowance_are_forgotten() -> None:
    """Memory does not grow with every namespace that ever existed."""
    allowance = Budget(per_second=1, burst=1)
    for number in range(3 * budget.MOST_IDLE):
        allowance.reserve(str(number), 10 * number)

    assert len(allowance._spent_until) <= budget.MOST_IDLE + 1  # noqa: SLF001  no behaviour shows it but memory


@given(times=st.lists(st.floats(0, 100), min_size=1, max_size=200), rate=st.integers(1, 20), burst=st.integers(1, 20))
def test_no_second_sees_more_than_a_burst_and_the_rate(times: list[float], rate: int, burst: int) -> None:
    """This holds for actions that are requested at any times."""
    allowance = Budget(per_second=rate, burst=burst)
    done = sorted(now + allowance.reserve("crm", now) for now in sorted(times))

    for first in done:
        assert sum(first <= one < first + 1 - 1e-6 for one in done) <= burst + rate


@given(
    rate=st.floats(0.1, 100),
    burst=st.floats(1, 100),
    gaps=st.lists(st.floats(0, 5), min_size=2, max_size=60),
)
def test_no_period_has_more_actions_than_the_rate_and_a_burst(rate: float, burst: float, gaps: list[float]) -> None:
    """This holds for periods of any length."""
    allowance = Budget(per_second=rate, burst=burst)

    done = [now + allowance.reserve("crm", now) for now in itertools.accumulate(gaps)]

    for first, last in itertools.combinations(range(len(done)), 2):
        assert last - first + 1 <= rate * (done[last] - done[first]) + burst + 1e-6
