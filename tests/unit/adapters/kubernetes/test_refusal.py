"""What the API server's refusals mean, and what of their words is passed on."""

import base64
from typing import Any

import pytest

from pipedrive_operator.adapters.kubernetes.refusal import (
    LONGEST_QUOTE,
    Refusal,
    creation_error,
    denial,
    scrub,
    without_field_values,
)
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    NamespaceBeingDeleted,
    SecretExists,
    SecretWriteDenied,
)

TOKEN = "v1u:AQIBAHj-this/is+the~token"
TERMINATING: dict[str, Any] = {"details": {"causes": [{"reason": "NamespaceTerminating"}]}}


def encoded(text: str) -> str:
    """Encode a value as a Secret's data."""
    return base64.b64encode(text.encode()).decode()


def refusal(code: int, reason: str = "", message: str = "no", **status: Any) -> Refusal:
    """Build a refusal."""
    return Refusal({"code": code, "reason": reason, "message": message} | status)


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (refusal(409, "AlreadyExists"), SecretExists),
        (refusal(409, "Conflict"), ApiServerUnavailable),
        (refusal(404, "NotFound", details={"kind": "namespaces"}), NamespaceBeingDeleted),
        (refusal(403, "Forbidden", **TERMINATING), NamespaceBeingDeleted),
        (refusal(403, "Forbidden"), SecretWriteDenied),
        (refusal(400, "BadRequest"), SecretWriteDenied),
        (refusal(413, "RequestEntityTooLarge"), SecretWriteDenied),
        (refusal(422, "Invalid"), SecretWriteDenied),
    ],
)
def test_a_refused_creation_has_a_meaning(refused: Refusal, error: type[Exception]) -> None:
    """By its code, its reason and its details."""
    assert type(creation_error(refused, {})) is error


def test_a_refusal_that_nobody_understands_is_an_unusable_answer() -> None:
    """So callers need not know it."""
    assert isinstance(refusal(418), ApiServerUnavailable)
    assert str(Refusal({})) == "the API server refuses: no reason given"


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
def test_a_quoted_value_is_hidden(quoted: str) -> None:
    """Encoded, decoded, in part, and as it is rendered for a workload."""
    data = {"token": encoded(TOKEN), ".env": encoded(f"PIPEDRIVE_ACCESS_TOKEN={TOKEN}\n"), "dropped": None}

    message = scrub(f"policy: refused {quoted}, and so on", data)

    assert "AQIBAHj" not in message
    assert encoded(TOKEN) not in message
    assert message.startswith("policy: refused ")
    assert message.endswith(", and so on")


def test_a_value_of_the_stored_secret_is_hidden_as_well() -> None:
    """A policy may quote what is there as well as what was sent."""
    error = denial(refusal(422, message=f"was {TOKEN}"), {"new": encoded("x" * 20)}, {"old": encoded(TOKEN)})

    assert error.message == "The API server does not let the Secret be written: was (hidden)"


def test_a_short_word_is_left_in_place() -> None:
    """A scope such as `base` would blacken every base64."""
    assert scrub("illegal base64 data", {"scope": encoded("base")}) == "illegal base64 data"


def test_what_is_not_base64_is_hidden_too() -> None:
    """That is the very case in which the API server complains of it."""
    assert scrub(f"cannot decode {TOKEN}", {"token": TOKEN}) == "cannot decode (hidden)"


@pytest.mark.parametrize(
    ("message", "passed_on"),
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
def test_the_values_that_validation_quotes_are_hidden(message: str, passed_on: str) -> None:
    """For a merge patch that cannot be decoded, the quoted value is the whole stored Secret."""
    assert without_field_values(message) == passed_on
    assert str(refusal(422, message=message)) == f"the API server refuses: {passed_on}"


def test_a_long_refusal_is_cut() -> None:
    """A webhook may answer with a page."""
    error = denial(refusal(403, message="word " * 1000))

    assert len(error.message) < LONGEST_QUOTE + 60
    assert error.message.endswith("…")
