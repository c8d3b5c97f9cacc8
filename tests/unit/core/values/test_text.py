"""Text from outside is checked and cut in one place."""

import pytest

from pipedrive_operator.core.values.text import (
    has_control_characters,
    is_dns_label,
    shorten,
    without_control_characters,
)


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


@pytest.mark.parametrize("text", ["acme", "ACME-2", "a", "a" * 63])
def test_a_dns_label_may_become_part_of_an_address(text: str) -> None:
    """A label is one part of a host name."""
    assert is_dns_label(text)


@pytest.mark.parametrize("text", ["", "a.b", "-a", "a-", "a" * 64, "evil.example/#", "a b", "ä", "a\n", "\u212a"])
def test_any_other_text_may_not(text: str) -> None:
    """It could lead to another host."""
    assert not is_dns_label(text)
