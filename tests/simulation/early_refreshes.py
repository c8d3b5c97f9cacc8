"""How often copies in escrow may be a reason to refresh a grant that is not due: the protocol makes pauses. Pure."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from fakes.pipedrive import Send

FIRST_PAUSE: Final = 60.0
"""In seconds: the pause after a refresh that left a copy in escrow; each further one doubles it."""
Copy = tuple[str, float]
"""The name of a copy in escrow, and when it was made, in seconds of the simulated time."""


@dataclass
class EarlyRefreshes:
    """The refreshes of one line that a process has made early because of copies in escrow."""

    tried: set[Copy] = field(default_factory=set)
    """The copies that were such a reason."""
    last: Send | None = None
    pause: float = FIRST_PAUSE
    """In seconds: how long after the last one, if it was accepted, another one may follow for the same copies."""

    def allows(self, copies: Collection[Copy], send: Send, *, listed_at: float) -> bool:
        """Return whether these copies allow one more, and count it: one for each copy, and one after each pause.

        One that Pipedrive has not accepted decides nothing about the copies, and does not count. Nor does it decide
        about a copy that was made after the sender had listed them, at `listed_at`.
        """
        copies = [copy for copy in copies if copy[1] <= listed_at] or copies
        is_another = self.tried.issuperset(copies)
        decided = self.last if self.last is not None and self.last.successor is not None else None
        if is_another and decided is not None and send.began < decided.began + self.pause:
            return False
        self.pause = 2 * self.pause if is_another and decided is not None else FIRST_PAUSE
        self.tried.update(copies)
        self.last = send
        return True
