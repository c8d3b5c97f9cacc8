"""When the circuit breaker admits another try after a failure, and for how many callers."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.adapters.vault.http.circuit_breaker import LONGEST_PROBE_PAUSE, CircuitBreaker
from pipedrive_operator.core.values.errors import Trouble, VaultDenied, VaultUnavailable

TROUBLE = VaultUnavailable('Vault connection "default" is sealed: unseal it')


def opened(failures: int = 1) -> tuple[CircuitBreaker, float]:
    """Make that many consecutive tries fail; return the breaker and the time of the next probe."""
    breaker, now = CircuitBreaker("test"), 100.0
    for _ in range(failures):
        trouble = breaker.failed(breaker.admit(now), TROUBLE, now)
        assert trouble.retry_after is not None
        now += trouble.retry_after.total_seconds()
    return breaker, now


def is_admitted(breaker: CircuitBreaker, now: float) -> bool:
    """Return whether a try is admitted."""
    try:
        breaker.admit(now)
    except Trouble:
        return False
    return True


def test_every_try_is_admitted_while_none_fails() -> None:
    """There is no pause between them."""
    breaker = CircuitBreaker("test")

    assert all(is_admitted(breaker, 0.0) for _ in range(3))


def test_after_a_failure_every_caller_gets_it_with_the_time_until_the_probe() -> None:
    """The kind and the message are those of the failure."""
    breaker = CircuitBreaker("test")
    first = breaker.failed(breaker.admit(100.0), VaultDenied("no role"), 100.0)

    with pytest.raises(VaultDenied, match="no role") as again:
        breaker.admit(100.0)

    assert first.retry_after == again.value.retry_after
    assert first.retry_after is not None
    assert timedelta(0) < first.retry_after <= timedelta(seconds=1)


def test_after_the_pause_one_probes_and_the_others_wait() -> None:
    """A recovering Vault does not receive all requests at once."""
    breaker, now = opened()

    admitted = [is_admitted(breaker, now) for _ in range(5)]

    assert admitted == [True, False, False, False, False]


def test_a_successful_probe_admits_everyone() -> None:
    """There is no further pause."""
    breaker, now = opened()

    breaker.succeeded(breaker.admit(now))

    assert all(is_admitted(breaker, now) for _ in range(3))


def test_a_failed_probe_makes_the_pause_longer() -> None:
    """The pause is bounded."""
    pauses = [opened(failures)[1] for failures in range(1, 8)]
    steps = [later - earlier for earlier, later in pairwise(pauses)]

    assert steps[0] < steps[1] < steps[2]
    assert max(steps) == pytest.approx(LONGEST_PROBE_PAUSE.total_seconds())


def test_a_probe_without_a_result_is_followed_by_another() -> None:
    """A cancelled request must not keep the circuit open forever."""
    breaker, now = opened()

    breaker.abandoned(breaker.admit(now))

    assert is_admitted(breaker, now)
    assert not is_admitted(breaker, now)


def test_requests_that_fail_together_count_once() -> None:
    """Thirty failures at the same moment are one outage."""
    breaker = CircuitBreaker("test")
    together = [breaker.admit(0.0) for _ in range(30)]

    troubles = [breaker.failed(admission, TROUBLE, 0.0) for admission in together]

    assert {trouble.retry_after for trouble in troubles} == {troubles[0].retry_after}
    assert is_admitted(breaker, 1.0)


def test_a_late_response_to_an_early_request_changes_nothing() -> None:
    """It neither closes the circuit nor ends the probe."""
    breaker = CircuitBreaker("test")
    early, failing = breaker.admit(0.0), breaker.admit(0.0)
    breaker.failed(failing, TROUBLE, 0.0)

    breaker.succeeded(early)
    assert not is_admitted(breaker, 0.0)

    probe = breaker.admit(1.0)
    breaker.abandoned(early)
    assert not is_admitted(breaker, 1.0)
    breaker.succeeded(probe)
    assert is_admitted(breaker, 1.0)


def test_a_requested_pause_is_bounded() -> None:
    """Retry-After: 3 is respected, an hour is shortened."""
    for asked, kept in ((3, 3), (3600, LONGEST_PROBE_PAUSE.total_seconds())):
        breaker = CircuitBreaker("test")
        trouble = VaultUnavailable("too many requests", retry_after=timedelta(seconds=asked))

        assert breaker.failed(breaker.admit(0.0), trouble, 0.0).retry_after == timedelta(seconds=kept)


@given(steps=st.lists(st.tuples(st.sampled_from(["succeeded", "failed", "abandoned"]), st.floats(0, 20)), max_size=30))
def test_after_any_history_a_try_is_admitted_within_the_longest_pause(steps: list[tuple[str, float]]) -> None:
    """No sequence of results blocks it for longer."""
    breaker, now = CircuitBreaker("test"), 0.0
    for result, wait in steps:
        now += wait
        try:
            admission = breaker.admit(now)
        except VaultUnavailable:
            continue
        if result == "failed":
            breaker.failed(admission, TROUBLE, now)
        else:
            getattr(breaker, result)(admission)

    assert is_admitted(breaker, now + LONGEST_PROBE_PAUSE.total_seconds())


def test_the_last_failure_is_kept_without_its_traceback() -> None:
    """There is a breaker for each bad document, and frames would keep its request and response alive."""
    breaker = CircuitBreaker("test")
    with pytest.raises(VaultUnavailable) as caught:
        raise VaultUnavailable("no answer")

    breaker.failed(breaker.admit(0.0), caught.value, 0.0)

    assert caught.value.__traceback__ is None
