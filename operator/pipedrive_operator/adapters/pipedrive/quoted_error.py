"""Quotes Pipedrive's errors for people: two known fields, cleaned and shortened, and never a secret."""

import re
from typing import Final
from urllib.parse import quote as percent_encode

from pipedrive_operator.adapters.http.response import LONGEST_QUOTE
from pipedrive_operator.adapters.pipedrive.response import PipedriveResponse
from pipedrive_operator.core.values.secret_value import HIDDEN, SecretValue
from pipedrive_operator.core.values.text import shorten, without_control_characters

_QUOTED_FIELDS: Final = ("error", "message")
_TOKEN_LIKE: Final = re.compile(r"[\w.:~+/=%-]{32,}")
"""No word of an error message is that long. A token that the error repeats in part, or in another encoding, is."""


def quote_error(response: PipedriveResponse, *sent: SecretValue) -> str:
    """Return the status and the error in the response's JSON, without any of the secrets that were sent."""
    fields = response.fields or {}
    texts = [text for key in _QUOTED_FIELDS if isinstance(text := fields.get(key), str) and text]
    if response.is_truncated:
        return f"HTTP {response.status} with a longer body than Pipedrive ever sends"
    if not texts:
        return f"HTTP {response.status}{_destination(response)}"
    text = _hide(without_control_characters(": ".join(texts)), sent)
    return f"HTTP {response.status}, {shorten(_TOKEN_LIKE.sub(HIDDEN, text), LONGEST_QUOTE)}"


def _destination(response: PipedriveResponse) -> str:
    return "" if response.redirect is None else f" to {shorten(response.redirect, LONGEST_QUOTE)}"


def quote_value(value: str, *secrets: SecretValue) -> str:
    """Return a value from outside, such as an address, as one short line and without the secrets."""
    return f'"{shorten(_hide(without_control_characters(value), secrets), LONGEST_QUOTE)}"'


def _hide(text: str, secrets: tuple[SecretValue, ...]) -> str:
    for secret in filter(None, secrets):
        for spelling in (secret.reveal(), percent_encode(secret.reveal(), safe="")):
            text = text.replace(spelling, HIDDEN)
    return text
