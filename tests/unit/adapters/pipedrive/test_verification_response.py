"""Which account or error each response to users/me becomes."""

import json
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.adapters.pipedrive.verification_response import read_account
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    PipedriveUnavailable,
    RateLimited,
    TokenRejected,
    Trouble,
)

USER: dict[str, Any] = {"id": 34, "company_id": 12, "company_domain": "acme", "name": "Ann"}
ERROR = b'{"success": false, "error": "unauthorized access"}'
PAGE = b"<!doctype html>"


def answer(data: object) -> PipedriveResponse:
    """Build a 200 for a user."""
    return PipedriveResponse(status=200, body=json.dumps({"success": True, "data": data}).encode())


def test_an_account_is_read() -> None:
    """It consists of two ids and a domain."""
    account = read_account(answer(USER), "")

    assert account == Account(company_id=12, company_domain="acme", user_id=34)


@pytest.mark.parametrize(
    ("status", "content", "trouble"),
    [
        (401, ERROR, TokenRejected),
        (401, PAGE, PipedriveUnavailable),
        (401, b"", PipedriveUnavailable),
        (403, ERROR, TokenRejected),
        (403, PAGE, PipedriveUnavailable),
        (402, ERROR, AccountNotOpen),
        (402, PAGE, AccountNotOpen),
        (429, ERROR, RateLimited),
        (429, PAGE, RateLimited),
        (200, PAGE, PipedriveUnavailable),
        (200, b"[]", PipedriveUnavailable),
        (200, b'{"success": true}', PipedriveUnavailable),
        (302, b"", PipedriveUnavailable),
        (400, ERROR, PipedriveUnavailable),
        (404, ERROR, PipedriveUnavailable),
        (500, ERROR, PipedriveUnavailable),
        (503, PAGE, PipedriveUnavailable),
        (407, PAGE, PipedriveUnavailable),
    ],
)
def test_a_response_without_an_account_is_an_error(status: int, content: bytes, trouble: type[Trouble]) -> None:
    """Only a 401 or 403 in JSON rejects the token."""
    with pytest.raises(Trouble) as caught:
        read_account(PipedriveResponse(status=status, body=content), "HTTP 999")

    assert type(caught.value) is trouble
    assert "HTTP 999" in caught.value.message


@pytest.mark.parametrize(("status", "content"), [(429, ERROR), (403, PAGE), (503, PAGE)])
def test_the_pause_that_is_asked_for_is_passed_on(status: int, content: bytes) -> None:
    """The caller decides how to use it."""
    limited = PipedriveResponse(status=status, body=content, retry_after=timedelta(seconds=7))

    with pytest.raises(Trouble) as caught:
        read_account(limited, "")

    assert caught.value.retry_after == timedelta(seconds=7)


@pytest.mark.parametrize(
    "domain", ["evil.example/#", "a.b", "-a", "a-", "a_b", "a b", "x" * 64, "é", "a@b", "a:1", "a\n", "\N{KELVIN SIGN}"]
)
def test_a_company_domain_that_is_no_dns_label_is_refused(domain: str) -> None:
    """An address is built from it, and published."""
    with pytest.raises(PipedriveUnavailable, match="company domain that is not a DNS label"):
        read_account(answer(USER | {"company_domain": domain}), "")


@pytest.mark.parametrize("domain", ["a", "acme", "Acme-2", "x" * 63])
def test_a_company_domain_is_a_dns_label(domain: str) -> None:
    """These are domains as Pipedrive creates them."""
    assert read_account(answer(USER | {"company_domain": domain}), "").company_domain == domain


@pytest.mark.parametrize("key", ["id", "company_id"])
@pytest.mark.parametrize("value", [0, -5, 10**18, 10**30])
def test_an_id_that_the_status_cannot_hold_is_no_account(key: str, value: int) -> None:
    """The API server would refuse each status with it."""
    with pytest.raises(PipedriveUnavailable, match="does not show whose token it is"):
        read_account(answer(USER | {key: value}), "")


@pytest.mark.parametrize("key", ["id", "company_id", "company_domain"])
@pytest.mark.parametrize("value", [None, True, 1.5, "", "a\nb", [], "x" * 254])
def test_a_user_with_malformed_ids_or_domain_is_no_account(key: str, value: object) -> None:
    """An incomplete account must not be compared with spec.account."""
    with pytest.raises(PipedriveUnavailable):
        read_account(answer(USER | {key: value}), "")
