"""What each error response of the API server means, and that no message contains a value of a Secret."""

import base64
from typing import Any

import pytest

from pipedrive_operator.adapters.kubernetes.quotation import LONGEST_QUOTATION
from pipedrive_operator.adapters.kubernetes.refusal import Refusal, creation_error, denial
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    NamespaceBeingDeleted,
    SecretExists,
    SecretWriteDenied,
)

TOKEN = "v1u:AQIBAHj-this/is+the~token"
TERMINATING: dict[str, Any] = {"details": {"causes": [{"reason": "NamespaceTerminating"}]}}


def encoded(text: str) -> str:
    """Encode a value as in a Secret's data."""
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
def test_a_refused_creation_becomes_an_error(refused: Refusal, error: type[Exception]) -> None:
    """Its code, reason and details decide which."""
    assert type(creation_error(refused, {})) is error


def test_a_refusal_is_an_unusable_response() -> None:
    """A caller without a more precise meaning for it need not know it."""
    assert isinstance(refusal(418), ApiServerUnavailable)
    assert str(Refusal({})) == "the API server refused the request: no reason given"


def test_no_value_of_the_sent_or_the_stored_secret_is_quoted() -> None:
    """A policy may quote either."""
    error = denial(refusal(422, message=f"was {TOKEN}"), {"new": encoded("x" * 20)}, {"old": encoded(TOKEN)})

    assert error.message == "The API server denied the write of the Secret; fix what it reports: was (hidden)"


def test_no_field_value_that_validation_quotes_is_repeated() -> None:
    """Not even in the error of a caller that does not know which data was sent."""
    refused = refusal(422, message='data[a]: Invalid value: "the-token": must be short')

    assert str(refused) == "the API server refused the request: data[a]: Invalid value: (hidden): must be short"


def test_a_long_refusal_is_cut() -> None:
    """An admission webhook may return a page."""
    error = denial(refusal(403, message="word " * 1000))

    assert len(error.message) < LONGEST_QUOTATION + 80
    assert error.message.endswith("…")
