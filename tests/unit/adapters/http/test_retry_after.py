"""Retry-After as seconds and as a date."""

from datetime import UTC, datetime, timedelta

import pytest

from pipedrive_operator.adapters.http.retry_after import LONGEST_PLAUSIBLE_PAUSE, read_retry_after

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "pause"),
    [
        ("0", timedelta(0)),
        ("3939", timedelta(seconds=3939)),
        (" 5 ", timedelta(seconds=5)),
        ("9" * 5000, LONGEST_PLAUSIBLE_PAUSE),
        ("Wed, 04 Mar 2026 12:01:00 GMT", timedelta(minutes=1)),
        ("Wed, 04 Mar 2026 14:01:00 +0200", timedelta(minutes=1)),
        ("Wed, 04 Mar 2026 12:01:00 -0000", timedelta(minutes=1)),
        ("Wed, 04 Mar 2026 11:00:00 GMT", timedelta(0)),
        ("Wed, 04 Mar 2099 11:00:00 GMT", LONGEST_PLAUSIBLE_PAUSE),
        (None, None),
        ("", None),
        ("-1", None),
        ("soon", None),
        ("\N{ARABIC-INDIC DIGIT THREE}", None),
        ("Wed, 99 Mar 2026 12:01:00 GMT", None),
        ("Wed, 04 Mar 99999999999999999999 12:01:00 GMT", None),
    ],
)
def test_seconds_and_dates_are_read(value: str | None, pause: timedelta | None) -> None:
    """Bounded, never negative, and None for what is neither."""
    assert read_retry_after(value, NOW) == pause
