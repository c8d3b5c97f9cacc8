"""What each error response of the API server means, and that no message contains a value of a Secret."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.adapters.kubernetes.quotation import LONGEST_QUOTATION
from pipedrive_operator.adapters.kubernetes.refusal import (
    ErrorResponse,
    ProcessingFailure,
    Refusal,
    creation_error,
    denial,
    response_error,
)
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    NamespaceBeingDeleted,
    OperatorError,
    SecretExists,
    SecretWriteDenied,
)
from support.properties import reads_anything

TOKEN = "v1u:AQIBAHj-this/is+the~token"
TERMINATING: dict[str, Any] = {"details": {"causes": [{"reason": "NamespaceTerminating"}]}}
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
"""Any JSON."""
ODD_DETAILS = st.fixed_dictionaries({}, optional={"kind": ODD, "causes": ODD | st.lists(ODD)})
ODD_STATUS = st.fixed_dictionaries(
    {}, optional={"kind": ODD | st.just("Status"), "message": ODD, "reason": ODD, "code": ODD, "details": ODD_DETAILS}
)
DENIED_BY_WEBHOOK = 'admission webhook "policy.example.com" denied the request: no'


def encoded(text: str) -> str:
    """Encode a value as in a Secret's data."""
    return base64.b64encode(text.encode()).decode()


def status(code: int, reason: str = "", message: str = "no", **fields: Any) -> dict[str, Any]:
    """Build a Status as the API server does."""
    return {"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message} | fields


def response(code: int, reason: str = "", message: str = "no", **fields: Any) -> ErrorResponse:
    """Build the error of a Status."""
    error = response_error(code, status(code, reason, message, **fields))
    assert isinstance(error, ErrorResponse)
    return error


@pytest.mark.parametrize(
    ("responded", "error"),
    [
        (response(409, "AlreadyExists"), SecretExists),
        (response(409, "Conflict"), ApiServerUnavailable),
        (response(404, "NotFound", details={"kind": "namespaces"}), NamespaceBeingDeleted),
        (response(403, "Forbidden", **TERMINATING), NamespaceBeingDeleted),
        (response(403, "Forbidden"), SecretWriteDenied),
        (response(400, "BadRequest"), SecretWriteDenied),
        (response(413, "RequestEntityTooLarge"), SecretWriteDenied),
        (response(422, "Invalid"), SecretWriteDenied),
        (response(500, "InternalError"), SecretWriteDenied),
    ],
)
def test_a_refused_creation_becomes_an_error(responded: ErrorResponse, error: type[Exception]) -> None:
    """Its code, reason and details decide which."""
    assert type(creation_error(responded, {})) is error


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (401, status(401, "Unauthorized")),
        (408, status(408)),
        (429, status(429, "TooManyRequests", details={"retryAfterSeconds": 1})),
        (500, status(500, "ServerTimeout", details={"retryAfterSeconds": 1})),
        (503, status(503, "ServiceUnavailable")),
        (504, status(504, "Timeout")),
        (500, {"error": "a proxy's own JSON"}),
        (502, {"message": "a proxy's own JSON"}),
        (403, ["odd"]),
        (500, "odd"),
        (500, None),
    ],
)
def test_a_response_that_says_nothing_about_the_request_is_unusable(code: int, body: object) -> None:
    """The request may be repeated unchanged, or a proxy responded in place of the API server."""
    error = response_error(code, body)

    assert type(error) is ApiServerUnavailable
    assert str(code) in str(error)


@pytest.mark.parametrize(
    "message",
    [
        'Internal error occurred: failed calling webhook "policy.example.com": connect: connection refused',
        "etcdserver: request is too large",
        "Internal error occurred: illegal base64 data at input byte 0",
    ],
)
def test_a_request_that_could_not_be_processed_is_quoted(message: str) -> None:
    """A person may have to fix what the API server reports, or it may recover by itself."""
    failure = response(500, "InternalError", message)
    error = denial(failure)

    assert isinstance(failure, ProcessingFailure)
    assert error.message == f"The API server failed to write the Secret; fix what it reports: {message}"


@pytest.mark.parametrize("code", [200, 401, 403, 404, 408, 409, 418, 429, 500, 503, 504])
def test_a_denial_by_a_webhook_is_only_a_refusal(code: int) -> None:
    """The webhook chooses the code, the reason and the details freely, so they mean nothing."""
    details = {"kind": "namespaces", "causes": [{"reason": "NamespaceTerminating"}]}
    refusal = response(code, "AlreadyExists", DENIED_BY_WEBHOOK, details=details)

    assert isinstance(refusal, Refusal)
    assert not refusal.is_not_found
    assert not refusal.is_conflict
    assert not refusal.is_forbidden
    assert not refusal.namespace_is_terminating
    assert type(creation_error(refusal, {})) is SecretWriteDenied


def test_an_error_response_is_an_unusable_response() -> None:
    """A caller without a more precise meaning for it need not know it."""
    assert isinstance(response(418), ApiServerUnavailable)
    assert str(response_error(418, {"kind": "Status"})) == "the API server responded 418: no reason given"


def test_no_value_of_the_sent_or_the_stored_secret_is_quoted() -> None:
    """A policy may quote either."""
    error = denial(response(422, message=f"was {TOKEN}"), {"new": encoded("x" * 20)}, {"old": encoded(TOKEN)})

    assert error.message == "The API server denied the write of the Secret; fix what it reports: was (hidden)"


@pytest.mark.parametrize("code", [422, 500, 503])
def test_no_field_value_that_validation_quotes_is_repeated(code: int) -> None:
    """This holds even for a caller that does not know which data was sent."""
    error = response_error(code, status(code, message='data[a]: Invalid value: "the-token": must be short'))

    assert str(error) == f"the API server responded {code}: data[a]: Invalid value: (hidden): must be short"


def test_a_long_refusal_of_many_lines_is_cut_to_one_line() -> None:
    """An admission webhook may return a page."""
    error = denial(response(403, message="word\n" * 1000))

    assert len(error.message) < LONGEST_QUOTATION + 80
    assert error.message.isprintable()
    assert error.message.endswith("…")


@reads_anything
@given(st.integers(300, 599), ODD | ODD_STATUS)
def test_any_error_response_has_a_meaning(code: int, body: object) -> None:
    """No field of a Status is trusted to be what the API describes."""
    error = response_error(code, body)

    assert len(str(error)) < LONGEST_QUOTATION + 80
    if isinstance(error, ErrorResponse):
        assert isinstance(creation_error(error, {}), OperatorError)
