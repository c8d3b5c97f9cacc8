"""Formats and parses times and durations as Kubernetes and Go do. No clock is read here."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

DURATION: Final = r"^(?:([0-9]{1,5})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,5})s)?$"


def parse_duration(text: str) -> timedelta | None:
    """Parse a duration as Go writes it, such as 1h30m. Return None for anything else."""
    match = re.fullmatch(DURATION, text)
    if not match or not text:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def format_duration(value: timedelta) -> str:
    """Format a duration as Go does, to the second."""
    minutes, seconds = divmod(int(value.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if number]
    return "".join(parts) or "0s"


def format_time(value: datetime) -> str:
    """Format an aware time as Kubernetes does: RFC 3339, in UTC, to the second."""
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def parse_time(text: str) -> datetime | None:
    """Parse an RFC 3339 time, in either case and with any offset, and return it in UTC.

    A time without an offset is UTC. Return None for anything else, and for a time before year 1 or after year 9999
    in UTC.
    """
    try:
        parsed = datetime.fromisoformat(text.strip().upper())
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
