"""The ids of Pipedrive's companies and users, as a response, a report or a document in Vault states them."""

import re
from typing import Final

_DIGITS: Final = re.compile(r"[0-9]{1,18}")
_LARGEST: Final = 10**18 - 1
"""A status stores 64 bits (`format: int64` in the CRD), and a larger one could never be written."""


def read_id(value: object) -> int | None:
    """Return a positive id, which may be written as a number or as text; None for anything else."""
    number = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
    # A bool is an int, and not an id.
    return number if type(number) is int and 1 <= number <= _LARGEST else None
