"""Which error each refusal of the token endpoint becomes, and how pages of proxies are distinguished."""

import json
from datetime import timedelta

import pytest

from pipedrive_operator.adapters.pipedrive.refusals import (
    CODE_EXCHANGE,
    TOKEN_ENDPOINT,
    VERIFICATION_ENDPOINT,
    RefusalRule,
    refusal,
)
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
        (403, PAGE, RefreshUncertain),
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


AFTER_A_PAGE: tuple[tuple[tuple[RefusalRule, ...], type[Trouble], str], ...] = (
    (TOKEN_ENDPOINT, RefreshUncertain, "tries again after a pause"),
    (CODE_EXCHANGE, RefreshUncertain, "is not sent again"),
    (VERIFICATION_ENDPOINT, PipedriveUnavailable, "asks again after a pause"),
)


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [
        (302, PAGE, "redirects the request (quoted), as proxies do that ask for a login"),
        (307, b"{}", "redirects the request (quoted), as proxies do that ask for a login"),
        (401, PAGE, "refused the request with a page (quoted)"),
        (403, PAGE, "A proxy or firewall between the operator and Pipedrive denied the request with a page (quoted)"),
        (502, PAGE, "responded with a page (quoted), as proxies do when they cannot reach a server"),
        (504, b"", "responded with a page (quoted), as proxies do when they cannot reach a server"),
    ],
)
def test_the_page_of_a_proxy_is_not_blamed_on_pipedrive(status: int, content: bytes, words: str) -> None:
    """Each endpoint says the same, and what happens next. Whether a refresh reached Pipedrive is unknown."""
    for rules, trouble, then in AFTER_A_PAGE:
        found = refusal(rules, PipedriveResponse(status=status, body=content), "quoted")

        assert type(found) is trouble
        assert words in found.message
        assert then in found.message
        assert "Pipedrive's response" not in found.message


@pytest.mark.parametrize("rules", [TOKEN_ENDPOINT, CODE_EXCHANGE, VERIFICATION_ENDPOINT])
def test_a_proxy_that_wants_credentials_is_named(rules: tuple[RefusalRule, ...]) -> None:
    """It has not forwarded the request (RFC 9110 section 15.5.8)."""
    found = refusal(rules, PipedriveResponse(status=407, body=PAGE), "quoted")

    assert type(found) is PipedriveUnavailable
    assert "A proxy between the operator and Pipedrive requires credentials (quoted)" in found.message


@pytest.mark.parametrize("rules", [TOKEN_ENDPOINT, CODE_EXCHANGE, VERIFICATION_ENDPOINT])
def test_a_page_of_pipedrives_edge_is_not_blamed_on_a_proxy(rules: tuple[RefusalRule, ...]) -> None:
    """It blocks who ignores limits, and it answers where Pipedrive itself does not."""
    blocked = refusal(rules, PipedriveResponse(status=403, body=PAGE, is_from_edge=True), "quoted")
    down = refusal(rules, PipedriveResponse(status=502, body=PAGE, is_from_edge=True), "quoted")

    assert type(blocked) is RateLimited
    assert "Pipedrive's edge blocks the operator" in blocked.message
    assert "Pipedrive's response (quoted) does not show" in down.message


@pytest.mark.parametrize("rules", [TOKEN_ENDPOINT, CODE_EXCHANGE, VERIFICATION_ENDPOINT])
def test_an_error_in_json_is_pipedrives_own(rules: tuple[RefusalRule, ...]) -> None:
    """A proxy that cannot reach it sends a page."""
    found = refusal(rules, PipedriveResponse(status=503, body=body(message="maintenance")), "quoted")

    assert "Pipedrive's response (quoted) does not show" in found.message


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
