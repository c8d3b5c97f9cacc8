"""Finds writes without a cause after the faults have ended. Then every write belongs to a refresh. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence

from fakes.pipedrive import Send

PRELUDE, AFTERMATH = 45.0, 90.0
"""In seconds: the time before a request, and after its result became the grant, in which writes belong to it.

A slow Vault may keep the result of an exchange from becoming the grant for a while; and then a poll has to read it.
"""
MOST_WITHDRAWN = 3
"""How many intents may be withdrawn before a request: a slow Vault may keep several attempts from being sent."""
MOST_WRITES = 3
"""How many writes of one status or one Secret may belong to a request: its beginning, its end, one trouble between."""
_OF_ATTEMPTS = "the intent", "the grant"
"""The writes of an attempt that sends nothing: its intent, and the withdrawal."""


def without_cause(
    writes: Sequence[tuple[float, str]],
    sends: Sequence[Send],
    intents: Sequence[float],
    held_since: Mapping[str, float],
    *,
    since: float,
    now: float,
) -> str | None:
    """Return a write since a moment that belongs to no refresh or exchange: (d). `writes` are times and descriptions.

    `held_since` has the time at which each refresh token became the grant.
    """
    attempts = [(_first_attempt(send.began, intents), send.began) for send in sends]
    requests = _Requests(sends, held_since)
    for moment, what in writes:
        if not since <= moment < now - PRELUDE:
            continue
        is_attempt = what.endswith(_OF_ATTEMPTS) and any(began <= moment < ended for began, ended in attempts)
        if not is_attempt and not requests.cause(moment, what):
            return f"(d) nothing changed, but at {moment:.3f} {what}"
    return None


class _Requests:
    """The times in which writes belong to a request, and how many writes of each object do already."""

    def __init__(self, sends: Sequence[Send], held_since: Mapping[str, float]) -> None:
        times = ((send.began - PRELUDE, _ended(send, held_since) + AFTERMATH) for send in sends)
        self._times = sorted(times, key=lambda time: time[1])
        self._writes = Counter[tuple[int, str]]()

    def cause(self, moment: float, what: str) -> bool:
        """Return whether a write belongs to a request; those of an object count for the request that ends first."""
        around = [number for number, (begin, end) in enumerate(self._times) if begin < moment < end]
        _, _, written = what.partition(" wrote the ")
        if " of " not in written:
            return bool(around)
        cause = next((number for number in around if self._writes[number, written] < MOST_WRITES), None)
        if cause is not None:
            self._writes[cause, written] += 1
        return cause is not None


def _ended(send: Send, held_since: Mapping[str, float]) -> float:
    """Return when a request was over: at its end, or when its result became the grant."""
    ended = send.ended or send.began
    return max(ended, held_since.get(send.successor, ended) if send.successor is not None else ended)


def _first_attempt(sent_at: float, intents: Sequence[float]) -> float:
    """Return when the attempts began that led to a request: each withdrawn intent may follow another one."""
    began = sent_at
    for _ in range(MOST_WITHDRAWN):
        began = min((one for one in intents if began - PRELUDE < one < began), default=began)
    return began
