"""Which values are ids of Pipedrive's."""

import pytest
from hypothesis import given

from pipedrive_operator.core.values.ids import read_id
from support.properties import ANYTHING, reads_anything


@pytest.mark.parametrize(("value", "number"), [(1, 1), ("12", 12), ("007", 7), (10**18 - 1, 10**18 - 1)])
def test_an_id_is_a_positive_number_or_its_digits(value: object, number: int) -> None:
    """Pipedrive writes both."""
    assert read_id(value) == number


@pytest.mark.parametrize("value", [None, True, 0, "0", -5, "-5", 1.0, "1.0", " 1", "", "²", 10**18, "1" * 19, [1]])
def test_anything_else_is_none(value: object) -> None:
    """A larger number does not fit into a status."""
    assert read_id(value) is None


@reads_anything
@given(ANYTHING)
def test_any_value_is_read_or_is_none(value: object) -> None:
    """An id fits into 64 bits."""
    number = read_id(value)

    assert number is None or 0 < number < 2**63
