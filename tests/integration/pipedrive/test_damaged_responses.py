"""Responses to a refresh that are damaged on the way, as bytes: a refresh token that can be read is never lost."""

import gzip
import json
import tracemalloc
import zlib
from urllib.parse import urlencode

import pytest

from integration.pipedrive.acme import CLIENT, TIMEOUT, adapter, canned, trouble_of
from pipedrive_operator.core.values.errors import (
    ConsentRequired,
    PipedriveUnavailable,
    RefreshUncertain,
    TokenResponseUnusable,
)
from pipedrive_operator.core.values.secret_value import SecretValue

NEW = SecretValue("1:2:new")
BODY = json.dumps(
    {
        "access_token": "a" * 40,
        "refresh_token": NEW.reveal(),
        "token_type": "Bearer",
        "expires_in": 3599,
        "scope": "base",
        "api_domain": "http://127.0.0.1:1",
    }
).encode()


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Write a response."""
    return "\r\n".join((f"HTTP/1.1 {status}", *headers, "", "")).encode() + body


def sized(body: bytes, *headers: str, by: int = 0, status: str = "200 OK") -> bytes:
    """Write a response whose length is wrong by some bytes."""
    return response(body, f"Content-Length: {len(body) + by}", *headers, status=status)


def chunk(body: bytes) -> bytes:
    """Write one chunk."""
    return f"{len(body):x}\r\n".encode() + body + b"\r\n"


FORM = urlencode(json.loads(BODY)).encode()
RAW_DEFLATE = zlib.compressobj(wbits=-zlib.MAX_WBITS)
CHUNKED = "Transfer-Encoding: chunked"
COMPLETE = {
    "status 201": sized(BODY, status="201 Created"),
    "status 302": sized(BODY, status="302 Found"),
    "a Location that cannot be decoded": sized(BODY, "Location: https://xn--a.example/", status="302 Found"),
    "status 401": sized(BODY, status="401 Unauthorized"),
    "status 502": sized(BODY, status="502 Bad Gateway"),
    "status 502, and the length too long by one": sized(BODY, by=1, status="502 Bad Gateway"),
    "raw deflate": sized(RAW_DEFLATE.compress(BODY) + RAW_DEFLATE.flush(), "Content-Encoding: deflate"),
    "a form": sized(FORM, "Content-Type: application/x-www-form-urlencoded"),
    "JSON in JSON": sized(json.dumps({"body": BODY.decode()}).encode()),
    "gzip declared, plain body": sized(BODY, "Content-Encoding: gzip"),
    "deflate declared, plain body": sized(BODY, "Content-Encoding: deflate"),
    "br declared, plain body": sized(BODY, "Content-Encoding: br"),
    "gzip although identity was asked for": sized(gzip.compress(BODY), "Content-Encoding: gzip"),
    "gzip not declared": sized(gzip.compress(BODY)),
    "inside data": sized(json.dumps({"data": json.loads(BODY)}).encode()),
    "without the last chunk": response(chunk(BODY), CHUNKED),
    "two chunks and no last one": response(chunk(BODY[:50]) + chunk(BODY[50:]), CHUNKED),
    "length too long by one": sized(BODY, by=1),
    "no length, then closed": response(BODY),
    "HTTP/1.0": response(BODY).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "large header": sized(BODY, f"Set-Cookie: a={'b' * 60_000}"),
    "text/html": sized(BODY, "Content-Type: text/html; charset=koi8-r"),
    "an informational response first": response(b"", status="103 Early Hints") + sized(BODY),
}


@pytest.mark.parametrize("name", COMPLETE)
async def test_a_complete_object_is_a_token_response(name: str) -> None:
    """The framing and encoding of the response do not matter."""
    async with canned(COMPLETE[name]) as (address, _), adapter(f"http://{address}") as api:
        answer = await api.refresh(CLIENT, SecretValue("1:2:sent"))

    assert answer.refresh_token == NEW
    assert answer.access_token == SecretValue("a" * 40)


@pytest.mark.parametrize("answer", [response(BODY), sized(BODY, by=1), response(chunk(BODY), CHUNKED)])
async def test_a_complete_object_on_a_connection_that_stays_open_is_read_at_the_time_out(answer: bytes) -> None:
    """The client cannot know that the response has ended, but it is complete."""
    async with (
        canned(answer, stays_open=True) as (address, _),
        adapter(f"http://{address}", timeout=TIMEOUT) as api,
    ):
        assert (await api.refresh(CLIENT, SecretValue("1:2:sent"))).refresh_token == NEW


TO_THE_REFRESH_TOKEN = BODY[: BODY.index(b'"token_type"')]


@pytest.mark.parametrize(
    "answer",
    [
        sized(BODY, by=-1),
        response(chunk(TO_THE_REFRESH_TOKEN) + b"not a chunk", CHUNKED),
        sized(TO_THE_REFRESH_TOKEN, by=200),
        sized(gzip.compress(BODY)[:-30], "Content-Encoding: gzip"),
    ],
    ids=["length too short", "broken chunk", "cut", "gzip cut"],
)
async def test_the_refresh_token_of_a_response_that_is_cut_is_kept(answer: bytes) -> None:
    """It is whole; the rest is not."""
    async with canned(answer) as (address, _), adapter(f"http://{address}") as api:
        trouble = await trouble_of(api.refresh(CLIENT, SecretValue("1:2:sent")))

    assert isinstance(trouble, TokenResponseUnusable)
    assert trouble.refresh_token == NEW


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        response(b"", status="200 OK"),
        response(b"", status="204 No Content"),
        response(BODY, "Content-Length: nonsense"),
        response(BODY, "Content-Length: 1", "Content-Length: 2"),
        sized(BODY, f"Set-Cookie: a={'b' * 200_000}"),
        sized(BODY[:60], by=60),
        sized(FORM[: FORM.index(b"new") + 2], by=60),
    ],
)
async def test_an_unreadable_response_leaves_the_outcome_unknown(answer: bytes) -> None:
    """It raises RefreshUncertain and no other error."""
    async with canned(answer) as (address, _), adapter(f"http://{address}") as api:
        trouble = await trouble_of(api.refresh(CLIENT, SecretValue("1:2:sent")))

    assert type(trouble) is RefreshUncertain


async def test_a_response_without_an_end_costs_little_memory() -> None:
    """It is read up to a bound, also after decompression, and the message says so."""
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    bomb = b"".join([*(packer.compress(b"0" * 1_000_000) for _ in range(200)), packer.flush()])

    async with canned(sized(bomb, "Content-Encoding: gzip")) as (address, _), adapter(f"http://{address}") as api:
        tracemalloc.start()
        troubles = [
            await trouble_of(api.identify_api_token(SecretValue("token"))),
            await trouble_of(api.refresh(CLIENT, SecretValue("1:2:sent"))),
        ]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert [type(trouble) for trouble in troubles] == [PipedriveUnavailable, RefreshUncertain]
    assert "a longer body than Pipedrive ever sends" in troubles[0].message
    assert peak < 8_000_000


async def test_a_refusal_with_a_wrong_length_is_a_refusal() -> None:
    """Its JSON is complete."""
    answer = sized(b'{"error": "invalid_grant"}', by=1, status="400 Bad Request")

    async with canned(answer) as (address, _), adapter(f"http://{address}") as api:
        trouble = await trouble_of(api.refresh(CLIENT, SecretValue("1:2:sent")))

    assert type(trouble) is ConsentRequired


async def test_an_error_with_status_200_is_a_refusal_and_quoted() -> None:
    """Some servers send errors so; repeating the refresh for ever would hide the reason."""
    answer = sized(b'{"error": "invalid_grant", "message": "refresh_token is invalid"}')

    async with canned(answer) as (address, _), adapter(f"http://{address}") as api:
        trouble = await trouble_of(api.refresh(CLIENT, SecretValue("1:2:sent")))

    assert type(trouble) is ConsentRequired
    assert "(HTTP 200, invalid_grant: refresh_token is invalid)" in trouble.message


async def test_an_unknown_error_with_status_200_is_quoted() -> None:
    """It proves nothing about the token."""
    answer = sized(b'{"success": false, "message": "maintenance"}')

    async with canned(answer) as (address, _), adapter(f"http://{address}") as api:
        trouble = await trouble_of(api.refresh(CLIENT, SecretValue("1:2:sent")))

    assert type(trouble) is RefreshUncertain
    assert "(HTTP 200, maintenance)" in trouble.message
