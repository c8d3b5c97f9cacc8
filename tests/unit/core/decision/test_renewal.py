"""When a token becomes due for a refresh or a verification."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.core.decision.renewal import SHORTEST_INTERVAL, next_check, renewal
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
    """The spread adds up to a tenth to the lead, and never shortens it."""
    found = renewal(access_token(), renew_before, spread_by="grant")

    assert found is not None
    assert NOW + HOUR - 1.1 * lead - timedelta(seconds=1) <= found.at <= NOW + HOUR - lead
    assert clamped == (found.clamped_to is not None)


@given(st.integers(1, 7200), st.integers(1, 7200), st.text())
def test_a_renewal_time_is_whole_seconds_within_the_lifetime(lifetime: int, lead: int, spread_by: str) -> None:
    """The status stores no fractions, and a time that it cannot represent would never be reached."""
    token = access_token(lifetime=timedelta(seconds=lifetime))

    found = renewal(token, timedelta(seconds=lead), spread_by=spread_by)

    assert found is not None
    assert 0 == found.at.microsecond
    assert NOW + SHORTEST_INTERVAL <= found.at <= NOW + timedelta(seconds=lifetime)
    assert found == renewal(token, timedelta(seconds=lead), spread_by=spread_by)


@pytest.mark.parametrize("seconds", [1, 2])
def test_a_token_that_lives_for_a_second_or_two_is_not_due_at_once(seconds: int) -> None:
    """Each pass would refresh it otherwise: Pipedrive would receive refreshes without a pause."""
    found = renewal(access_token(lifetime=timedelta(seconds=seconds)), None, spread_by="grant")

    assert found is not None
    assert found.at == NOW + SHORTEST_INTERVAL


def test_a_token_that_has_expired_already_is_due_at_once() -> None:
    """A person may have written an old one."""
    found = renewal(access_token(lifetime=timedelta(0)), None, spread_by="grant")

    assert found is not None
    assert found.at == NOW


def test_checks_are_spread_and_never_late() -> None:
    """They come up to a tenth of the interval early."""
    times = {next_check(NOW, HOUR, spread_by=str(number)) for number in range(100)}

    assert len(times) > 90
    assert all(NOW + 54 * MINUTE <= moment <= NOW + HOUR for moment in times)
