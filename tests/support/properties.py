"""Property tests of readers: no input of a tenant, a vendor or another tool may raise anything but our own errors.

    @reads_anything
    @given(values=DOCUMENT_VALUES)
    def test_...(values: dict[str, object]) -> None: ...

Each such test gets 1,000 inputs, or as many as the profile in `tests/conftest.py` says if that is more. The mark
`reader` selects them for `make soak`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

LEAST_INPUTS = 1_000
"""How many inputs a reader gets even in the shortest run."""
Test = TypeVar("Test", bound=Callable[..., Any])


def reads_anything(test: Test) -> Test:
    """Mark a property test of a reader, and let its inputs be as large as they like."""
    bounds = settings(
        max_examples=max(LEAST_INPUTS, settings().max_examples),
        # All inputs of a test may overwrite the same file.
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.function_scoped_fixture,
        ],
    )
    marked: Test = pytest.mark.reader(bounds(test))
    return marked


def nested(depth: int) -> object:
    """Build a list in a list in a list, and so on."""
    value: object = "x"
    for _ in range(depth):
        value = [value]
    return value


HUGE = st.sampled_from(
    [
        2**63 - 1,
        2**64,
        10**400,
        10**5000,
        -1,
        float("inf"),
        float("nan"),
        1e308,
        1795900000000,
        "9" * 5000,
        "9223372036854775807",
        "1795900000000",
        "1e400",
        "-1",
        "²",
        "x" * 100_000,
        ",".join(f"scope-{number}:full" for number in range(5000)),
        "a\x00b",
        "a\nb",
        "\ud800",
        "\u202eabc",
        nested(2000),
    ]
)
"""Values that broke a reader somewhere."""

TIMES = st.one_of(
    st.datetimes().map(datetime.isoformat),
    st.datetimes(timezones=st.timezones() | st.just(UTC)).map(datetime.isoformat),
    st.sampled_from(
        [
            "0001-01-01T00:00:00+05:00",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59-05:00",
            "9999-12-31T23:59:59Z",
            "2026-03-04t13:00:00z",
            "2026-03-04T13:00:60Z",
            "2026-03-04T13:00:00.123456789Z",
            "2026-03-04",
            "1772629200.5",
            1772629200,
            1772629200.5,
        ]
    ),
)
"""Times in every form, as text or seconds since the epoch."""

ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.text(alphabet=st.characters()),
    HUGE,
    TIMES,
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3),
)
"""Any value of a JSON document, with a preference for those that are hard to read."""

ENCODABLE = ANYTHING.map(lambda value: 0 if isinstance(value, int) and value > 10**4000 else value)
"""The same without numbers of more than 4,300 digits, which Python neither decodes nor encodes."""

SHALLOW: st.SearchStrategy[Any] = ENCODABLE.map(
    lambda value: [] if isinstance(value, list) and value and isinstance(value[0], list) else value
)
"""The same without deep nesting, for a test that encodes the values itself."""


def mostly(usual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw usual values, and anything else one time in five: `|` would draw from each of its many parts as often."""
    return st.integers(0, 4).flatmap(lambda drawn: usual if drawn else ANYTHING)
