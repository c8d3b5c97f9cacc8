"""The events of a seed in order, short enough to read when it fails."""

import asyncio
from dataclasses import dataclass, field

from simulation.loop import CURRENT


def who() -> str:
    """Return the name of the process that acts."""
    process = CURRENT.get()
    return process.name if process is not None else "person"


@dataclass
class History:
    """The events, and the losses that no protocol can prevent."""

    lines: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)
    """Deaths and lost answers inside the window between Pipedrive's answer and its first copy."""

    def note(self, where: str, what: str, *, by: str | None = None) -> None:
        """Add an event."""
        time = asyncio.get_running_loop().time()
        self.lines.append(f"{time:10.3f}  {by or who():<6} {where:<9} {what}")

    def excuse(self, what: str) -> None:
        """Record a loss that no protocol can prevent."""
        self.note("loss", what)
        self.excused.append(what)
