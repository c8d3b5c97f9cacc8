"""What may be done with text from outside before it is stored or quoted. No message is written here."""

from typing import Final

ELLIPSIS: Final = "…"


def has_control_characters(text: str) -> bool:
    """Return whether a text contains control characters, line breaks or anything else that cannot be printed."""
    return not text.isprintable()


def without_control_characters(text: str) -> str:
    """Replace each character that cannot be printed by a space, so that a quotation stays on one line."""
    return "".join(character if character.isprintable() else " " for character in text)


def shorten(text: str, longest: int) -> str:
    """Cut a text to at most `longest` characters, and mark the cut."""
    return text if len(text) <= longest else f"{text[: longest - len(ELLIPSIS)]}{ELLIPSIS}"
