"""The percentile of a report is one of its values."""

import pytest

from testbed.figure import percentile

HUNDRED = [float(value) for value in range(100, 0, -1)]


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [(HUNDRED, 0.99, 99.0), (HUNDRED, 1.0, 100.0), (HUNDRED[:50], 0.95, 98.0), ([7.0], 0.99, 7.0)],
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, expected: float) -> None:
    """The 99th percentile of a hundred values is the 99th smallest."""
    assert percentile(values, share) == expected
