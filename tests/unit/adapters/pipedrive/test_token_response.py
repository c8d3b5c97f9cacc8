"""A token answer is believed only when it is complete."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.adapters.pipedrive.api_domain import AllowedApiDomains
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.adapters.pipedrive.token_response import read_token_response
from pipedrive_operator.core.grant.grant import TokenResponse
from pipedrive_operator.core.values.errors import RefreshUncertain, TokenResponseUnusable
from pipedrive_operator.core.values.secret_value import SecretValue

DOMAINS = AllowedApiDomains(("https://*.pipedrive.com",))
COMPLETE: dict[str, Any] = {
    "access_token": "v1u:AQ+/=:BQ==",
    "token_type": "Bearer",
    "refresh_token": "12:34:abcdef",
    "scope": "deals:full,base",
    "expires_in": 3599,
    "api_domain": "https://acme.pipedrive.com",
}
OTHERS = [key for key in COMPLETE if key not in {"refresh_token", "scope"}]
WRONG: list[object] = [None, "", " ", -7.5, True, [], {}, "a\nb", "a\x7fb", "é", "\ud800", float("nan")]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def test_a_complete_answer_is_read() -> None:
    """All six fields."""
    answer = read_token_response(COMPLETE, DOMAINS)

    assert answer == TokenResponse(
        access_token=SecretValue("v1u:AQ+/=:BQ=="),
        refresh_token=SecretValue("12:34:abcdef"),
        token_type="Bearer",
        expires_in=timedelta(seconds=3599),
        scope=frozenset({"base", "deals:full"}),
        api_domain="https://acme.pipedrive.com",
    )


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        ("3599", timedelta(seconds=3599)),
        (1, timedelta(seconds=1)),
        (3599.0, timedelta(seconds=3599)),
        (10**30, timedelta(days=365)),
        ("9" * 400, timedelta(days=365)),
    ],
)
def test_a_lifetime_is_a_number_or_digits_and_bounded(expires_in: object, lifetime: timedelta) -> None:
    """Pipedrive's own client tests have it as text."""
    assert read_token_response(COMPLETE | {"expires_in": expires_in}, DOMAINS).expires_in == lifetime


@pytest.mark.parametrize("spelling", ["bearer", "Bearer", "BEARER"])
def test_the_token_type_has_one_spelling(spelling: str) -> None:
    """Whatever Pipedrive writes today, the Secret does not change for it."""
    assert read_token_response(COMPLETE | {"token_type": spelling}, DOMAINS).token_type == "Bearer"


@pytest.mark.parametrize("changes", [{}, {"scope": None}, {"scope": ""}])
def test_a_scope_that_is_left_out_is_unchanged(changes: dict[str, Any]) -> None:
    """RFC 6749 section 6: the scope of the grant stays as it was, so that it must not be wiped."""
    fields = {name: value for name, value in COMPLETE.items() if name != "scope"}

    assert read_token_response(fields | changes, DOMAINS).scope is None


@pytest.mark.parametrize("value", WRONG)
def test_a_refresh_token_that_is_wrong_makes_the_outcome_uncertain(value: object) -> None:
    """Never a refusal: the old one may be spent. The complaint names the field."""
    with pytest.raises(RefreshUncertain, match="refresh_token"):
        read_token_response(COMPLETE | {"refresh_token": value}, DOMAINS)


@pytest.mark.parametrize("key", OTHERS)
@pytest.mark.parametrize("value", WRONG)
def test_where_another_field_is_wrong_the_refresh_token_is_not_lost(key: str, value: object) -> None:
    """The old one is spent. The complaint names the field."""
    with pytest.raises(TokenResponseUnusable, match=key) as caught:
        read_token_response(COMPLETE | {key: value}, DOMAINS)

    assert SecretValue("12:34:abcdef") == caught.value.refresh_token


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": "0"},
        {"expires_in": "-5"},
        {"expires_in": "\N{ARABIC-INDIC DIGIT THREE}"},
        {"token_type": "mac"},
        {"scope": ["base"]},
        {"scope": "base\r\nadmin"},
        {"api_domain": "https://evil.example"},
    ],
)
def test_a_value_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    """Each for its own reason."""
    with pytest.raises(TokenResponseUnusable):
        read_token_response(COMPLETE | changes, DOMAINS)


@pytest.mark.parametrize("key", ["refresh_token", *OTHERS])
def test_a_missing_field_is_refused(key: str) -> None:
    """Also a refresh token: an answer without one is not what Pipedrive documents."""
    fields = {name: value for name, value in COMPLETE.items() if name != key}

    with pytest.raises(RefreshUncertain if key == "refresh_token" else TokenResponseUnusable, match=key):
        read_token_response(fields, DOMAINS)


def test_a_complaint_holds_nothing_that_was_received() -> None:
    """It goes into a status."""
    with pytest.raises(TokenResponseUnusable) as caught:
        read_token_response(COMPLETE | {"api_domain": "https://12:34:abcdef"}, DOMAINS)

    assert not any(COMPLETE[key] in caught.value.message for key in ("access_token", "refresh_token"))


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b"9" * 5000])
def test_a_body_that_is_no_object_is_uncertain(body: bytes) -> None:
    """Deep nesting and endless numbers included."""
    with pytest.raises(RefreshUncertain, match="not a JSON object"):
        read_token_response(PipedriveResponse(status=200, body=body).fields, DOMAINS)


@given(st.binary())
def test_garbage_raises_nothing_else(body: bytes) -> None:
    """Not even an encoding error."""
    fields = PipedriveResponse(status=200, body=body).fields

    with pytest.raises(RefreshUncertain):
        read_token_response(fields, DOMAINS)


@given(st.dictionaries(st.sampled_from(sorted(COMPLETE)), VALUES))
def test_odd_fields_are_read_or_uncertain(changes: dict[str, Any]) -> None:
    """Whatever is believed is complete."""
    fields = PipedriveResponse(status=200, body=json.dumps(COMPLETE | changes).encode()).fields

    try:
        answer = read_token_response(fields, DOMAINS)
    except (RefreshUncertain, TokenResponseUnusable):
        return

    assert answer.access_token
    assert answer.refresh_token
    assert answer.expires_in > timedelta(0)
    assert DOMAINS.allow(answer.api_domain)


def test_an_answer_does_not_print_its_body() -> None:
    """There are tokens in it."""
    assert "12:34:abcdef" not in repr(PipedriveResponse(status=200, body=json.dumps(COMPLETE).encode()))
