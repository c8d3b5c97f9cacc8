"""When to refresh, verify and try again."""

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.decision.renewal import (
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    cap_to_lifetime,
    fraction,
    pause,
    renewal,
    verification_time,
)
from pipedrive_operator.core.decision.retry import RetryBounds, record_failure
from pipedrive_operator.core.values.errors import (
    PipedriveUnavailable,
    RateLimited,
    SecretWriteDenied,
    TokenRejected,
    Trouble,
)
from support.builders import NOW, access_token, api_token

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


def test_an_api_token_is_not_renewed() -> None:
    """It does not expire."""
    assert renewal(api_token(), None, spread_by="x") is None


@pytest.mark.parametrize(
    ("renew_before", "lead", "clamped"),
    [(None, 20 * MINUTE, False), (10 * MINUTE, 10 * MINUTE, False), (50 * MINUTE, 30 * MINUTE, True)],
    ids=["a third by default", "as asked", "at most half"],
)
def test_a_token_is_renewed_ahead_of_its_expiry(
    renew_before: timedelta | None, lead: timedelta, *, clamped: bool
) -> None:
    """With up to a tenth of the lead on top, and never later."""
    found = renewal(access_token(), renew_before, spread_by="grant")

    assert found is not None
    assert NOW + HOUR - 1.1 * lead - timedelta(seconds=1) <= found.at <= NOW + HOUR - lead
    assert clamped == (found.clamped_to is not None)


@given(st.integers(1, 7200), st.integers(1, 7200), st.text())
def test_a_renewal_time_is_whole_seconds_within_the_lifetime(lifetime: int, lead: int, spread_by: str) -> None:
    """The status holds no more, and a time that it cannot hold would never come."""
    token = access_token(lifetime=timedelta(seconds=lifetime))

    found = renewal(token, timedelta(seconds=lead), spread_by=spread_by)

    assert found is not None
    assert 0 == found.at.microsecond
    assert NOW - timedelta(seconds=1) <= found.at <= NOW + timedelta(seconds=lifetime)
    assert found == renewal(token, timedelta(seconds=lead), spread_by=spread_by)


def test_verifications_are_spread_and_never_late() -> None:
    """Up to a tenth of the interval early."""
    times = {verification_time(NOW, HOUR, spread_by=str(number)) for number in range(100)}

    assert len(times) > 90
    assert all(NOW + 54 * MINUTE <= moment <= NOW + HOUR for moment in times)


def test_pauses_grow_to_a_limit() -> None:
    """Each failure doubles the pause."""
    pauses = [pause(failures, spread_by="x") for failures in range(1, 40)]

    assert 0.9 * SHORTEST_PAUSE <= pauses[0] <= SHORTEST_PAUSE
    assert all(one <= 1.2 * other for one, other in itertools.pairwise(pauses))
    assert 0.9 * LONGEST_PAUSE <= pauses[-1] <= LONGEST_PAUSE


def test_a_pause_leaves_three_quarters_of_the_lifetime() -> None:
    """An outage's end is found before the token expires."""
    assert MINUTE == cap_to_lifetime(5 * MINUTE, NOW + 4 * MINUTE, NOW)
    assert 5 * MINUTE == cap_to_lifetime(5 * MINUTE, NOW + HOUR, NOW)
    assert 5 * MINUTE == cap_to_lifetime(5 * MINUTE, NOW - HOUR, NOW)
    assert SHORTEST_PAUSE == cap_to_lifetime(5 * MINUTE, NOW + SHORTEST_PAUSE, NOW)


@pytest.mark.parametrize(
    ("trouble", "least", "most"),
    [
        (PipedriveUnavailable("503"), 0.5, 1),
        (RateLimited("429", retry_after=timedelta(seconds=30)), 30, 30),
        (RateLimited("429", retry_after=timedelta(seconds=3939)), 900, 900),
        (RateLimited("429"), 0.5, 1),
        (TokenRejected("401"), 3600, 3600),
        (SecretWriteDenied("quota"), 3600, 3600),
    ],
)
def test_a_first_setback_lasts_as_its_reason_says(trouble: Trouble, least: float, most: float) -> None:
    """Retry-After is honoured, and capped."""
    failure = record_failure(trouble, None, subject="x", bounds=RetryBounds(now=NOW, slow=HOUR))

    assert least <= (failure.retry_at - NOW).total_seconds() <= most


def test_a_setback_with_the_same_thing_again_lasts_longer() -> None:
    """And with another thing it starts anew."""
    bounds = RetryBounds(now=NOW, slow=HOUR)
    first = record_failure(PipedriveUnavailable("503"), None, subject="x", bounds=bounds)
    second = record_failure(PipedriveUnavailable("503"), first, subject="x", bounds=bounds)
    other = record_failure(PipedriveUnavailable("503"), second, subject="y", bounds=bounds)

    assert [1, 2, 1] == [failure.failures for failure in (first, second, other)]
    assert first.retry_at < second.retry_at
    assert first.stands("x", NOW)
    assert not first.stands("y", NOW)
    assert not first.stands("x", first.retry_at)


@given(st.text())
def test_a_fraction_is_below_one(text: str) -> None:
    """And not negative."""
    assert 0 <= fraction(text) < 1
