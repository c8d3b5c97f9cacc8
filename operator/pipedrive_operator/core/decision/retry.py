"""When to try again after a trouble: the retry column of the table of reasons, as arithmetic."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipedrive_operator.core.values.backoff import cap_to_lifetime, pause
from pipedrive_operator.core.values.conditions import EFFECTS, Retry
from pipedrive_operator.core.values.errors import Trouble

LONGEST_RETRY_AFTER: Final = timedelta(minutes=15)
"""Pipedrive's daily limit asks for more than an hour; the budget can be raised before then, so we retry earlier."""
LONGEST_GUARDED: Final = timedelta(seconds=8)
"""Where the adapter names the next time itself: it has a back-off for everybody, so ours need not protect anyone."""
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A trouble with one thing, and when that thing is worth trying again."""

    trouble: Trouble
    subject: str
    """A digest of what was tried; for anything else the failure means nothing."""
    retry_at: datetime
    failures: int = 1
    """How often in a row."""

    def stands(self, subject: str, now: datetime) -> bool:
        """Tell whether it still keeps us from trying that."""
        return self.subject == subject and now < self.retry_at


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBounds:
    """What bounds a pause."""

    now: datetime
    slow: timedelta
    """The pause where only a person can help."""
    expires_at: datetime | None = None
    """When the published value expires: a pause is never longer than a quarter of what is left."""


def record_failure(trouble: Trouble, before: Failure | None, *, subject: str, bounds: RetryBounds) -> Failure:
    """Note a trouble, and count it if the same thing failed before."""
    failures = before.failures + 1 if before is not None and before.subject == subject else 1
    retry_at = bounds.now + retry_pause(trouble, failures, subject=subject, bounds=bounds)
    return Failure(trouble=trouble, subject=subject, retry_at=retry_at, failures=failures)


def retry_pause(trouble: Trouble, failures: int, *, subject: str, bounds: RetryBounds) -> timedelta:
    """Return how long to leave it alone, by the trouble's reason."""
    growing = pause(failures, spread_by=subject)
    match EFFECTS[trouble.reason].retry:
        case Retry.BACK_OFF:
            bounded = (
                growing if trouble.retry_after is None else max(trouble.retry_after, min(growing, LONGEST_GUARDED))
            )
            return cap_to_lifetime(bounded, bounds.expires_at, bounds.now)
        case Retry.RETRY_AFTER:
            return min(trouble.retry_after or growing, LONGEST_RETRY_AFTER)
        case Retry.EACH_MINUTE:
            return _MINUTE
        case Retry.SLOW | Retry.ON_CHANGE | Retry.AT_ONCE | Retry.WHEN_DUE:
            return bounds.slow
