"""Quoting Pipedrive's errors for people: two known fields, cleaned and cut, and never with a secret in them."""

import re
from typing import Final
from urllib.parse import quote as percent_encode

from pipedrive_operator.adapters.pipedrive.answer import HttpAnswer
from pipedrive_operator.core.values.secret_value import HIDDEN, SecretValue

LONGEST: Final = 200
"""In characters."""
_QUOTED_FIELDS: Final = ("error", "message")
_TOKEN_LIKE: Final = re.compile(r"[\w.:~+/=%-]{32,}")
"""No word of an error is that long; a token that the error echoes in part, or encodes, is."""


def quote(answer: HttpAnswer, *sent: SecretValue) -> str:
    """Return the status, and what the answer's JSON says of the error without any of the secrets sent."""
    fields = answer.fields or {}
    texts = [text for key in _QUOTED_FIELDS if isinstance(text := fields.get(key), str) and text]
    if not texts:
        return f"HTTP {answer.status}"
    return f"HTTP {answer.status}, {_cut(_hide(_clean(': '.join(texts)), sent))}"


def _clean(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _hide(text: str, secrets: tuple[SecretValue, ...]) -> str:
    for secret in filter(None, secrets):
        for spelling in (secret.reveal(), percent_encode(secret.reveal(), safe="")):
            text = text.replace(spelling, HIDDEN)
    return _TOKEN_LIKE.sub(HIDDEN, text)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
