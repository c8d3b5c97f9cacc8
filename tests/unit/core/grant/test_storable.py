"""A document that a refresh could not write back is refused when it is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.grant.storable import DEEPEST_NESTING, require_storable
from pipedrive_operator.core.values.errors import SourceMissing
from support.builders import GRANT_LOCATION
from support.properties import ENCODABLE, nested, reads_anything

KEYS = st.text(st.characters(), max_size=200)
VALUES = (
    ENCODABLE | st.lists(ENCODABLE, max_size=3) | st.dictionaries(KEYS, st.lists(ENCODABLE, max_size=2), max_size=3)
)


def written(values: dict[str, object]) -> bytes:
    """Write values as the client of Vault does."""
    return json.dumps(values, ensure_ascii=False, allow_nan=False).encode()


def message_about(values: dict[str, object]) -> str | None:
    """Return the message that refuses the values; None if they are accepted."""
    try:
        require_storable(GRANT_LOCATION, values)
    except SourceMissing as refused:
        return refused.message
    return None


@reads_anything
@given(values=st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_is_accepted_can_be_written(values: dict[str, object]) -> None:
    """What is refused is named, in a message that can be printed."""
    refusal = message_about(values)

    if refusal is None:
        assert written(values)
    else:
        assert str(GRANT_LOCATION) in refusal
        assert refusal.isprintable()
        assert len(refusal) < 500


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param(float("inf"), "a number that JSON cannot express", id="1e400"),
        pytest.param({"a": [float("nan")]}, "a number that JSON cannot express", id="NaN"),
        pytest.param("\ud800", "half of a surrogate pair", id="a surrogate"),
        pytest.param([{"\udfff": 1}], "half of a surrogate pair", id="a surrogate in a key"),
        pytest.param(nested(DEEPEST_NESTING + 1), "nested in more than 100 levels", id="too deep"),
        pytest.param(nested(100_000), "nested in more than 100 levels", id="far too deep"),
    ],
)
def test_a_value_that_cannot_be_written_is_named(value: object, problem: str) -> None:
    """The message says what to do."""
    with pytest.raises(SourceMissing, match=rf"under key note of .* {problem}.*: write it as text, or move it"):
        require_storable(GRANT_LOCATION, {"refresh_token": "r", "note": value})


def test_a_key_that_cannot_be_written_is_refused() -> None:
    """A foreign key is written back like its value."""
    with pytest.raises(SourceMissing, match="half of a surrogate pair"):
        require_storable(GRANT_LOCATION, {"\ud800": "note"})


def test_nesting_up_to_the_bound_is_accepted() -> None:
    """People nest a few levels."""
    require_storable(GRANT_LOCATION, {"note": nested(DEEPEST_NESTING), "other": {"a": [1, None, True, 1.5, "☃"]}})
