"""The machine's clock."""

import time
from datetime import timedelta

import pytest

from pipedrive_operator.adapters.clock import SystemClock


def test_the_time_is_aware_and_in_utc() -> None:
    """Every time in the operator is."""
    assert SystemClock().now().utcoffset() == timedelta(0)


def test_the_monotonic_clock_counts_the_time_of_a_suspended_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLOCK_MONOTONIC stands still in suspend, so a Lease would seem to be ours after another process took it."""
    monkeypatch.setattr(time, "clock_gettime", lambda clock: {time.CLOCK_BOOTTIME: 7.0}[clock])

    assert SystemClock().monotonic() == 7.0


async def test_a_sleep_takes_about_as_long_as_asked() -> None:
    """On the clock's own monotonic time; the event loop's timers may fire a tick early."""
    clock = SystemClock()
    began = clock.monotonic()

    await clock.sleep(0.02)

    assert clock.monotonic() - began > 0.01
