"""Quotes the API server's error messages for people: on one line, short, and without any value of a Secret."""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Final

from pipedrive_operator.core.values.secret_value import HIDDEN
from pipedrive_operator.core.values.text import shorten, without_control_characters

LONGEST_QUOTATION: Final = 500
"""In characters. An admission webhook may return pages, and a condition's message is limited to 32 KiB."""
_FIELD_VALUE: Final = re.compile(r"""value: ("(?:[^"\\]|\\.)*"|[{\[].*)""", re.DOTALL)
"""The value that a validation error quotes. If a merge patch cannot be decoded, this is the whole stored Secret."""
_LONG_STRING: Final = re.compile(r'"(?:[^"\\]|\\.){254,}"')
"""A quoted string that is longer than any name in Kubernetes."""
SHORTEST_SECRET: Final = 12
"""In characters. No token is shorter, and hiding words such as `base` would make a message unreadable."""
_WORD: Final = re.compile(r"[\w.~+/-]+")
"""A part of a value that may be a token."""

LARGEST_COMPARED: Final = 65536
"""In characters, encoded. What the operator publishes has about 3,000."""
NOT_QUOTED: Final = "its explanation is left out, because the Secret is too large to remove its values from it"

Data = Mapping[str, str | None]
"""The data of a Secret, or of a merge patch for one."""


def quote(message: str) -> str:
    """Bring a message to one line of at most `LONGEST_QUOTATION` characters."""
    return shorten(without_control_characters(message), LONGEST_QUOTATION)


def hide_secret_values(message: str, *known: Data) -> str:
    """Hide the values of these data, encoded or decoded, whole or in part.

    With larger data nothing is quoted: anyone can have a megabyte of their own compared, as often as they like.
    """
    if sum(len(value) for data in known for value in data.values() if value) > LARGEST_COMPARED:
        return NOT_QUOTED
    texts = {text for data in known for value in data.values() if value for text in _spellings(value)}
    for text in sorted(texts, key=len, reverse=True):
        if len(text) >= SHORTEST_SECRET:
            message = message.replace(text, HIDDEN)
    return message


def hide_field_values(message: str) -> str:
    """Hide the values that the API server's validation quotes, and keep the names of the fields."""
    return _LONG_STRING.sub(HIDDEN, _FIELD_VALUE.sub(f"value: {HIDDEN}", message))


def _spellings(value: str) -> Iterator[str]:
    """Yield a value as it was sent, as a workload reads it, and each word of the latter."""
    yield value
    try:
        decoded = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        decoded = value
    yield decoded
    yield decoded.strip()
    yield from _WORD.findall(decoded)
