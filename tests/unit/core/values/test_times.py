"""Times are parsed from every form that RFC 3339 allows, and always written in UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from pipedrive_operator.core.values.times import format_time, parse_time


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-28T20:57:06Z",
        "2026-11-28t20:57:06z",
        "2026-11-28T20:57:06",
        "2026-11-28 20:57:06Z",
        "2026-11-28T20:57:06+00:00",
        "2026-11-28T20:57:06-00:00",
        "2026-11-29T02:27:06+05:30",
        "2026-11-28T12:57:06-08:00",
        "2026-11-28T20:57:06.123456789Z",
        " 2026-11-28T20:57:06Z\n",
    ],
)
def test_every_form_of_a_time_is_formatted_in_utc(text: str) -> None:
    """A time without an offset is UTC, and fractions are cut off."""
    parsed = parse_time(text)

    assert parsed is not None
    assert parsed.tzinfo is UTC
    assert format_time(parsed) == "2026-11-28T20:57:06Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026-11-28T20:57:60Z",
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "10000-01-01T00:00:00Z",
        "2026-11-28T20:57:06+24:00",
    ],
)
def test_a_time_that_utc_cannot_express_is_none(text: str) -> None:
    """The caller decides what an unusable time means."""
    assert parse_time(text) is None


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_the_first_and_the_last_time_survive_a_round_trip(text: str) -> None:
    """Years have four digits, as RFC 3339 requires."""
    parsed = parse_time(text)

    assert parsed is not None
    assert format_time(parsed) == text


def test_a_time_in_another_zone_is_converted_when_it_is_formatted() -> None:
    """The letter Z would otherwise be wrong."""
    india = timezone(timedelta(hours=5, minutes=30))

    assert format_time(datetime(2026, 11, 29, 2, 27, 6, tzinfo=india)) == "2026-11-28T20:57:06Z"
