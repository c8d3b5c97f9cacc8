"""The events of a seed in order, short enough to read when it fails."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from simulation.loop import CURRENT

PERSON: Final = "person"
"""Who acts if it is no process."""


def who() -> str:
    """Return the name of the process that acts."""
    process = CURRENT.get()
    return process.name if process is not None else PERSON


@dataclass
class History:
    """The events, and what no protocol can prevent: each excuse belongs to one token."""

    lines: list[str] = field(default_factory=list)
    excuses: Counter[str] = field(default_factory=Counter)
    """How often each kind of exception occurred."""
    lost: set[str] = field(default_factory=set)
    """The refresh tokens that exist nowhere any more."""

    def note(self, where: str, what: str, *, by: str | None = None) -> None:
        """Add an event."""
        time = asyncio.get_running_loop().time()
        self.lines.append(f"{time:10.3f}  {by or who():<6} {where:<9} {what}")

    def lose(self, token: str | None, kind: str, what: str) -> None:
        """Record that a refresh token was lost for a reason that no protocol can prevent."""
        if token is not None and token not in self.lost:
            self.lost.add(token)
            self.excuse(kind, what)

    def excuse(self, kind: str, what: str) -> None:
        """Record an exception that docs/refresh-protocol.md names."""
        self.note("excuse", f"{kind}: {what}")
        self.excuses[kind] += 1
