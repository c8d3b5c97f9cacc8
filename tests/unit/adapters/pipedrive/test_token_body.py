"""A token response is found in whatever a gateway or proxy makes of it, and an echo of the request is none."""

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.adapters.http.response import Received, decompress
from pipedrive_operator.adapters.pipedrive.api_domain import AllowedApiDomains
from pipedrive_operator.adapters.pipedrive.refusals import TOKEN_ENDPOINT, refusal
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.adapters.pipedrive.token_body import find_token_fields
from pipedrive_operator.adapters.pipedrive.token_response import (
    is_readable,
    is_token_response,
    read_first_token_response,
    read_token_response,
)
from pipedrive_operator.core.grant.grant import TokenResponse
from pipedrive_operator.core.values.errors import ConsentRequired, RefreshUncertain
from pipedrive_operator.core.values.secret_value import SecretValue
from support.properties import reads_anything

DOMAINS = AllowedApiDomains(("https://*.pipedrive.com",))
SENT, NEW = SecretValue("12:34:sent"), SecretValue("12:34:abcdef")
ACCESS = "v1u:AQ+/=:BQ=="
COMPLETE: dict[str, Any] = {
    "access_token": ACCESS,
    "token_type": "Bearer",
    "refresh_token": NEW.reveal(),
    "scope": "deals:full,base",
    "expires_in": 3599,
    "api_domain": "https://acme.pipedrive.com",
}
UNCHANGED = COMPLETE | {"refresh_token": SENT.reveal()}
BODY = json.dumps(COMPLETE).encode()
FORM = urlencode(COMPLETE).encode()
ECHOES = [SENT.reveal(), f" {SENT.reveal()}\n", quote(SENT.reveal(), safe=""), "", None]
UNUSUAL = [300, 302, 304, 400, 401, 402, 403, 407, 429, 500, 502, 503]

PIECES = (
    st.none() | st.integers() | st.text() | st.sampled_from(["{", '["', '"{\\"a', "[" * 5000, "9" * 5000, "\ud800"])
)


def response(body: bytes, status: int = 200) -> PipedriveResponse:
    """Build a response, as it is after decompression."""
    return PipedriveResponse(status=status, body=decompress(body, longest=100_000))


def read(body: bytes, status: int = 200) -> TokenResponse:
    """Read a response to a refresh that sent SENT."""
    answer = response(body, status)
    assert is_token_response(answer, SENT)
    return read_token_response(answer, SENT, DOMAINS)


