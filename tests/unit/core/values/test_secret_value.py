"""A secret value can be compared and digested, and never shows itself."""

import hashlib
import pickle

import pytest

from pipedrive_operator.core.values.secret_value import HIDDEN, SecretValue

SECRET = SecretValue("hush-hush")


@pytest.mark.parametrize(
    "shown",
    [str(SECRET), repr(SECRET), f"{SECRET}", f"{[SECRET]}", f"{SECRET!r:>20}"],
    ids=["str", "repr", "format", "in a list", "padded"],
)
def test_a_secret_value_is_not_formatted(shown: str) -> None:
    """Every way of formatting it prints a placeholder."""
    assert HIDDEN in shown
    assert "hush" not in shown


def test_a_secret_value_cannot_be_pickled() -> None:
    """A pickle would hold the value."""
    with pytest.raises(TypeError, match="not serialised"):
        pickle.dumps(SECRET)


@pytest.mark.parametrize(
    ("other", "is_equal"),
    [
        pytest.param(SecretValue("hush-hush"), True, id="the same value"),
        pytest.param(SecretValue(" hush-hush\n"), True, id="with white space around it"),
        pytest.param(SecretValue("hush"), False, id="another value"),
        pytest.param("hush-hush", False, id="a plain string"),
    ],
)
def test_secret_values_are_compared_by_value(other: object, *, is_equal: bool) -> None:
    """It equals only another secret value."""
    assert (other == SECRET) is is_equal
    assert (hash(other) == hash(SECRET)) is (is_equal or isinstance(other, str))


def test_a_secret_value_has_a_digest() -> None:
    """The digest is SHA-256 in hexadecimal."""
    assert hashlib.sha256(b"hush-hush").hexdigest() == SECRET.digest()
    assert "hush-hush" == SECRET.reveal()


@pytest.mark.parametrize(
    ("value", "expected"), [("x", True), ("", False), (" \n", False)], ids=["text", "empty", "blank"]
)
def test_a_secret_value_is_true_if_it_is_not_empty(value: str, *, expected: bool) -> None:
    """White space counts as empty."""
    assert bool(SecretValue(value)) is expected
