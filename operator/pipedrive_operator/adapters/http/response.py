"""An HTTP response read to its end, as a value. What it means is decided by the adapter of the service."""

import json
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

LONGEST_QUOTE: Final = 200
"""In characters: how much of a response a message quotes."""
_COMPRESSED: Final = (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
"""How gzip (RFC 1952) and zlib (RFC 1950) begin."""
_GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
_RAW: Final = -zlib.MAX_WBITS
"""Deflate (RFC 1951) without a frame, which some servers send as `deflate`."""
_OBJECT: Final = b"{"
_CHUNK: Final = 1024


class Undecodable(Exception):
    """JSON that is nested too deeply for Python, or has a number of more digits than Python reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Status, headers and body. The body may hold tokens and is never printed."""

    status: int
    headers: httpx.Headers = field(default_factory=httpx.Headers, repr=False)
    body: bytes = field(default=b"", repr=False)
    is_truncated: bool = False
    """Whether the body is longer than the caller reads."""

    @property
    def json(self) -> Mapping[str, Any] | None:
        """The JSON object in the body; None if the body is anything else, such as the HTML page of a proxy."""
        return json_object(self.body)

    @property
    def redirect(self) -> str | None:
        """The origin in the Location header; None if there is none, or if its host name cannot be decoded."""
        try:
            url = httpx.URL(self.headers.get("Location", ""))
            return f"{url.scheme}://{url.netloc.decode()}" if url.scheme and url.host else None
        except (httpx.InvalidURL, ValueError):  # `host` decodes internationalized names, which fails with a ValueError
            return None


@dataclass(slots=True)
class Received:
    """What has arrived of a response so far. If the connection then breaks, the part that arrived is not lost."""

    status: int | None = None
    headers: httpx.Headers = field(default_factory=httpx.Headers, repr=False)
    body: bytearray = field(default_factory=bytearray, repr=False)

    def response(self, *, longest_body: int) -> Response | None:
        """Return the response, with at most `longest_body` bytes; None if not even its status arrived."""
        return None if self.status is None else read(self.status, self.headers, self.body, longest_body)


def read(status: int, headers: httpx.Headers, body: bytearray, longest_body: int) -> Response:
    """Return a response with at most `longest_body` bytes of its body, uncompressed."""
    whole = decompress(bytes(body[: longest_body + 1]), longest=longest_body + 1)
    is_truncated = len(body) > longest_body or len(whole) > longest_body
    return Response(status=status, headers=headers, body=whole[:longest_body], is_truncated=is_truncated)


def decompress(body: bytes, *, longest: int) -> bytes:
    """Return a body without gzip, zlib or deflate compression, at most `longest` bytes; an uncompressed one as it is.

    The first bytes decide, not Content-Encoding, which proxies get wrong: neither JSON nor HTML begins with those of
    gzip and zlib. Deflate has none: a body that becomes a JSON object was compressed. Of a body that is compressed and
    damaged, the part before the damage is returned.
    """
    if body.startswith(_COMPRESSED):
        return _inflate(body, _GZIP_OR_ZLIB, longest)
    inflated = b"" if body.startswith(_OBJECT) else _inflate(body, _RAW, longest)
    return inflated if inflated.startswith(_OBJECT) else body


def _inflate(body: bytes, frame: int, longest: int) -> bytes:
    stream = zlib.decompressobj(frame)
    whole = bytearray()
    with suppress(zlib.error):
        for start in range(0, len(body), _CHUNK):
            whole += stream.decompress(body[start : start + _CHUNK], longest - len(whole))
            if len(whole) >= longest:
                break
    return bytes(whole)


def json_object(body: bytes) -> Mapping[str, Any] | None:
    """Return the JSON object in a body; None if there is none. Endless digits and deep nesting raise nothing."""
    try:
        return decoded_object(body)
    except Undecodable:
        return None


def decoded_object(body: bytes) -> Mapping[str, Any] | None:
    """Return the JSON object in a body; None if there is none.

    Raises:
        Undecodable: Python does not decode it.
    """
    try:
        value = json.loads(body)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    except (ValueError, RecursionError) as error:
        raise Undecodable from error
    return value if isinstance(value, dict) else None
