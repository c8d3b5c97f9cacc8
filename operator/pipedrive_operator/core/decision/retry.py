"""When to try again after a failure: the retry rule of each reason, as arithmetic."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipedrive_operator.core.values.backoff import cap_to_lifetime, pause
from pipedrive_operator.core.values.conditions import EFFECTS, Retry
from pipedrive_operator.core.values.errors import Trouble

LONGEST_RETRY_AFTER: Final = timedelta(minutes=15)
"""Pipedrive's daily limit asks for more than an hour; the budget can be raised before then, so we retry earlier."""
LONGEST_GUARDED: Final = timedelta(seconds=8)
"""The cap if the adapter gives the pause itself: its own back-off already protects the server for all credentials."""
_MINUTE: Final = timedelta(minutes=1)
_MOST_DOUBLINGS: Final = 20
"""A minute is two years by then, which is longer than any interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last error of an operation, and when to try it again."""

    trouble: Trouble
    subject: str
    """Identifies what was tried, such as a digest; the failure says nothing about anything else."""
    retry_at: datetime
    failures: int = 1
    """How many times in a row the operation has failed."""

    def stands(self, subject: str, now: datetime) -> bool:
        """Return whether the failure is about this subject and its pause is not over."""
        return self.subject == subject and now < self.retry_at


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBounds:
    """What limits a pause."""

    now: datetime
    slow: timedelta
    """The pause if only a person can help."""
    expires_at: datetime | None = None
    """When the published value expires: a back-off never exceeds a quarter of the time that is left."""
    turn: timedelta = timedelta(0)
    """How long to wait at least, because many wait for the same thing."""


def record_failure(trouble: Trouble, before: Failure | None, *, subject: str, bounds: RetryBounds) -> Failure:
    """Build a failure, counting those of the same subject before it."""
    failures = before.failures + 1 if before is not None and _continues(before, trouble, subject) else 1
    retry_at = bounds.now + retry_pause(trouble, failures, subject=subject, bounds=bounds)
    return Failure(trouble=trouble.as_value(), subject=subject, retry_at=retry_at, failures=failures)


def _continues(before: Failure, trouble: Trouble, subject: str) -> bool:
    """Return whether a failure is one more of a row.

    A first rejection begins a row of its own: an outage before it must not delay the second look at it.
    """
    is_slowing = EFFECTS[trouble.reason].retry is Retry.SLOWING
    return before.subject == subject and (before.trouble.reason is trouble.reason or not is_slowing)


def retry_pause(trouble: Trouble, failures: int, *, subject: str, bounds: RetryBounds) -> timedelta:
    """Return the pause that the retry rule of the error's reason asks for."""
    growing = pause(failures, spread_by=subject)
    match EFFECTS[trouble.reason].retry:
        case Retry.BACK_OFF:
            bounded = (
                growing if trouble.retry_after is None else max(trouble.retry_after, min(growing, LONGEST_GUARDED))
            )
            wanted = min(max(bounded, bounds.turn), LONGEST_RETRY_AFTER)
            return cap_to_lifetime(wanted, bounds.expires_at, bounds.now)
        case Retry.RETRY_AFTER:
            return min(trouble.retry_after or growing, LONGEST_RETRY_AFTER)
        case Retry.AFTER_UNKNOWN:
            growth = cap_to_lifetime(growing, bounds.expires_at, bounds.now)
            return min(max(trouble.retry_after or _MINUTE, growth), LONGEST_RETRY_AFTER)
        case Retry.EACH_MINUTE:
            return _MINUTE
        case Retry.SLOWING:
            return min(_MINUTE * int(2 ** min(failures - 1, _MOST_DOUBLINGS)), bounds.slow)
        case Retry.SLOW | Retry.SLOW_OR_ON_CHANGE | Retry.ON_CHANGE | Retry.AT_ONCE | Retry.WHEN_DUE:
            return bounds.slow
