"""When it is whose turn to look whether a Vault is back: without turns, thousands of credentials would do so at once.

The end of an outage is announced, so that nobody who waits for a turn is late because of it.
"""

from datetime import timedelta
from typing import Final

from pipedrive_operator.core.values.errors import Trouble, VaultAway
from pipedrive_operator.fairness.budget import Budget
from pipedrive_operator.ports import Clock

TRIES_PER_SECOND: Final = 10
"""How many credentials look in each second, unless so many wait that each looks once in `LONGEST_TURN`."""
TRIES_AT_ONCE: Final = 100
"""How many look as soon as they want, after a quiet time."""
LONGEST_TURN: Final = timedelta(minutes=1)
"""How long a turn is waited for at most: a failure may be recorded after the announcement, and would miss it."""


class Turns:
    """The turns at each Vault connection."""

    def __init__(self, clock: Clock) -> None:
        """Start with nobody waiting."""
        self._clock = clock
        self._budget = Budget(per_second=TRIES_PER_SECOND, burst=TRIES_AT_ONCE)

    def after(self, trouble: Trouble, connection: str) -> timedelta:
        """Return how long to wait for the next turn; no time after a failure that is not about Vault as a whole."""
        if not isinstance(trouble, VaultAway):
            return timedelta(0)
        seconds = self._budget.reserve(connection, self._clock.monotonic())
        return min(timedelta(seconds=seconds), LONGEST_TURN)
