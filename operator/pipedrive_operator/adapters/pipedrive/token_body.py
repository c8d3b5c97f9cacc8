"""Finds the token response in a body, even in a damaged one. Pure; what is found is checked in `token_response`.

The refresh token that was sent may be unusable by now, so whatever can be read of its successor must be kept.
"""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final

Fields = Mapping[str, object]

_REFRESH_TOKEN: Final = re.compile(r'"refresh_token"\s*:\s*("(?:[^"\\]|\\.)+")', re.DOTALL)
"""As JSON writes it. The closing quote is required: a token that is cut off is another token."""
_DECODER: Final = json.JSONDecoder(strict=False)
"""A decoder that accepts line breaks inside of strings."""
_MOST_VALUES: Final = 1000


def find_token_fields(body: bytes) -> Fields | None:
    """Return the JSON object that holds the tokens; None if the body is not a JSON object and holds no refresh token.

    The object may be inside another one, may be followed by something else, and may be in any encoding of Unicode.
    If no object can be read, because it is cut off, nested too deeply or has too many digits, the result holds the
    refresh token alone.
    """
    text = body.decode(json.detect_encoding(body), "replace").lstrip("\ufeff \t\r\n")
    document = _first_object(text)
    objects = list(_objects(document))
    with_tokens = (each for key in ("refresh_token", "access_token") for each in objects if each.get(key))
    return next(with_tokens, document) if document is not None else _refresh_token_alone(text)


def _first_object(text: str) -> Fields | None:
    try:
        value, _ = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _objects(document: Fields | None) -> Iterator[Fields]:
    """Yield an object and those inside of it, the outermost first."""
    waiting: deque[Any] = deque([document])
    for _ in range(_MOST_VALUES):
        if not waiting:
            return
        value = waiting.popleft()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _refresh_token_alone(text: str) -> Fields | None:
    written = _REFRESH_TOKEN.search(text)
    if written is None:
        return None
    try:
        return {"refresh_token": _DECODER.decode(written.group(1))}
    except ValueError:
        return None
