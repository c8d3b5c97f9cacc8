"""Which parts of an error are shown to people."""

import json

import pytest

from pipedrive_operator.adapters.http.response import LONGEST_QUOTE
from pipedrive_operator.adapters.pipedrive.quoted_error import quote_error
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.core.values.secret_value import SecretValue

SECRET = "s3cret/value+"


def refusal(**fields: object) -> PipedriveResponse:
    """Build a 400."""
    return PipedriveResponse(status=400, body=json.dumps(fields).encode())


def test_the_code_and_the_words_are_quoted() -> None:
    """The two fields that Pipedrive uses."""
    quoted = quote_error(refusal(error="invalid_grant", message="Invalid grant: refresh_token is invalid", data="x"))

    assert quoted == "HTTP 400, invalid_grant: Invalid grant: refresh_token is invalid"


@pytest.mark.parametrize(
    "answer", [refusal(), refusal(error=1, message=None), PipedriveResponse(status=400, body=b"<p>")]
)
def test_without_these_fields_only_the_status_is_quoted(answer: PipedriveResponse) -> None:
    """A page is never quoted."""
    assert quote_error(answer) == "HTTP 400"


def test_the_destination_of_a_redirect_is_quoted() -> None:
    """A person then knows whose login page it is. It may be of any length."""
    assert quote_error(PipedriveResponse(status=302, redirect="https://login.example")) == (
        "HTTP 302 to https://login.example"
    )
    assert len(quote_error(PipedriveResponse(status=302, redirect="https://" + "a" * 5000))) < LONGEST_QUOTE + 20


@pytest.mark.parametrize("echo", [SECRET, "s3cret%2Fvalue%2B", f"token {SECRET} is bad", SECRET * 2])
@pytest.mark.parametrize("field", ["error", "message"])
def test_secrets_that_were_sent_are_hidden(echo: str, field: str) -> None:
    """This holds for the plain value, and for the value as a form encodes it."""
    quoted = quote_error(refusal(**{field: echo}), SecretValue("other"), SecretValue(SECRET))

    assert "s3cret" not in quoted
    assert "(hidden)" in quoted


def test_a_piece_of_a_token_is_hidden() -> None:
    """A repeated token may be cut or encoded differently; no word of an error is that long."""
    token = "v1u:" + "aB3+/=" * 80

    quoted = quote_error(refusal(message=f"bad token {token[:40]}"), SecretValue(token))

    assert quoted == "HTTP 400, bad token (hidden)"


def test_control_characters_are_removed() -> None:
    """A message is one line in every terminal."""
    quoted = quote_error(refusal(message="a\nb\x1b[2Jc\u202ed\ud800e"))

    assert quoted == "HTTP 400, a b [2Jc d e"


def test_a_long_text_is_cut_after_it_was_cleaned() -> None:
    """A secret at the end must not be cut in half before it is hidden."""
    quoted = quote_error(refusal(message="word " * 39 + SECRET), SecretValue(SECRET))

    assert len(quoted) <= LONGEST_QUOTE + len("HTTP 400, ")
    assert "s3" not in quoted
