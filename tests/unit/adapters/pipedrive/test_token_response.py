"""A token response is used only if it is complete, and a refresh token that can be read is never lost."""

import json
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.adapters.pipedrive.api_domain import AllowedApiDomains
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.adapters.pipedrive.token_response import is_readable, read_token_response
from pipedrive_operator.core.grant.grant import TokenResponse
from pipedrive_operator.core.values.errors import RefreshUncertain, TokenResponseUnusable
from pipedrive_operator.core.values.secret_value import SecretValue

DOMAINS = AllowedApiDomains(("https://*.pipedrive.com",))
SENT = SecretValue("12:34:sent")
NEW = SecretValue("12:34:abcdef")
COMPLETE: dict[str, Any] = {
    "access_token": "v1u:AQ+/=:BQ==",
    "token_type": "Bearer",
    "refresh_token": "12:34:abcdef",
    "scope": "deals:full,base",
    "expires_in": 3599,
    "api_domain": "https://acme.pipedrive.com",
}
UNREADABLE: list[object] = [None, "", " ", -7.5, True, [], {}, float("nan")]
WRONG: list[object] = [*UNREADABLE, "a\nb", "a\x7fb", "é", "\ud800"]
MALFORMED_TOKENS: list[object] = [-7.5, True, ["x"], {"x": 1}, "a\nb", "a\x7fb", "é", "\ud800"]


def read(fields: object) -> TokenResponse:
    """Read a response with status 200 that holds a JSON value."""
    return read_body(json.dumps(fields).encode())


def read_body(body: bytes, status: int = 200) -> TokenResponse:
    """Read a response to a refresh that sent SENT."""
    return read_token_response(PipedriveResponse(status=status, body=body), SENT, DOMAINS)


def test_a_complete_response_is_read() -> None:
    """It has six fields."""
    assert read(COMPLETE) == TokenResponse(
        access_token=SecretValue("v1u:AQ+/=:BQ=="),
        refresh_token=NEW,
        token_type="Bearer",
        expires_in=timedelta(seconds=3599),
        scope=frozenset({"base", "deals:full"}),
        api_domain="https://acme.pipedrive.com",
    )


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        ("3599", timedelta(seconds=3599)),
        ("3599\n", timedelta(seconds=3599)),
        ("3599.0", timedelta(seconds=3599)),
        (1, timedelta(seconds=1)),
        (3599.0, timedelta(seconds=3599)),
        (10**30, timedelta(days=365)),
        (float("inf"), timedelta(days=365)),
        ("9" * 400, timedelta(days=365)),
    ],
)
def test_a_lifetime_is_a_number_or_digits_and_bounded(expires_in: object, lifetime: timedelta) -> None:
    """The tests of Pipedrive's own client have it as text."""
    assert read(COMPLETE | {"expires_in": expires_in}).expires_in == lifetime


@pytest.mark.parametrize("spelling", ["bearer", "Bearer", "BEARER"])
def test_the_token_type_has_one_spelling(spelling: str) -> None:
    """The Secret does not change with Pipedrive's spelling."""
    assert read(COMPLETE | {"token_type": spelling}).token_type == "Bearer"


@pytest.mark.parametrize(
    "expires_in", [None, "", " ", True, [], {}, "soon", "1e3", "\N{ARABIC-INDIC DIGIT THREE}", "\ud800", float("nan")]
)
def test_a_lifetime_that_cannot_be_read_is_the_documented_hour(expires_in: object) -> None:
    """RFC 6749 section 5.1: it is optional. Without it, every refresh would be followed by another one."""
    assert read(COMPLETE | {"expires_in": expires_in}).expires_in == timedelta(hours=1)


@pytest.mark.parametrize("key", ["token_type", "expires_in", "scope", "api_domain"])
def test_a_response_without_an_optional_field_can_be_used(key: str) -> None:
    """Only the tokens are indispensable."""
    fields = {name: value for name, value in COMPLETE.items() if name != key}

    response = read(fields)

    assert response.access_token == SecretValue("v1u:AQ+/=:BQ==")
    assert response.refresh_token == NEW


@pytest.mark.parametrize("value", UNREADABLE)
def test_an_optional_text_that_cannot_be_read_counts_as_left_out(value: object) -> None:
    """The caller keeps what was there before; Bearer is the only type that Pipedrive issues."""
    response = read(COMPLETE | {"token_type": value, "scope": value, "api_domain": value})

    assert (response.token_type, response.api_domain, response.scope) == ("Bearer", None, None)


@pytest.mark.parametrize("scope", [["deals:full", "base"], "base deals:full", " base,,deals:full,\n"])
def test_a_scope_is_a_text_or_a_list(scope: object) -> None:
    """It is a set, in whatever form it is written."""
    assert read(COMPLETE | {"scope": scope}).scope == frozenset({"base", "deals:full"})


