"""How long a failure keeps the operator from trying the same thing again."""

from datetime import timedelta

import pytest

from pipedrive_operator.core.decision.retry import RetryBounds, record_failure, retry_pause
from pipedrive_operator.core.decision.timings import Timings
from pipedrive_operator.core.publication.rollout import RestartPacing
from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.errors import (
    AccountNotOpen,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    SecretWriteDenied,
    TokenRejected,
    Trouble,
)
from support.builders import NOW

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("trouble", "least", "most"),
    [
        (PipedriveUnavailable("503"), 0.5, 1),
        (RateLimited("429", retry_after=timedelta(seconds=30)), 30, 30),
        (RateLimited("429", retry_after=timedelta(seconds=3939)), 900, 900),
        (RateLimited("429"), 0.5, 1),
        (TokenRejected("401"), 60, 60),
        (AccountNotOpen("402"), 3600, 3600),
        (SecretWriteDenied("quota"), 0.5, 1),
    ],
)
def test_a_first_pause_follows_from_the_reason(trouble: Trouble, least: float, most: float) -> None:
    """Retry-After is honoured, and capped."""
    failure = record_failure(trouble, None, subject="x", bounds=RetryBounds(now=NOW, slow=HOUR))

    assert least <= (failure.retry_at - NOW).total_seconds() <= most


@pytest.mark.parametrize("trouble", [PipedriveUnavailable, RateLimited, RefreshUncertain])
def test_no_retry_after_is_obeyed_for_longer_than_a_quarter_of_an_hour(trouble: type[Trouble]) -> None:
    """This holds even after the published value has expired, when nothing else limits a pause."""
    bounds = RetryBounds(now=NOW, slow=HOUR, expires_at=NOW - HOUR)

    assert timedelta(minutes=15) == retry_pause(
        trouble("503", retry_after=timedelta(days=1)), 1, subject="x", bounds=bounds
    )


def test_the_pause_grows_if_the_same_operation_fails_again() -> None:
    """It starts from the beginning for another subject."""
    bounds = RetryBounds(now=NOW, slow=HOUR)
    first = record_failure(PipedriveUnavailable("503"), None, subject="x", bounds=bounds)
    second = record_failure(PipedriveUnavailable("503"), first, subject="x", bounds=bounds)
    other = record_failure(PipedriveUnavailable("503"), second, subject="y", bounds=bounds)

    assert [1, 2, 1] == [failure.failures for failure in (first, second, other)]
    assert first.retry_at < second.retry_at
    assert first.stands("x", NOW)
    assert not first.stands("y", NOW)
    assert not first.stands("x", first.retry_at)


def test_a_rejected_token_is_looked_at_again_soon_and_then_less_and_less_often() -> None:
    """Pipedrive may have refused it by mistake. The interval of verifications is the longest pause."""
    pauses = [
        retry_pause(TokenRejected("401"), failures, subject="x", bounds=RetryBounds(now=NOW, slow=HOUR))
        for failures in (1, 2, 3, 6, 7, 1000)
    ]

    assert [pause.total_seconds() / 60 for pause in pauses] == [1, 2, 4, 32, 60, 60]


def test_an_outage_before_a_rejection_does_not_delay_the_second_look_at_it() -> None:
    """The pauses of the outage had grown; those of the rejection begin with a minute."""
    bounds = RetryBounds(now=NOW, slow=HOUR)
    failure = record_failure(PipedriveUnavailable("503"), None, subject="x", bounds=bounds)
    for trouble in (PipedriveUnavailable("503"), PipedriveUnavailable("503"), TokenRejected("401")):
        failure = record_failure(trouble, failure, subject="x", bounds=bounds)
    again = record_failure(TokenRejected("401"), failure, subject="x", bounds=bounds)

    assert (failure.retry_at - NOW, again.retry_at - NOW) == (timedelta(minutes=1), timedelta(minutes=2))


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_reason_has_a_pause(reason: Reason) -> None:
    """It is positive and never longer than the slow one."""

    class Failed(Trouble):
        """Fails for the reason."""

    Failed.reason = reason

    wanted = retry_pause(Failed("why"), 3, subject="x", bounds=RetryBounds(now=NOW, slow=HOUR))

    assert timedelta(0) < wanted <= HOUR


@pytest.mark.parametrize(
    ("restart_interval", "expected"),
    [(None, None), (timedelta(minutes=7), RestartPacing(interval=timedelta(minutes=7), retry=timedelta(minutes=5)))],
    ids=["not enabled", "enabled"],
)
def test_restarts_are_paced_only_if_they_are_enabled(
    restart_interval: timedelta | None, expected: RestartPacing | None
) -> None:
    """What could not be restarted is read again at the poll interval."""
    timings = Timings(poll_interval=timedelta(minutes=5), verify_interval=HOUR, restart_interval=restart_interval)

    assert expected == timings.restarts
