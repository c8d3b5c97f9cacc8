"""Words for times and durations, as kubectl writes ages. The present is a parameter."""

from datetime import datetime, timedelta
from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_TWO_UNITS_BELOW: Final = 10
"""A number of hours or days below this is followed by the next smaller unit: 3h20m, but 12h."""


def length(duration: timedelta) -> str:
    """Return a duration in one unit, or in two if the number of the first is small, such as 41m, 3h20m or 12d."""
    seconds = max(int(duration.total_seconds()), 0)
    for index, (unit, size) in enumerate(_UNITS):
        if seconds >= size:
            number, rest = divmod(seconds, size)
            return f"{number}{unit}{_next_unit(index, number, rest)}"
    return "0s"


def ahead(moment: datetime | None, now: datetime) -> str:
    """Return when a time is from now, such as `in 41m` or `5m ago`; a dash if there is none."""
    if moment is None:
        return "-"
    return f"in {length(moment - now)}" if moment > now else ago(moment, now)


def ago(moment: datetime | None, now: datetime) -> str:
    """Return how long ago a time was; a dash if there is none."""
    return "-" if moment is None else f"{length(now - moment)} ago"


def _next_unit(index: int, number: int, rest: int) -> str:
    if number >= _TWO_UNITS_BELOW or _UNITS[index][0] in {"m", "s"}:
        return ""
    unit, size = _UNITS[index + 1]
    return f"{rest // size}{unit}" if rest >= size else ""
