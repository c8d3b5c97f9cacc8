"""Which error each refusal of the token endpoint becomes."""

import json
from datetime import timedelta

import pytest

from pipedrive_operator.adapters.pipedrive.refusals import TOKEN_ENDPOINT, refusal
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    ClientRejected,
    ConsentRequired,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    Trouble,
)

PAGE = b"<!doctype html><title>Access denied</title>"


def body(**fields: object) -> bytes:
    """Build a JSON body."""
    return json.dumps({"success": False, **fields}).encode()


@pytest.mark.parametrize(
    ("status", "content", "trouble"),
    [
        (400, body(error="invalid_grant"), ConsentRequired),
        (401, body(error="invalid_grant"), ConsentRequired),
        (400, body(error="invalid_client"), ClientRejected),
        (401, body(error="invalid_client"), ClientRejected),
        (403, body(error="invalid_client"), ClientRejected),
        (400, body(error="unauthorized_client"), ClientRejected),
        (400, body(error="invalid_request"), PipedriveUnavailable),
        (400, body(error="unsupported_grant_type"), PipedriveUnavailable),
        (404, body(error="Not Found"), PipedriveUnavailable),
        (402, body(error="Payment required"), AccountNotOpen),
        (402, PAGE, AccountNotOpen),
        (429, body(error="daily request budget exceeded"), RateLimited),
        (429, body(error="invalid_grant"), RateLimited),
        (429, PAGE, RateLimited),
        (403, PAGE, RateLimited),
        (403, body(message="no"), RefreshUncertain),
        (400, body(), RefreshUncertain),
        (401, body(message="no"), RefreshUncertain),
        (400, body(error=""), RefreshUncertain),
        (400, body(error=400), RefreshUncertain),
        (400, PAGE, RefreshUncertain),
        (404, b"", RefreshUncertain),
        (500, body(error="Internal Server Error"), RefreshUncertain),
        (500, body(error="invalid_grant"), RefreshUncertain),
        (503, PAGE, RefreshUncertain),
        (302, b"", RefreshUncertain),
        (200, body(error="invalid_grant"), ConsentRequired),
        (201, body(error="invalid_grant"), ConsentRequired),
        (200, body(error="invalid_client"), ClientRejected),
        (200, body(error="server_error"), RefreshUncertain),
        (302, body(error="invalid_grant"), RefreshUncertain),
        (407, PAGE, PipedriveUnavailable),
        (407, body(error="invalid_grant"), PipedriveUnavailable),
    ],
)
def test_a_refusal_is_mapped_by_its_error_code(status: int, content: bytes, trouble: type[Trouble]) -> None:
    """A grant or a client counts as refused only if a definite refusal names it."""
    assert type(refusal(TOKEN_ENDPOINT, PipedriveResponse(status=status, body=content), "quoted")) is trouble


@pytest.mark.parametrize(("status", "content"), [(429, b""), (403, PAGE), (503, PAGE)])
def test_the_pause_that_is_asked_for_is_passed_on(status: int, content: bytes) -> None:
    """The caller decides how to use it."""
    answer = PipedriveResponse(status=status, body=content, retry_after=timedelta(seconds=7))

    assert refusal(TOKEN_ENDPOINT, answer, "").retry_after == timedelta(seconds=7)


@pytest.mark.parametrize("status", [400, 402, 403, 429, 500])
@pytest.mark.parametrize("error", ["invalid_grant", "invalid_client", "invalid_request"])
def test_every_message_quotes_the_response_once(status: int, error: str) -> None:
    """A person can then look it up. Braces in it are plain text."""
    trouble = refusal(TOKEN_ENDPOINT, PipedriveResponse(status=status, body=body(error=error)), "HTTP {0} {x}")

    assert trouble.message.count("HTTP {0} {x}") == 1
