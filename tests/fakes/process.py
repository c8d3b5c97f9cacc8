"""The identity of a process, and whether it leads."""

from dataclasses import dataclass


@dataclass
class FakeProcess:
    """Implements `ports.Process` with a holder and numbered names."""

    holder: str = "us"
    count: int = 0

    def new(self) -> str:
        """Return the next name."""
        self.count += 1
        return f"{self.holder}-{self.count}"


@dataclass
class FakeLeadership:
    """Implements `ports.Leadership`: leads for as long as a test sets."""

    seconds: float = float("inf")

    def remaining(self) -> float:
        """Return the seconds."""
        return self.seconds
