"""Checks that a document can be written back as it was read. Pure.

A refresh rewrites the whole document. A value that a reader accepts and a writer refuses would fail the write of the
intent, or, if a person adds it during a refresh, the write of the new grant. So it is refused when it is read.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Final

from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.values.errors import SourceMissing
from pipedrive_operator.core.values.text import shorten, without_control_characters

DEEPEST_NESTING: Final = 100
"""How many levels of lists and objects a value may have; Python can write about 900, depending on who calls it."""
_LONGEST_KEY: Final = 100
"""In characters: how much of a key a message quotes."""


def require_storable(location: VaultLocation, values: Mapping[str, object]) -> None:
    """Check that the values of a document can be written back.

    Raises:
        SourceMissing: a value cannot; the message names its key.
    """
    for key, value in values.items():
        if (problem := _problem(key, value)) is not None:
            named = shorten(without_control_characters(key), _LONGEST_KEY)
            message = (
                f"The value under key {named} of {location} in Vault {problem}, so a refresh could not write the "
                "document back: write it as text, or move it to another path"
            )
            raise SourceMissing(message)


def _problem(key: str, value: object) -> str | None:
    """Return why a value cannot be written as JSON, or None; level by level, because recursion has an end."""
    level: list[object] = [key, value]
    for _ in range(DEEPEST_NESTING + 1):
        inner: list[object] = []
        for part in level:
            if isinstance(part, str | float):
                if (problem := _problem_of_scalar(part)) is not None:
                    return problem
            elif isinstance(part, list):
                inner += part
            elif isinstance(part, dict):
                inner += (*part, *part.values())
        if not inner:
            return None
        level = inner
    return f"is nested in more than {DEEPEST_NESTING} levels"


def _problem_of_scalar(value: str | float) -> str | None:
    if isinstance(value, float):
        return None if isfinite(value) else "holds a number that JSON cannot express"
    try:
        value.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is no character"
    return None
