"""Reads single fields of a document in Vault, which a tenant or another tool may have written in any form.

A field that is missing and a field that cannot be used are both None: what that means is decided by the caller. No
function here raises an exception.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from pipedrive_operator.core.grant.document import LONGEST_VALUE
from pipedrive_operator.core.values.text import has_control_characters
from pipedrive_operator.core.values.times import parse_time

_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,18}")
"""At most 18 digits: the number then fits into 64 bits, which is what the Kubernetes API stores."""
_SECONDS: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?")

Values = Mapping[str, object]


def text_field(values: Values, key: str) -> str | None:
    """Return a string or number as text without surrounding white space; None if it has control characters.

    A text that is longer than any token is not used either.
    """
    value = values.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    text = _as_text(value).strip()
    return text if text and len(text) <= LONGEST_VALUE and not has_control_characters(text) else None


def number_field(values: Values, key: str) -> int | None:
    """Return a whole number, which may be written as a string."""
    text = text_field(values, key)
    return int(text) if text is not None and _WHOLE_NUMBER.fullmatch(text) else None


def time_field(values: Values, key: str) -> datetime | None:
    """Return a time in UTC, written in RFC 3339 or as seconds since the epoch, as other tools write it.

    Fractions of a second are cut off, because no status keeps them: it would differ from what it reports each time.
    """
    text = text_field(values, key)
    if text is None:
        return None
    if not _SECONDS.fullmatch(text):
        parsed = parse_time(text)
        return parsed.replace(microsecond=0) if parsed is not None else None
    return _later(datetime.fromtimestamp(0, UTC), text)


def lifetime_field(values: Values, key: str, since: datetime) -> datetime | None:
    """Return when a lifetime in seconds ends that begins at `since`; None if no date can express it."""
    text = text_field(values, key)
    return _later(since, text) if text is not None and _SECONDS.fullmatch(text) else None


def _later(since: datetime, seconds: str) -> datetime | None:
    try:
        return (since + timedelta(seconds=float(seconds))).replace(microsecond=0)
    except OverflowError:
        return None


def _as_text(value: str | float) -> str:
    try:
        return str(value)
    except ValueError:  # Python refuses to format an integer of more than 4,300 digits
        return ""
