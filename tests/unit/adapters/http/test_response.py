"""Bodies of responses: compression, and JSON objects in them."""

import gzip
import json
import zlib
from collections.abc import Callable

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.adapters.http.response import (
    Received,
    Response,
    Undecodable,
    decoded_object,
    decompress,
    json_object,
)
from support.properties import reads_anything

BODY = json.dumps({"a": "b" * 5000}).encode()


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, bytes])
def test_a_body_is_uncompressed_by_its_first_bytes(compress: Callable[[bytes], bytes]) -> None:
    """Content-Encoding has no influence; a plain body stays as it is."""
    assert decompress(compress(BODY), longest=10_000) == BODY


def test_a_damaged_body_is_uncompressed_up_to_the_damage() -> None:
    """A refresh token may be in it."""
    noise = json.dumps([str(zlib.crc32(bytes([number % 256, number // 256]))) for number in range(5000)]).encode()
    compressed = gzip.compress(noise)

    whole = decompress(compressed[: len(compressed) // 2], longest=1_000_000)

    assert len(whole) > 1000
    assert noise.startswith(whole)


def test_a_body_that_expands_too_much_is_truncated() -> None:
    """A few kilobytes can hold many megabytes."""
    assert len(decompress(gzip.compress(b"0" * 10_000_000), longest=4096)) == 4096


def test_a_response_counts_once_its_status_has_arrived() -> None:
    """The rest may be missing."""
    received = Received()
    assert received.response(longest_body=99) is None

    received.status = 200
    received.body += b'{"a": 1'

    arrived = received.response(longest_body=99)
    assert arrived is not None
    assert (arrived.status, arrived.body, arrived.json) == (200, b'{"a": 1', None)


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"null", b"\xff", b"[" * 200_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_a_body_that_is_not_a_json_object_is_none(body: bytes) -> None:
    """This includes deep nesting and endless digits."""
    assert json_object(body) is None


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a": ' + b"9" * 5000 + b"}"], ids=["nesting", "digits"])
def test_json_that_python_does_not_decode_can_be_told_from_other_bodies(body: bytes) -> None:
    """The document in it is at fault, and no proxy."""
    with pytest.raises(Undecodable):
        decoded_object(body)
    assert decoded_object(b"<html>") is None


@pytest.mark.parametrize("compress", [gzip.compress, bytes])
def test_a_longer_body_is_marked_as_truncated(compress: Callable[[bytes], bytes]) -> None:
    """The size after decompression counts. A body of exactly the longest size is complete."""
    received = Received(status=200, body=bytearray(compress(b"0" * 5000)))

    whole, cut = received.response(longest_body=5000), received.response(longest_body=4999)

    assert whole is not None
    assert cut is not None
    assert (len(whole.body), whole.is_truncated) == (5000, False)
    assert (len(cut.body), cut.is_truncated) == (4999, True)


@pytest.mark.parametrize(
    ("location", "origin"),
    [
        ("https://login.example/?next=x", "https://login.example"),
        ("http://user:password@10.0.0.1:8080/", "http://10.0.0.1:8080"),
        ("/login", None),
        ("//login.example", None),
        ("https://xn--a.example/", None),
        ("", None),
    ],
)
def test_a_redirect_is_the_origin_that_it_names(location: str, origin: str | None) -> None:
    """A path or a password may be secret."""
    assert Response(status=302, headers=httpx.Headers({"Location": location})).redirect == origin


@reads_anything
@given(
    st.text(st.characters(max_codepoint=255))
    | st.from_regex(r"https?://[^ ]{1,60}")
    | st.from_regex(r"https?://xn--[a-z0-9.-]{0,20}", fullmatch=True)
)
def test_any_location_is_an_origin_or_none(location: str) -> None:
    """Nothing else is raised."""
    headers = httpx.Headers([(b"Location", location.encode("latin-1", "ignore"))])

    origin = Response(status=302, headers=headers).redirect

    assert origin is None or origin.isascii()
