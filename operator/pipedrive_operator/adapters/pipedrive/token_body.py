"""Finds the token response in a body, even in a damaged one. Pure; what is found is checked in `token_response`.

The refresh token that was sent may be unusable by now, so whatever can be read of its successor must be kept. An answer
may repeat the request, so a refresh token counts as new only if it is not the one that was sent.
"""

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from pipedrive_operator.core.values.secret_value import SecretValue

Fields = Mapping[str, object]

_AROUND: Final = "".join(map(chr, range(0x21))) + "\x7f\x85\xa0\u200b\u2028\u2029\ufeff"
"""White space, control characters and byte order marks, which belong to no field and are removed around it."""
_REFRESH_TOKEN: Final = re.compile(r'"refresh_token"\s*:\s*("(?:[^"\\]|\\.)+")', re.DOTALL)
"""As JSON writes it. The closing quote is required: a token that is cut off is another token."""
_FORM: Final = re.compile(r"""[^\s<>"'{}]+""")
"""What a form consists of; a page that contains a link does not."""
_JSON_AGAIN: Final = ("{", "[", '"')
"""How a text begins that may be JSON itself, as gateways put one body into another."""
_DECODER: Final = json.JSONDecoder(strict=False)
"""A decoder that accepts line breaks inside of strings."""
_MOST_VALUES: Final = 1000


def stripped(text: str) -> str:
    """Return a text without what may stand around a field."""
    return text.strip(_AROUND)


def has_new_refresh_token(fields: Fields, sent: SecretValue | None) -> bool:
    """Return whether fields hold a refresh token that is not the one that was sent, in plain or encoded for a form."""
    value = fields.get("refresh_token")
    if not isinstance(value, str) or sent is None:
        return bool(value)
    return bool(stripped(value)) and sent.reveal() not in {stripped(value), unquote(stripped(value))}


def find_token_fields(body: bytes, sent: SecretValue | None, *, is_whole: bool = True) -> Fields | None:
    """Return the object that holds the tokens; None if the body holds no JSON object and no refresh token.

    `sent` is the refresh token that the request held. The object may be inside another one or inside a text, may be
    followed by something else, may be in any encoding of Unicode, and may be a form. If no object can be read, because
    it is cut off, nested too deeply or has too many digits, the result holds the refresh token alone. A body that is
    not whole may end anywhere.
    """
    text = body.decode(json.detect_encoding(body), "replace").lstrip("\ufeff \t\r\n")
    objects = list(_objects(_decoded(text)))
    if objects:
        return max(objects, key=lambda each: _rank(each, sent))
    return _refresh_token_alone(text, sent) or _form(text if is_whole else text.rpartition("&")[0])


def _rank(fields: Fields, sent: SecretValue | None) -> tuple[bool, bool]:
    """Return how much of a token response an object holds; of equals, the outermost is taken."""
    return has_new_refresh_token(fields, sent), bool(fields.get("access_token"))


def _decoded(text: str) -> object:
    """Return the JSON value at the start of a text; None if there is none."""
    try:
        value: object = _DECODER.raw_decode(text)[0]
    except (ValueError, RecursionError):
        return None
    return value


def _objects(value: object) -> Iterator[Fields]:
    """Yield the objects in a JSON value, the outermost first, also those that are written as a text."""
    waiting: deque[Any] = deque([value])
    for _ in range(_MOST_VALUES):
        if not waiting:
            return
        value = waiting.popleft()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif isinstance(value, str) and value.lstrip().startswith(_JSON_AGAIN):
            waiting.append(_decoded(value.lstrip()))


def _refresh_token_alone(text: str, sent: SecretValue | None) -> Fields | None:
    """Return the first new refresh token in a damaged body, or else the one that was sent, if the body holds it."""
    written = (_decoded(found.group(1)) for found in _REFRESH_TOKEN.finditer(text))
    tokens: list[Fields] = [{"refresh_token": token} for token in written if isinstance(token, str)]
    return max(tokens, key=lambda each: _rank(each, sent), default=None)


def _form(text: str) -> Fields | None:
    """Return the fields of a form (RFC 6749 appendix B) with both tokens; None for any other text."""
    if not _FORM.fullmatch(stripped(text)):
        return None
    try:
        fields = dict(parse_qsl(stripped(text), max_num_fields=_MOST_VALUES))
    except ValueError:
        return None
    return fields if {"access_token", "refresh_token"} <= fields.keys() else None
