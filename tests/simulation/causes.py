"""Finds writes without a cause after the faults have ended. Then every write belongs to a refresh. Pure."""

from collections.abc import Sequence

from fakes.pipedrive import Send

PRELUDE, AFTERMATH = 45.0, 90.0
"""In seconds: the time before a request and after its end in which writes belong to its refresh, to the last poll."""
MOST_WITHDRAWN = 3
"""How many intents may be withdrawn before a request: a slow Vault may keep several attempts from being sent."""
_OF_ATTEMPTS = "the intent", "the grant"
"""The writes of an attempt that sends nothing: its intent, and the withdrawal."""


def without_cause(
    writes: Sequence[tuple[float, str]], sends: Sequence[Send], intents: Sequence[float], since: float, now: float
) -> str | None:
    """Return a write since a moment that belongs to no refresh: (d). `writes` are times and descriptions."""
    attempts = [(_first_attempt(send.began, intents), send.began) for send in sends]
    for moment, what in writes:
        requests = ((send.began, send.ended or send.began) for send in sends)
        is_caused = any(began - PRELUDE < moment < ended + AFTERMATH for began, ended in requests)
        is_attempt = what.endswith(_OF_ATTEMPTS) and any(began <= moment < ended for began, ended in attempts)
        if since <= moment < now - PRELUDE and not is_caused and not is_attempt:
            return f"(d) nothing changed, but at {moment:.3f} {what}"
    return None


def _first_attempt(sent_at: float, intents: Sequence[float]) -> float:
    """Return when the attempts began that led to a request: each withdrawn intent may follow another one."""
    began = sent_at
    for _ in range(MOST_WITHDRAWN):
        began = min((one for one in intents if began - PRELUDE < one < began), default=began)
    return began
