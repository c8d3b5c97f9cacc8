"""Whatever a vendor or proxy sends raises nothing but the operator's own errors, and no whole token is lost."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.adapters.http.response import LONGEST_QUOTE, decompress, json_object
from pipedrive_operator.adapters.http.retry_after import LONGEST_PLAUSIBLE_PAUSE, read_retry_after
from pipedrive_operator.adapters.pipedrive.api_domain import AllowedApiDomains
from pipedrive_operator.adapters.pipedrive.quoted_error import quote_error
from pipedrive_operator.adapters.pipedrive.refusals import TOKEN_ENDPOINT, VERIFICATION_ENDPOINT, refusal
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.adapters.pipedrive.token_response import is_readable, is_token_response, read_token_response
from pipedrive_operator.adapters.pipedrive.verification_response import read_account
from pipedrive_operator.core.values.errors import RefreshUncertain, TokenResponseUnusable, Trouble
from pipedrive_operator.core.values.secret_value import SecretValue
from support.properties import reads_anything

DOMAINS = AllowedApiDomains(("https://*.pipedrive.com",))
NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SENT, NEW = SecretValue("12:34:sent"), SecretValue("12:34:abcdef")
TOKENS: dict[str, Any] = {
    "access_token": "v1u:AQ+/=:BQ==",
    "refresh_token": NEW.reveal(),
    "token_type": "Bearer",
    "scope": "deals:full,base",
    "expires_in": 3599,
    "api_domain": "https://acme.pipedrive.com",
}
USER: dict[str, Any] = {"id": 34, "company_id": 12, "company_domain": "acme"}
BODY = json.dumps(TOKENS).encode()

ODD = st.sampled_from([10**400, -1, float("nan"), float("inf"), "9" * 5000, "a\nb", "\ud800", "\u202eabc", "²", True])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=3,
)
STATUSES = st.integers(100, 999)
ERRORS = st.dictionaries(st.sampled_from(["error", "message", "data", "success"]), VALUES)
BYTES = st.binary(max_size=200) | st.sampled_from([b"[" * 100_000, b"9" * 5000, b"\xff\xfe{", b"{}" * 1000, b'{"a":1}'])


@reads_anything
@given(STATUSES, BYTES)
def test_any_bytes_are_uncertain_to_a_refresh(status: int, body: bytes) -> None:
    """None of them is a token response."""
    response = PipedriveResponse(status=status, body=body)

    is_readable(response)
    is_token_response(response, SENT)
    with pytest.raises(RefreshUncertain):
        read_token_response(response, SENT, DOMAINS)


@reads_anything
@given(st.dictionaries(st.sampled_from(sorted(TOKENS)), VALUES))
def test_a_token_response_with_odd_fields_is_complete_or_one_of_our_errors(changes: dict[str, Any]) -> None:
    """Whatever is used is complete."""
    body = json.dumps(TOKENS | changes).encode()

    try:
        response = read_token_response(PipedriveResponse(status=200, body=body), SENT, DOMAINS)
    except (RefreshUncertain, TokenResponseUnusable):
        return

    assert response.access_token
    assert response.refresh_token
    assert response.expires_in > timedelta(0)
    assert response.api_domain is None or DOMAINS.allow(response.api_domain)
    assert response.scope is None or response.scope


@reads_anything
@given(st.integers(0, len(BODY)), st.integers(0, len(BODY)), st.binary(max_size=20))
def test_a_whole_refresh_token_before_the_damage_is_never_lost(start: int, end: int, damage: bytes) -> None:
    """Some bytes of a token response are missing, or others stand in their place."""
    body = BODY[:start] + damage + BODY[max(start, end) :]

    try:
        token = read_token_response(PipedriveResponse(status=200, body=body), SENT, DOMAINS).refresh_token
    except TokenResponseUnusable as unusable:
        token = unusable.refresh_token
    except RefreshUncertain:
        token = None

    if start >= BODY.index(b'"token_type"') and b"refresh_token" not in damage:
        assert token == NEW


@reads_anything
@given(STATUSES, BYTES | ERRORS.map(lambda fields: json.dumps(fields).encode()))
def test_any_refusal_is_one_of_our_errors(status: int, body: bytes) -> None:
    """This holds for both endpoints. What is quoted is one short line."""
    response = PipedriveResponse(status=status, body=body, retry_after=timedelta(seconds=7))
    quoted = quote_error(response, SENT)

    for rules in (TOKEN_ENDPOINT, VERIFICATION_ENDPOINT):
        trouble = refusal(rules, response, quoted)
        assert isinstance(trouble, Trouble)
        assert trouble.message.isprintable()

    assert len(quoted) <= LONGEST_QUOTE + len("HTTP 999, ")
    assert SENT.reveal() not in quoted


@reads_anything
@given(STATUSES, BYTES)
def test_any_bytes_of_users_me_are_one_of_our_errors(status: int, body: bytes) -> None:
    """None of them names an account."""
    with pytest.raises(Trouble):
        read_account(PipedriveResponse(status=status, body=body), "")


@reads_anything
@given(st.dictionaries(st.sampled_from(sorted(USER)), VALUES))
def test_a_user_with_odd_fields_is_an_account_or_one_of_our_errors(changes: dict[str, Any]) -> None:
    """An account is complete, and its domain is a DNS label."""
    body = json.dumps({"data": USER | changes}).encode()

    try:
        account = read_account(PipedriveResponse(status=200, body=body), "")
    except Trouble as trouble:
        assert trouble.message.isprintable()  # noqa: PT017  most of the inputs end here
        return

    assert re.fullmatch(r"[A-Za-z0-9-]{1,63}", account.company_domain)
    assert all(0 < number < 2**63 for number in (account.company_id, account.user_id))


@reads_anything
@given(st.text() | st.from_regex(r"https?://[\w.:@/#?-]{0,30}(\.pipedrive\.com)?[:/0-9]{0,6}", fullmatch=True))
def test_any_address_that_is_allowed_is_a_company_of_pipedrives(address: str) -> None:
    """Nothing else is, in whatever spelling."""
    allowed = DOMAINS.allowed(address)

    assert allowed is None or re.fullmatch(r"https://[a-z0-9-]+\.pipedrive\.com", allowed, re.ASCII | re.IGNORECASE)


@reads_anything
@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ [+-]?\w+"))
def test_any_retry_after_is_none_or_a_bounded_pause(value: str) -> None:
    """No value raises an error."""
    pause = read_retry_after(value, NOW)

    assert pause is None or timedelta(0) <= pause <= LONGEST_PLAUSIBLE_PAUSE


@reads_anything
@given(st.sampled_from([b"", b"\x1f\x8b", b"\x78\x9c"]), BYTES)
def test_any_body_is_uncompressed_and_parsed(start: bytes, body: bytes) -> None:
    """A body that is neither is left unchanged."""
    json_object(decompress(start + body, longest=1000))
