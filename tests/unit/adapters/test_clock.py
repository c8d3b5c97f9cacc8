"""The machine's clock."""

from datetime import timedelta

from pipedrive_operator.adapters.clock import SystemClock


def test_the_time_is_aware_and_in_utc() -> None:
    """As every time in the operator."""
    assert SystemClock().now().utcoffset() == timedelta(0)


async def test_a_sleep_takes_about_as_long_as_asked() -> None:
    """On the clock's own monotonic time; the event loop's timers may fire a tick early."""
    clock = SystemClock()
    began = clock.monotonic()

    await clock.sleep(0.02)

    assert clock.monotonic() - began > 0.01
