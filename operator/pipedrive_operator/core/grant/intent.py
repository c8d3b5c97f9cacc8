"""The marks of refreshes that are stored with a grant in Vault: an intent, and unanswered refreshes. No I/O is here.

An intent announces that its holder is about to spend this refresh token. A process that finds another holder's intent
waits until it is removed, or until the process itself has seen it unchanged for longer than the intent's duration.
Clocks of different machines are never compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipedrive_operator.core.grant.fields import number_field, text_field, time_field
from pipedrive_operator.core.values.text import shorten, without_control_characters
from pipedrive_operator.core.values.times import format_duration, format_time, parse_duration

IN_EXCHANGE: Final = "refresh_consent"
"""The key with the consent that an intent is about; only the intent of an exchange has it."""
OF_INTENT: Final = ("refresh_id", "refresh_holder", "refresh_started_at", "refresh_timeout", IN_EXCHANGE)
"""The keys of an intent."""
MARKS: Final = (*OF_INTENT, "refresh_unanswered", "refresh_unanswered_at", "refresh_unanswered_by")

ANSWER_TIMEOUTS: Final = 4
"""For how many time-outs of a call the answer to a refresh is awaited: a minute by default.

A late answer to a refresh is the only copy of the new tokens, and until it has come the same token must not be sent
again.
"""

LONGEST_TIMEOUT: Final = timedelta(minutes=15)
"""The longest accepted duration of an intent: a damaged one must not prevent refreshes permanently."""

LONGEST_NAME: Final = 300
"""How many characters of a holder or a refresh id are kept: messages quote a holder. A Pod's name has at most 253."""

HIGHEST_COUNT: Final = 999_999
"""Beyond this the exact number of unanswered refreshes says nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A refresh that its holder is about to send, or has sent."""

    refresh_id: str
    holder: str
    started_at: datetime
    """For messages only; no decision depends on it."""
    timeout: timedelta
    """The longest time that the holder needs; after that, it has died or stalled."""
    consent: str | None = None
    """The uid of the consent whose code the holder exchanges; None if it spends the refresh token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """Refreshes that were sent, or may have been, and whose outcome is not known."""

    count: int
    at: datetime
    """When the last of them started."""
    by: str
    """The holder of the last one."""

    def __str__(self) -> str:
        """Format it for messages."""
        times = "A refresh" if self.count == 1 else f"The last of {self.count} refreshes"
        return f"{times}, started at {format_time(self.at)} by {self.by}, went unanswered"


@dataclass(frozen=True, slots=True)
class Sighting:
    """The time at which this process first saw an intent, on its own monotonic clock."""

    refresh_id: str
    since: float

    def outlived(self, intent: Intent, now: float) -> bool:
        """Return whether this process has seen the same intent for longer than its duration."""
        return self.refresh_id == intent.refresh_id and now - self.since > intent.timeout.total_seconds()


def unanswered_after(unanswered: Unanswered | None, intent: Intent) -> Unanswered | None:
    """Return the unanswered refreshes once an intent has ended without a known outcome: an exchange spent no token."""
    return unanswered if intent.consent is not None else one_more(unanswered, intent)


def one_more(before: Unanswered | None, intent: Intent) -> Unanswered:
    """Count an intent whose outcome is not known."""
    return Unanswered(count=before.count + 1 if before else 1, at=intent.started_at, by=intent.holder)


def read_intent(values: Mapping[str, object], created_at: datetime) -> Intent | None:
    """Read the intent of a document, written at `created_at`; a damaged one still counts as an intent."""
    refresh_id = _name(values, "refresh_id")
    if not refresh_id:
        return None
    stated = parse_duration(text_field(values, "refresh_timeout") or "")
    return Intent(
        refresh_id=refresh_id,
        holder=_name(values, "refresh_holder") or "unknown",
        started_at=time_field(values, "refresh_started_at") or created_at,
        timeout=min(stated or LONGEST_TIMEOUT, LONGEST_TIMEOUT),
        consent=_name(values, IN_EXCHANGE) or None,
    )


def read_unanswered(values: Mapping[str, object], created_at: datetime) -> Unanswered | None:
    """Read the unanswered refreshes of a document."""
    count = number_field(values, "refresh_unanswered")
    if not count:
        return None
    at = time_field(values, "refresh_unanswered_at") or created_at
    return Unanswered(count=min(count, HIGHEST_COUNT), at=at, by=_name(values, "refresh_unanswered_by") or "unknown")


def write_marks(intent: Intent | None, unanswered: Unanswered | None) -> dict[str, str]:
    """Write the marks as flat strings."""
    marks: dict[str, str] = {}
    if intent is not None:
        marks |= {
            "refresh_id": intent.refresh_id,
            "refresh_holder": intent.holder,
            "refresh_started_at": format_time(intent.started_at),
            "refresh_timeout": format_duration(intent.timeout),
        }
        if intent.consent is not None:
            marks[IN_EXCHANGE] = intent.consent
    if unanswered is not None:
        marks |= {
            "refresh_unanswered": str(unanswered.count),
            "refresh_unanswered_at": format_time(unanswered.at),
            "refresh_unanswered_by": unanswered.by,
        }
    return marks


def _name(values: Mapping[str, object], key: str) -> str:
    """Return a stored name in a form that is safe to quote in messages."""
    value = values.get(key)
    return shorten(without_control_characters(value).strip(), LONGEST_NAME) if isinstance(value, str) else ""
