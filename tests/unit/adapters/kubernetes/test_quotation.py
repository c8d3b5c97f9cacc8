"""What is quoted of the API server's messages: never a value of a Secret, and never pages of text."""

import base64

import pytest

from pipedrive_operator.adapters.kubernetes.quotation import (
    LARGEST_COMPARED,
    LONGEST_QUOTATION,
    NOT_QUOTED,
    hide_field_values,
    hide_secret_values,
    quote,
)

TOKEN = "v1u:AQIBAHj-this/is+the~token"


def encoded(text: str) -> str:
    """Encode a value as in a Secret's data."""
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "quoted",
    [
        TOKEN,
        encoded(TOKEN),
        encoded(f"PIPEDRIVE_ACCESS_TOKEN={TOKEN}\n"),
        f"PIPEDRIVE_ACCESS_TOKEN={TOKEN}",
        '{"token": "' + TOKEN + '"}',
        "AQIBAHj-this/is+the~token",
    ],
)
def test_a_value_is_hidden(quoted: str) -> None:
    """This holds for it encoded or decoded, whole or in part, and inside a rendered template."""
    data = {"token": encoded(TOKEN), ".env": encoded(f"PIPEDRIVE_ACCESS_TOKEN={TOKEN}\n"), "dropped": None}

    message = hide_secret_values(f"policy: refused {quoted}, and so on", data)

    assert "AQIBAHj" not in message
    assert encoded(TOKEN) not in message
    assert message.startswith("policy: refused ")
    assert message.endswith(", and so on")


def test_a_short_word_is_kept() -> None:
    """Otherwise a scope named `base` would blacken every `base64`."""
    assert hide_secret_values("illegal base64 data", {"scope": encoded("base")}) == "illegal base64 data"


def test_a_value_that_is_not_base64_is_hidden() -> None:
    """The API server complains about exactly such a value."""
    assert hide_secret_values(f"cannot decode {TOKEN}", {"token": TOKEN}) == "cannot decode (hidden)"


@pytest.mark.parametrize(
    ("message", "quoted"),
    [
        (
            r'Secret "x" is invalid: data[a]: Invalid value: "a \"b\" c": must be short',
            'Secret "x" is invalid: data[a]: Invalid value: (hidden): must be short',
        ),
        ('type: Unsupported value: {"data":{"a":"b"}}', "type: Unsupported value: (hidden)"),
        (f'webhook says "{"x" * 300}" is wrong', "webhook says (hidden) is wrong"),
        (
            'secrets "x" is forbidden: exceeded quota: tight',
            'secrets "x" is forbidden: exceeded quota: tight',
        ),
    ],
)
def test_a_field_value_that_validation_quotes_is_hidden(message: str, quoted: str) -> None:
    """If a merge patch cannot be decoded, that value is the whole stored Secret."""
    assert hide_field_values(message) == quoted


def test_a_long_message_is_cut_and_brought_to_one_line() -> None:
    """An admission webhook may return a page."""
    message = quote("word\n" * 1000)

    assert LONGEST_QUOTATION == len(message)
    assert message.startswith("word word ")
    assert message.endswith("…")


def test_nothing_is_quoted_if_the_data_is_too_large_to_be_compared() -> None:
    """A tenant could have each word of a megabyte searched in a message, several times a second."""
    large = {"padding": "x" * (LARGEST_COMPARED + 1)}

    assert NOT_QUOTED == hide_secret_values("field is immutable", large)
    assert "field is immutable" == hide_secret_values("field is immutable", {"padding": "x" * 1000})
