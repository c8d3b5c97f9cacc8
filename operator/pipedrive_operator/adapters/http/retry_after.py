"""The one parser of `Retry-After` (RFC 9110 section 10.2.3). The caller decides what to do with the pause."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_PLAUSIBLE_PAUSE: Final = timedelta(days=1)
"""Pipedrive's longest budget is a day's, so a longer pause is an error of the server."""


def read_retry_after(value: str | None, now: datetime) -> timedelta | None:
    """Return the pause that a header asks for, between zero and `LONGEST_PLAUSIBLE_PAUSE`.

    None if it is absent or malformed. The header holds either a number of seconds or an HTTP date. `now` must be aware.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(float(text), LONGEST_PLAUSIBLE_PAUSE.total_seconds()))
    moment = _date(text)
    return None if moment is None else min(max(moment - now, timedelta(0)), LONGEST_PLAUSIBLE_PAUSE)


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
