"""What happened, in order, short enough to be read when a seed fails."""

import asyncio
from dataclasses import dataclass, field

from simulation.loop import CURRENT


def who() -> str:
    """Return the process that is acting."""
    process = CURRENT.get()
    return process.name if process is not None else "person"


@dataclass
class History:
    """A list of lines, and of what could not be helped."""

    lines: list[str] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)
    """Deaths and lost answers inside the window between Pipedrive's answer and its first copy."""

    def note(self, where: str, what: str, *, by: str | None = None) -> None:
        """Write a line."""
        time = asyncio.get_running_loop().time()
        self.lines.append(f"{time:10.3f}  {by or who():<6} {where:<9} {what}")

    def excuse(self, what: str) -> None:
        """Note a loss that no protocol can help."""
        self.note("loss", what)
        self.excused.append(what)
