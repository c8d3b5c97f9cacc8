"""Text from outside is checked and cut in one place."""

import pytest

from pipedrive_operator.core.values.text import has_control_characters, shorten, without_control_characters


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("acme GmbH é", "acme GmbH é", id="printable"),
        pytest.param("a\nb\tc\x00d\x7fe", "a b c d e", id="control characters"),
        pytest.param("a\u2028b\u202ec", "a b c", id="separators and direction marks"),
    ],
)
def test_control_characters_become_spaces(text: str, expected: str) -> None:
    """A quotation stays on one line."""
    assert expected == without_control_characters(text)
    assert has_control_characters(text) is (text != expected)


@pytest.mark.parametrize(
    ("text", "expected"), [("", ""), ("abcd", "abcd"), ("abcde", "abc…")], ids=["empty", "as long as allowed", "longer"]
)
def test_a_cut_is_marked(text: str, expected: str) -> None:
    """The result is never longer than allowed."""
    assert expected == shorten(text, 4)
