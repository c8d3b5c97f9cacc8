"""Decides whether something that failed is worth another try. All callers share one pause and one probe.

A state machine as in https://martinfowler.com/bliki/CircuitBreaker.html. Pure: times are passed in, as monotonic
seconds.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from pipedrive_operator.core.values.backoff import SHORTEST_PAUSE, pause
from pipedrive_operator.core.values.errors import Trouble

LONGEST_PROBE_PAUSE: Final = timedelta(seconds=8)
"""Together with the probe itself, this notices a recovery within ten seconds."""


class CircuitBreaker:
    """Admits everything; after a failure nothing; after a pause one probe.

    An admission is a number, and only the newest counts: of a hundred requests that fail together, one opens the
    circuit, and none that was sent earlier can close it.
    """

    def __init__(self, name: str) -> None:
        """Start closed. The name spreads the pauses of different holders."""
        self._name = name
        self._admission = 0
        self._failures = 0
        self._trouble: Trouble | None = None
        self._probing = False
        self._next_probe = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether everything is admitted, because the newest try did not fail."""
        return self._trouble is None

    def admit(self, now: float) -> int:
        """Admit a try and return its number.

        Raises:
            Trouble: the last failure again, with the time until the next probe.
        """
        if self._trouble is None:
            return self._admission
        if self._probing or now < self._next_probe:
            raise self._again(self._trouble, now)
        self._probing = True
        self._admission += 1
        return self._admission

    @contextmanager
    def attempt(self, now: float) -> Iterator[int]:
        """Admit a try for the length of a `with` block, which need not report a result. Raises as `admit` does."""
        admission = self.admit(now)
        try:
            yield admission
        finally:
            self.abandoned(admission)

    def succeeded(self, admission: int) -> bool:
        """Close the circuit if that try was the newest. Return whether the circuit was open."""
        was_open = admission == self._admission and self._trouble is not None
        if admission == self._admission:
            self._failures, self._trouble, self._probing = 0, None, False
        return was_open

    def failed(self, admission: int, trouble: Trouble, now: float) -> Trouble:
        """Open the circuit if that try was the newest. Return the failure with the time until the next probe."""
        if admission == self._admission:
            self._failures += 1
            self._trouble = trouble.as_value()
            wanted = pause(self._failures, spread_by=self._name)
            self._next_probe = (
                now + min(max(wanted, trouble.retry_after or wanted), LONGEST_PROBE_PAUSE).total_seconds()
            )
            self._end_admission()
        return self._again(trouble, now)

    def abandoned(self, admission: int) -> None:
        """Admit another probe if that try was the probe and ended without a result."""
        if self._probing and admission == self._admission:
            self._end_admission()

    def _again(self, trouble: Trouble, now: float) -> Trouble:
        left = max(timedelta(seconds=self._next_probe - now), SHORTEST_PAUSE)
        return type(trouble)(trouble.message, retry_after=left)

    def _end_admission(self) -> None:
        self._probing = False
        self._admission += 1
