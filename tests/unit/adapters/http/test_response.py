"""Bodies of responses: compression, and JSON objects in them."""

import gzip
import json
import zlib
from collections.abc import Callable

import pytest

from pipedrive_operator.adapters.http.response import Received, decompress, json_object

BODY = json.dumps({"a": "b" * 5000}).encode()


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress, bytes])
def test_a_body_is_uncompressed_by_its_first_bytes(compress: Callable[[bytes], bytes]) -> None:
    """Content-Encoding has no influence; a plain body stays as it is."""
    assert decompress(compress(BODY)) == BODY


def test_a_damaged_body_is_uncompressed_up_to_the_damage() -> None:
    """A refresh token may be in it."""
    noise = json.dumps([str(zlib.crc32(bytes([number % 256, number // 256]))) for number in range(5000)]).encode()
    compressed = gzip.compress(noise)

    whole = decompress(compressed[: len(compressed) // 2])

    assert len(whole) > 1000
    assert noise.startswith(whole)


def test_a_body_that_expands_too_much_is_truncated() -> None:
    """A few kilobytes can hold many megabytes."""
    assert len(decompress(gzip.compress(b"0" * 10_000_000), longest=4096)) == 4096


def test_a_response_counts_once_its_status_has_arrived() -> None:
    """Even if the rest is missing."""
    received = Received()
    assert received.response() is None

    received.status = 200
    received.body += b'{"a": 1'

    arrived = received.response()
    assert arrived is not None
    assert (arrived.status, arrived.body, arrived.json) == (200, b'{"a": 1', None)


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"null", b"\xff", b"[" * 200_000, b'{"a": ' + b"9" * 5000 + b"}"])
def test_a_body_that_is_not_a_json_object_is_none(body: bytes) -> None:
    """Deep nesting and endless digits included."""
    assert json_object(body) is None
