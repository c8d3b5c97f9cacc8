"""How often copies in escrow may be a reason to refresh a grant that is not due: the protocol makes pauses. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

FIRST_PAUSE: Final = 60.0
"""In seconds: the pause after a refresh that left a copy in escrow; each further one doubles it."""


@dataclass
class EarlyRefreshes:
    """The refreshes of one line that a process has made early because of copies in escrow."""

    tried: set[str] = field(default_factory=set)
    """The copies that were such a reason."""
    last: float = float("-inf")
    pause: float = FIRST_PAUSE
    """In seconds: how long after the last one another one may follow for the same copies."""

    def allows(self, copies: Collection[str], now: float) -> bool:
        """Return whether these copies allow one more, and count it: one for each copy, and one after each pause."""
        is_another = self.tried.issuperset(copies)
        if is_another and now < self.last + self.pause:
            return False
        self.pause = 2 * self.pause if is_another else FIRST_PAUSE
        self.tried.update(copies)
        self.last = now
        return True
