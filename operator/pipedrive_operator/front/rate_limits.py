"""Limits the requests to the API server: a flood of bad links must neither burden it nor lock people out.

Strangers share an allowance, and the people whose key this replica has verified before share another one.
"""

from collections import OrderedDict
from typing import Final

from pipedrive_operator.fairness.budget import Budget

_REMEMBERED: Final = 2000
"""How many verified keys are remembered; the oldest is forgotten."""
_BURST_SECONDS: Final = 4
"""How many seconds' worth of requests may come at once."""
_STRANGERS: Final = "strangers"
_KNOWN: Final = "known people"


class RateLimits:
    """Decides whether a request may use the API server now."""

    def __init__(self, per_second: float) -> None:
        """Allow that many requests per second, each to strangers and to known people."""
        self._budget = Budget(per_second=per_second, burst=_BURST_SECONDS * per_second)
        self._known: OrderedDict[str, None] = OrderedDict()

    def allows(self, key_digest: str, now: float) -> bool:
        """Return whether a person may cause a request; `key_digest` identifies the key of the link."""
        return self._budget.take(_KNOWN if key_digest in self._known else _STRANGERS, now)

    def remember(self, key_digest: str) -> None:
        """Remember that a key belongs to a consent."""
        self._known[key_digest] = None
        self._known.move_to_end(key_digest)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
