"""Quotes Pipedrive's errors for people: two known fields, cleaned and shortened, and never a secret."""

import re
from typing import Final
from urllib.parse import quote as percent_encode

from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.core.values.secret_value import HIDDEN, SecretValue

LONGEST: Final = 200
"""In characters."""
_QUOTED_FIELDS: Final = ("error", "message")
_TOKEN_LIKE: Final = re.compile(r"[\w.:~+/=%-]{32,}")
"""No word of an error message is that long. A token that the error repeats in part, or in another encoding, is."""


def quote_error(response: PipedriveResponse, *sent: SecretValue) -> str:
    """Return the status and the error in the response's JSON, without any of the secrets that were sent."""
    fields = response.fields or {}
    texts = [text for key in _QUOTED_FIELDS if isinstance(text := fields.get(key), str) and text]
    if not texts:
        return f"HTTP {response.status}"
    return f"HTTP {response.status}, {_shorten(_TOKEN_LIKE.sub(HIDDEN, _hide(_printable(': '.join(texts)), sent)))}"


def quote_value(value: str, *secrets: SecretValue) -> str:
    """Return a value from outside, such as an address, as one short line and without the secrets."""
    return f'"{_shorten(_hide(_printable(value), secrets))}"'


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _hide(text: str, secrets: tuple[SecretValue, ...]) -> str:
    for secret in filter(None, secrets):
        for spelling in (secret.reveal(), percent_encode(secret.reveal(), safe="")):
            text = text.replace(spelling, HIDDEN)
    return text


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