def raw_deflate(body: bytes) -> bytes:
    """Compress without a frame, as some servers do under the name of deflate."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


def as_text(value: object) -> str:
    """Write a value as JSON, to be put into a text."""
    return json.dumps(value)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(as_text(COMPLETE)).encode(),
        json.dumps(as_text(as_text(COMPLETE))).encode(),
        json.dumps({"data": as_text(COMPLETE)}).encode(),
        json.dumps({"statusCode": 200, "body": f"\n{as_text({'data': COMPLETE})}"}).encode(),
        json.dumps([COMPLETE]).encode(),
        raw_deflate(BODY),
        raw_deflate(BODY * 50),
        gzip.compress(BODY),
        FORM,
        FORM + b"\r\n",
    ],
    ids=["twice", "thrice", "data", "body", "list", "deflate", "deflate, long", "gzip", "form", "form with line break"],
)
def test_a_token_response_is_read_in_every_wrapping(body: bytes) -> None:
    """API gateways and proxies rewrite bodies."""
    answer = read(body)

    assert (answer.refresh_token, answer.access_token) == (NEW, SecretValue(ACCESS))
    assert answer.api_domain == COMPLETE["api_domain"]


@pytest.mark.parametrize("status", UNUSUAL)
@pytest.mark.parametrize("body", [BODY, FORM, json.dumps({"error": "x", "data": COMPLETE}).encode()])
def test_new_tokens_are_kept_whatever_the_status_is(status: int, body: bytes) -> None:
    """The old refresh token may be spent."""
    assert read(body, status).refresh_token == NEW


@pytest.mark.parametrize("status", UNUSUAL)
def test_the_first_tokens_are_kept_whatever_the_status_is(status: int) -> None:
    """An authorization code works once."""
    answer = response(BODY, status)

    assert is_token_response(answer, None)
    assert read_first_token_response(answer, DOMAINS).refresh_token == NEW


@pytest.mark.parametrize(
    ("status", "fields", "expected"),
    [
        (200, COMPLETE, True),
        (200, {"error": "invalid_grant"}, False),
        (200, {"success": False, "message": "no"}, False),
        (200, {"success": True}, True),
        (201, COMPLETE | {"error": "none"}, True),
        (201, {"access_token": ACCESS}, True),
        (299, {"success": True}, True),
        (300, {"access_token": ACCESS}, False),
        (400, {"error": "invalid_grant"}, False),
        (400, {"error": "invalid_grant", "refresh_token": SENT.reveal()}, False),
        (400, {"error": "invalid_grant", "refresh_token": "(hidden)"}, False),
        (500, UNCHANGED, False),
        (500, {"access_token": ACCESS}, False),
    ],
)
def test_an_error_is_no_token_response(status: int, fields: dict[str, Any], *, expected: bool) -> None:
    """Both tokens count, whatever else is there; with another status, a new refresh token alone does not."""
    assert is_token_response(response(json.dumps(fields).encode(), status), SENT) is expected


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("place", ["request", "zz"])
def test_an_echo_of_the_request_is_not_the_new_token(echo: object, place: str) -> None:
    """It may come before or after the tokens."""
    body = json.dumps(dict(sorted({place: {"refresh_token": echo}, "result": COMPLETE}.items()))).encode()

    assert read(body).refresh_token == NEW


@pytest.mark.parametrize("echo", ECHOES)
def test_an_echo_does_not_hide_the_access_token(echo: object) -> None:
    """Pipedrive documents that the refresh token stays the same."""
    answer = read(json.dumps({"request": {"refresh_token": echo}, "data": UNCHANGED}).encode())

    assert (answer.refresh_token, answer.access_token) == (SENT, SecretValue(ACCESS))


def test_an_echo_that_hides_the_token_is_not_the_new_token() -> None:
    """The object with both tokens counts."""
    body = json.dumps({"request": {"refresh_token": "12:34:***"}, "data": COMPLETE}).encode()

    assert read(body).refresh_token == NEW


def test_an_echo_in_a_damaged_body_is_not_the_new_token() -> None:
    """Whatever can be read of the new one is kept."""
    body = json.dumps({"request": {"refresh_token": SENT.reveal()}, "data": COMPLETE}).encode()[:-2]

    assert find_token_fields(body, SENT) == {"refresh_token": NEW.reveal()}


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    "fields",
    [
        {"error": "invalid_grant", "request": {"refresh_token": SENT.reveal()}},
        {"error": "invalid_grant", "refresh_token": SENT.reveal()},
    ],
)
def test_a_refusal_that_repeats_the_request_is_a_refusal(status: int, fields: dict[str, Any]) -> None:
    """It asks for a new consent."""
    answer = response(json.dumps(fields).encode(), status)

    assert not is_token_response(answer, SENT)
    assert type(refusal(TOKEN_ENDPOINT, answer, "")) is ConsentRequired


@pytest.mark.parametrize(
    "body",
    [
        b'<a href="/login?access_token=x&refresh_token=12:34:sent">',
        b"access_token=a b&refresh_token=x",
        b"refresh_token=12:34:abcdef",
        b"access_token=&refresh_token=12:34:abcdef",
        b"a=b&" * 2000 + FORM,
    ],
    ids=["link", "text", "no access token", "empty access token", "too many fields"],
)
def test_a_text_that_resembles_a_form_is_uncertain(body: bytes) -> None:
    """Taking a piece of a page for a refresh token would lose the one that works."""
    with pytest.raises(RefreshUncertain):
        read_token_response(response(body), SENT, DOMAINS)


@pytest.mark.parametrize(("cut", "token"), [(FORM.index(b"%3Aabcdef") + 5, None), (FORM.index(b"&scope") + 1, NEW)])
def test_a_token_at_the_end_of_a_form_that_broke_off_is_none(cut: int, token: SecretValue | None) -> None:
    """Half a token is another token."""
    arrived = PipedriveResponse(status=200, body=FORM[:cut], is_cut_off=True)

    assert is_readable(arrived) is (token is not None)
    if token is not None:
        assert read_token_response(arrived, SENT, DOMAINS).refresh_token == token


@reads_anything
@given(
    st.sampled_from([json.dumps, lambda text: f'{{"a": {json.dumps(text)}}}', lambda text: f"[{text}]"]),
    st.dictionaries(st.sampled_from([*COMPLETE, "error", "data"]), PIECES),
    st.integers(0, 10_000),
)
def test_any_wrapping_of_any_fields_is_read_or_is_none(
    wrap: Callable[[str], str], fields: dict[str, object], end: int
) -> None:
    """Nothing raises an error; a new refresh token is text."""
    body = wrap(json.dumps({"data": fields})).encode()

    for each in (body, body[:end], urlencode(fields, errors="replace").encode()):
        found = find_token_fields(each, SENT)
        assert found is None or hasattr(found, "get")
        is_token_response(PipedriveResponse(status=500, body=each), SENT)


@reads_anything
@given(st.binary(max_size=300), st.sampled_from([bytes, raw_deflate]))
def test_any_bytes_are_uncompressed(body: bytes, compress: Callable[[bytes], bytes]) -> None:
    """What does not become a JSON object stays as it is."""
    assert len(decompress(compress(body), longest=100)) <= max(100, len(compress(body)))


def test_a_deflated_body_that_broke_off_is_uncompressed_up_to_there() -> None:
    """A refresh token may be in it."""
    received = Received(status=200, body=bytearray(raw_deflate(BODY)[:-20]))

    arrived = received.response(longest_body=10_000)

    assert arrived is not None
    assert arrived.body.startswith(b'{"access_token"')
