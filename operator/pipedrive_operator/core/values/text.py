"""What may be done with text from outside before it is stored or quoted. No message is written here."""

import re
from typing import Final

ELLIPSIS: Final = "…"


_DNS_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII | re.IGNORECASE)


def is_dns_label(text: str) -> bool:
    """Return whether a text is one label of a host name (RFC 1123 section 2.1)."""
    return _DNS_LABEL.fullmatch(text) is not None


def has_control_characters(text: str) -> bool:
    """Return whether a text contains control characters, line breaks or anything else that cannot be printed."""
    return not text.isprintable()


def without_control_characters(text: str) -> str:
    """Replace each character that cannot be printed by a space, so that a quotation stays on one line."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else " " for character in text)


def shorten(text: str, longest: int) -> str:
    """Cut a text to at most `longest` characters, and mark the cut."""
    return text if len(text) <= longest else f"{text[: longest - len(ELLIPSIS)]}{ELLIPSIS}"
