"""Installing the packages of the node tier while another program holds the package manager's locks."""

from dataclasses import dataclass
from subprocess import CompletedProcess

import pytest

from testbed.node.machine import LOCK_POLL, LONGEST_LOCK_WAIT, is_locked, unlocked

LISTS = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 3312 (apt-get)"
DPKG = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 3312 (unattended-upgr)"


@dataclass
class Apt:
    """An apt-get that is locked for a while, and the time."""

    locked_for: float
    seconds: float = 0.0
    runs: int = 0

    def run(self) -> CompletedProcess[str]:
        """Run apt-get."""
        self.runs += 1
        is_free = self.seconds >= self.locked_for
        return CompletedProcess("apt-get", 0, "", "") if is_free else CompletedProcess("apt-get", 100, "", LISTS)

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.seconds

    def sleep(self, seconds: float, /) -> None:
        """Let time pass."""
        self.seconds += seconds


def test_a_lock_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """The output explains the delay."""
    apt = Apt(locked_for=3 * LOCK_POLL)

    assert 0 == unlocked(apt.run, apt).returncode
    assert 4 == apt.runs
    assert "another program holds a lock of the package manager" in "".join(capsys.readouterr())


def test_a_lock_that_stays_fails_in_the_end() -> None:
    """The error quotes apt-get, which names the process."""
    apt = Apt(locked_for=float("inf"))

    assert LISTS == unlocked(apt.run, apt).stderr
    assert LONGEST_LOCK_WAIT <= apt.seconds <= LONGEST_LOCK_WAIT + LOCK_POLL


@pytest.mark.parametrize(
    ("code", "error", "locked"),
    [(100, LISTS, True), (100, DPKG, True), (100, "E: Unable to locate package runc", False), (0, LISTS, False)],
    ids=["lists", "dpkg", "another error", "a warning"],
)
def test_only_a_lock_is_waited_for(code: int, error: str, *, locked: bool) -> None:
    """Any other failure is reported at once."""
    assert locked == is_locked(CompletedProcess("apt-get", code, "", error))
