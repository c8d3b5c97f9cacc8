"""Remembers what this process knows about the last answer to each consent, until its end is reported.

Another process that takes over knows nothing of it, and needs nothing of it. No I/O, and no decision about a consent.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from pipedrive_operator.core.decision.retry import LONGEST_RETRY_AFTER
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.backoff import pause
from pipedrive_operator.core.values.errors import Trouble
from pipedrive_operator.grants.values import Exchanged

RETRY: Final = timedelta(seconds=5)
"""The pause before the next attempt to prepare a link, claim a code, verify a candidate, report that, or delete."""
LONGEST_RETRY: Final = timedelta(minutes=1)
"""The longest pause between attempts to verify a candidate, if Pipedrive asks for no longer one: a person waits."""

Answer = tuple[str, int]
"""The uid of a consent, and the generation that the answer gave it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the exchange of a code has ended."""

    answer: Answer
    exchanged: Exchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delay:
    """An answer whose candidate could not be verified yet."""

    answer: Answer
    failures: int
    """How many times in a row it could not."""
    until: float
    """When to try again."""


class Answers:
    """The answers to consents; all times are seconds on our monotonic clock."""

    def __init__(self) -> None:
        """Start without any."""
        self._began: dict[Key, tuple[Answer, float]] = {}
        self._ended: dict[Key, Ended] = {}
        self._delayed: dict[Key, _Delay] = {}

    def first_seen(self, key: Key, answer: Answer, now: float) -> float:
        """Return when this process first saw the last answer to a consent."""
        known, began = self._began.get(key, (None, 0.0))
        if known != answer:
            began = now
            self._began[key] = (answer, began)
        return began

    def ended(self, key: Key) -> Ended | None:
        """Return how the exchange of a consent has ended, if that is not reported yet."""
        return self._ended.get(key)

    def note_ended(self, key: Key, ended: Ended) -> None:
        """Note an end, until it is reported."""
        self._ended[key] = ended

    def pause_left(self, key: Key, answer: Answer, now: float) -> timedelta:
        """Return how long to wait until the candidate of an answer is verified again: none after a newer answer."""
        delay = self._delayed.get(key)
        if delay is None or delay.answer != answer:
            return timedelta(0)
        return timedelta(seconds=delay.until - now)

    def delay(self, key: Key, answer: Answer, trouble: Trouble, now: float) -> timedelta:
        """Note that the candidate of an answer could not be verified, and return when to try again.

        The pause grows, and is at least what Pipedrive asks for, within our bounds.
        """
        before = self._delayed.get(key)
        failures = before.failures + 1 if before is not None and before.answer == answer else 1
        growing = min(pause(failures, spread_by=answer[0]), LONGEST_RETRY)
        wanted = max(RETRY, growing, min(trouble.retry_after or RETRY, LONGEST_RETRY_AFTER))
        self._delayed[key] = _Delay(answer=answer, failures=failures, until=now + wanted.total_seconds())
        return wanted

    def forget(self, key: Key) -> None:
        """Forget a consent that is gone, or whose end is reported."""
        self._began.pop(key, None)
        self._ended.pop(key, None)
        self._delayed.pop(key, None)
