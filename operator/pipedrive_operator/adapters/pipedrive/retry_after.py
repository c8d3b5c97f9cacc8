"""Reading `Retry-After` (RFC 9110 section 10.2.3). What is done with the pause is decided elsewhere."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST: Final = timedelta(days=1)
"""Pipedrive's longest budget is a day's."""


def read_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Read seconds or an HTTP date; None where there is neither."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(float(text), LONGEST.total_seconds()))
    moment = _date(text)
    return None if moment is None else min(max(moment - now, timedelta(0)), LONGEST)


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