@pytest.mark.parametrize("scope", ["  ", ",", " , ", [], [""], [1], "base\r\nadmin", "é", "a" * 4097, ["a" * 4097]])
def test_a_scope_that_is_blank_or_unreadable_is_unchanged(scope: object) -> None:
    """RFC 6749 section 6: the scope of the grant stays as it was, so that it must not be wiped."""
    assert read(COMPLETE | {"scope": scope}).scope is None


@pytest.mark.parametrize("changes", [{}, {"refresh_token": None}, {"refresh_token": ""}])
def test_a_refresh_token_that_is_left_out_stays_the_same(changes: dict[str, Any]) -> None:
    """RFC 6749 section 6: the server may issue none, and the one that was sent stays in use."""
    fields = {name: value for name, value in COMPLETE.items() if name != "refresh_token"}

    response = read(fields | changes)

    assert response.refresh_token == SENT
    assert response.access_token


def test_a_refresh_token_that_is_left_out_stays_where_another_field_is_wrong() -> None:
    """The refresh was carried out."""
    fields = {name: value for name, value in COMPLETE.items() if name != "refresh_token"}

    with pytest.raises(TokenResponseUnusable, match="expires_in") as caught:
        read(fields | {"expires_in": 0})

    assert caught.value.refresh_token == SENT


@pytest.mark.parametrize("value", MALFORMED_TOKENS)
def test_a_malformed_refresh_token_makes_the_outcome_uncertain(value: object) -> None:
    """It never means a refusal: the one that was sent may be unusable. The message names the field."""
    with pytest.raises(RefreshUncertain, match="refresh_token"):
        read(COMPLETE | {"refresh_token": value})


@pytest.mark.parametrize("value", WRONG)
def test_the_refresh_token_is_kept_where_the_access_token_is_wrong(value: object) -> None:
    """The one that was sent is unusable. The message names the field."""
    with pytest.raises(TokenResponseUnusable, match="access_token") as caught:
        read(COMPLETE | {"access_token": value})

    assert caught.value.refresh_token == NEW


@pytest.mark.parametrize(
    "changes",
    [
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": "0"},
        {"expires_in": "-5"},
        {"token_type": "mac"},
        {"api_domain": "https://evil.example"},
        {"api_domain": "a" * 100_000},
        {"api_domain": "\ud800"},
    ],
)
def test_a_value_that_makes_the_access_token_unusable_is_refused_and_the_refresh_token_is_kept(
    changes: dict[str, Any],
) -> None:
    """It has expired, is of another type, or belongs to another address. The message names the field."""
    with pytest.raises(TokenResponseUnusable, match=next(iter(changes))) as caught:
        read(COMPLETE | changes)

    assert caught.value.refresh_token == NEW


def test_a_response_without_an_access_token_is_refused() -> None:
    """The message names it."""
    fields = {name: value for name, value in COMPLETE.items() if name != "access_token"}

    with pytest.raises(TokenResponseUnusable, match="access_token is missing"):
        read(fields)


@pytest.mark.parametrize("fields", [{}, {"success": True}, {"refresh_token": None}, {"data": None}, {"error": "x"}])
def test_an_object_without_tokens_is_uncertain(fields: object) -> None:
    """Nothing shows that the refresh was carried out, and nothing that it was not."""
    with pytest.raises(RefreshUncertain, match="refresh_token is missing"):
        read(fields)


def test_a_refused_api_domain_is_quoted() -> None:
    """The message says which one came; it becomes part of a status."""
    with pytest.raises(TokenResponseUnusable, match=r'api_domain is "https://evil\.example/ x", which does not match'):
        read(COMPLETE | {"api_domain": "https://evil.example/ x"})


@pytest.mark.parametrize("spelling", ["https://acme.pipedrive.com/", "https://acme.pipedrive.com:443"])
def test_the_api_domain_has_one_spelling(spelling: str) -> None:
    """Paths are appended to it."""
    assert read(COMPLETE | {"api_domain": spelling}).api_domain == "https://acme.pipedrive.com"


def test_a_message_contains_no_token() -> None:
    """This includes a token in the place of the api_domain."""
    with pytest.raises(TokenResponseUnusable) as caught:
        read(COMPLETE | {"api_domain": "https://12:34:abcdef"})

    assert not any(COMPLETE[key] in caught.value.message for key in ("access_token", "refresh_token"))


@pytest.mark.parametrize("status", [200, 201, 202, 203, 299])
def test_every_successful_status_is_read(status: int) -> None:
    """RFC 6749 asks for 200; some servers send 201."""
    assert read_body(json.dumps(COMPLETE).encode(), status).refresh_token == NEW


