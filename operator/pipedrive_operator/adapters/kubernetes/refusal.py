"""What the API server's refusals mean: the one place where its answers become the operator's errors.

A refusal of a Secret is quoted for people, and never with a value of that Secret.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    NamespaceBeingDeleted,
    OperatorError,
    SecretExists,
    SecretWriteDenied,
)
from pipedrive_operator.core.values.secret_value import HIDDEN

LONGEST_QUOTE: Final = 500
"""In characters: admission webhooks may answer with pages, and a condition's message holds 32 KiB at most."""
_FIELD_VALUE: Final = re.compile(r"""value: ("(?:[^"\\]|\\.)*"|[{\[].*)""", re.DOTALL)
"""What a validation error quotes; for a merge patch that cannot be decoded, it is the whole stored Secret."""
_LONG_QUOTATION: Final = re.compile(r'"(?:[^"\\]|\\.){254,}"')
"""No name is that long."""
SHORTEST_SECRET: Final = 12
"""In characters: no token is shorter, and to hide words such as `base` would make a quotation unreadable."""
_WORD: Final = re.compile(r"[\w.~+/-]+")
"""A part of a value that could be a token."""

Data = Mapping[str, str | None]
"""A Secret's data, or a merge patch of them."""


class Refusal(ApiServerUnavailable):
    """The API server answered with a Status that refuses the request.

    Where the caller has no better meaning for it, the API server gave no usable answer.
    """

    def __init__(self, status: Mapping[str, Any]) -> None:
        """Read a `meta/v1` Status."""
        self.message = without_field_values(str(status.get("message") or "no reason given"))
        super().__init__(f"the API server refuses: {shorten(self.message)}")
        self.code = int(status.get("code") or 0)
        self.reason = str(status.get("reason") or "")
        details = status.get("details") or {}
        self.kind = str(details.get("kind") or "")
        self.causes = frozenset(cause.get("reason") for cause in details.get("causes") or ())

    @property
    def is_gone(self) -> bool:
        """Whether the object, or its namespace, does not exist."""
        return self.code == HTTPStatus.NOT_FOUND

    @property
    def is_conflict(self) -> bool:
        """Whether the object is not in the state that the request was made for."""
        return self.code == HTTPStatus.CONFLICT

    @property
    def namespace_is_leaving(self) -> bool:
        """Whether the namespace is being deleted, or was."""
        return "NamespaceTerminating" in self.causes or (self.is_gone and self.kind == "namespaces")


def creation_error(refusal: Refusal, data: Data) -> OperatorError:
    """Return what a refused creation of a Secret with that data means."""
    if refusal.namespace_is_leaving:
        return NamespaceBeingDeleted(refusal.message)
    if refusal.reason == "AlreadyExists":
        return SecretExists(refusal.message)
    if refusal.is_conflict:  # two creations raced for one ResourceQuota; the next try tells
        return ApiServerUnavailable(refusal.message)
    return denial(refusal, data)


def denial(refusal: Refusal, *known: Data) -> SecretWriteDenied:
    """Quote a refusal without any value of that data: what was written, and what is stored."""
    quoted = shorten(scrub(refusal.message, *known))
    return SecretWriteDenied(f"The API server does not let the Secret be written: {quoted}")


def scrub(message: str, *known: Data) -> str:
    """Hide the values of a Secret's data, encoded or not, whole or in part."""
    texts = {text for data in known for value in data.values() if value for text in _spellings(value)}
    for text in sorted(texts, key=len, reverse=True):
        if len(text) >= SHORTEST_SECRET:
            message = message.replace(text, HIDDEN)
    return message


def without_field_values(message: str) -> str:
    """Hide the values that the API server's own validation quotes; the fields' names stay."""
    return _LONG_QUOTATION.sub(HIDDEN, _FIELD_VALUE.sub(f"value: {HIDDEN}", message))


def shorten(message: str) -> str:
    """Cut a quotation to what a condition can carry."""
    return message if len(message) <= LONGEST_QUOTE else f"{message[: LONGEST_QUOTE - 1]}…"


def _spellings(value: str) -> Iterator[str]:
    """Yield a value as it was sent, as its workload reads it, and the words of that."""
    yield value
    try:
        decoded = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        decoded = value
    yield decoded
    yield decoded.strip()
    yield from _WORD.findall(decoded)
