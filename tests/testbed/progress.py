"""Prints the progress of a build to stderr.

It decides when to print a line, and builds nothing.
"""

import sys
import time
from collections.abc import Callable
from typing import TextIO

_LINE_SECONDS = 15.0
_LINE_PERCENT = 10


class BuildProgress:
    """Counts packages out of a total: one updated line on a terminal, otherwise one line per 10% or 15 s."""

    def __init__(
        self, total: int, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start counting towards `total`; `clock` returns seconds."""
        self._total = max(total, 1)
        self._stream = stream or sys.stderr
        self._clock = clock
        self._done = 0
        self._started = self._printed_at = clock()
        self._printed_percent = 0

    def advance(self) -> None:
        """Count one more package, and print a line if one is due."""
        self._done += 1
        percent = min(100, 100 * self._done // self._total)
        if self._stream.isatty():
            self._stream.write(f"\r\033[K{self._text(percent)}")
            self._stream.flush()
        elif self._is_due(percent):
            self._printed_at, self._printed_percent = self._clock(), percent
            say(self._text(percent), self._stream)

    def finish(self) -> None:
        """End the updated line of a terminal."""
        if self._stream.isatty() and self._done:
            self._stream.write("\n")

    def _is_due(self, percent: int) -> bool:
        return percent - self._printed_percent >= _LINE_PERCENT or self._clock() - self._printed_at >= _LINE_SECONDS

    def _text(self, percent: int) -> str:
        seconds = self._clock() - self._started
        return f"testbed: compiled {self._done} of {self._total} packages ({percent}%) in {seconds:.0f} s"


def say(text: str, stream: TextIO | None = None) -> None:
    """Print one line for the user."""
    target = stream or sys.stderr
    target.write(f"{text}\n")
    target.flush()