PLAIN = json.dumps(COMPLETE)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(COMPLETE | {"refresh_token": "12:34:abcdef\n"}).encode(),
        json.dumps(COMPLETE | {"refresh_token": "\ufeff 12:34:abcdef\r\n\x00", "access_token": " v1u:AQ\n"}).encode(),
        PLAIN.replace("12:34:abcdef", "12:34:abcdef\n").encode(),
        json.dumps({"data": COMPLETE}).encode(),
        json.dumps({"success": True, "data": {"token": [COMPLETE]}}).encode(),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-32"),
        (PLAIN[:-1] + ', "company": "Café"}').encode("latin-1"),
        b"\r\n\r\n" + PLAIN.encode() + b"\r\n0\r\n\r\n",
        (PLAIN[:-1] + ', "refresh_token": "12:34:abcdef"}').encode(),
        (PLAIN[:-1] + ', "extra": NaN}').encode(),
    ],
    ids=[
        "line break",
        "byte order mark and NUL in a token",
        "raw line break",
        "data",
        "list",
        "byte order mark",
        "UTF-16",
        "UTF-16 without a mark",
        "UTF-32",
        "Latin-1",
        "chunk ends",
        "duplicate key",
        "NaN",
    ],
)
def test_an_odd_body_is_read_completely(body: bytes) -> None:
    """Everything is there."""
    response = read_body(body)

    assert response.refresh_token == NEW
    assert response.access_token.reveal().startswith("v1u:AQ")


@pytest.mark.parametrize(
    "body",
    [
        PLAIN.encode()[:-1],
        PLAIN.encode()[: PLAIN.index('"scope"')],
        PLAIN.replace("3599", "9" * 5000).encode(),
        PLAIN.replace("3599", "[" * 100_000 + "]" * 100_000).encode(),
        b"<br>Notice: undefined variable" + PLAIN.encode(),
        b")]}'," + PLAIN.encode(),
        b'{"refresh_token": "12:34:\\u0061bcdef", "scope": ',
        json.dumps({"access_token": "a", "data": {"refresh_token": "12:34:abcdef"}}).encode(),
    ],
    ids=["cut", "cut earlier", "endless digits", "deep", "notice", "prefix", "escape", "apart"],
)
def test_a_refresh_token_is_kept_even_if_nothing_else_can_be_read(body: bytes) -> None:
    """The one that was sent is unusable."""
    with pytest.raises(TokenResponseUnusable) as caught:
        read_body(body)

    assert caught.value.refresh_token == NEW


@pytest.mark.parametrize(
    "body",
    [
        PLAIN.encode()[: PLAIN.index("abcdef") + 3],
        b'{"refresh_token": "',
        b'{"refresh_token": "\\u12"',
        b'{"refresh_token": ""',
    ],
)
def test_a_refresh_token_that_is_cut_off_is_none(body: bytes) -> None:
    """Half a token is another token."""
    with pytest.raises(RefreshUncertain):
        read_body(body)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b"9" * 5000])
def test_a_body_that_is_no_object_is_uncertain(body: bytes) -> None:
    """This includes deep nesting and endless numbers."""
    with pytest.raises(RefreshUncertain, match="not a JSON object"):
        read_body(body)


@pytest.mark.parametrize(
    ("status", "body", "readable"),
    [
        (200, PLAIN.encode(), True),
        (200, PLAIN.encode()[:-1], True),
        (200, PLAIN.encode()[:9], False),
        (200, b"", False),
        (400, b'{"error": "invalid_grant"}', True),
        (400, b'{"error": "invalid_grant"', False),
        (500, PLAIN.encode()[:-1], False),
        (500, PLAIN.encode() + b"\r\n0", True),
    ],
)
def test_what_arrived_before_the_connection_broke_counts_if_it_is_definite(
    status: int, body: bytes, *, readable: bool
) -> None:
    """A complete JSON object is definite, and so is a whole refresh token in a successful response."""
    assert is_readable(PipedriveResponse(status=status, body=body)) is readable


def test_a_response_does_not_print_its_body() -> None:
    """It contains tokens."""
    assert "12:34:abcdef" not in repr(PipedriveResponse(status=200, body=PLAIN.encode()))


def test_an_access_token_that_is_too_long_is_refused_and_the_refresh_token_is_kept() -> None:
    """Each credential that names the grant would keep it in memory."""
    with pytest.raises(TokenResponseUnusable, match=r"access_token has more than 16,384 characters") as caught:
        read(COMPLETE | {"access_token": "a" * 16_385})

    assert caught.value.refresh_token == NEW


def test_a_refresh_token_of_any_length_is_kept() -> None:
    """Refusing the token would lose the grant."""
    assert read(COMPLETE | {"refresh_token": "r" * 100_000}).refresh_token == SecretValue("r" * 100_000)
