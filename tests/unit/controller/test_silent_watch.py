"""What the probes say about a watch that gets no response, and what becomes of an event that cannot be read."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.supervisor import DEAD_PERIODS, SILENT_PERIODS, Supervisor

PERIOD = 240.0


def supervisor(*, watch_age: float | None) -> Supervisor:
    """Build a supervisor whose watch had its last response so many seconds ago, or (None) has not started."""
    unused: Any = None
    controller: Any = SimpleNamespace(enqueue=lambda _: None)
    made = Supervisor(
        controller=controller,
        cache=Cache(unused),
        lister=unused,
        clock=unused,
        check_schema=unused,
        resync_interval=timedelta(minutes=10),
    )
    watch: Any = SimpleNamespace(period=PERIOD, age=lambda: watch_age)
    made._watch = watch if watch_age is not None else None  # noqa: SLF001  run() would start everything else too
    return made


@pytest.mark.parametrize(
    ("periods", "ready", "live"),
    [(1.0, True, True), (SILENT_PERIODS + 0.1, False, True), (DEAD_PERIODS + 0.1, False, False)],
)
def test_a_silent_watch_ends_readiness_first_and_liveness_later(periods: float, *, ready: bool, live: bool) -> None:
    """In between, the watch is restarted, which usually helps."""
    made = supervisor(watch_age=periods * PERIOD)

    assert ready is (made.readiness()["watch"] is None)
    assert live is (made.liveness()["watch"] is None)


def test_a_watch_that_has_not_started_is_no_problem_of_its_own() -> None:
    """What is waited for until then is reported instead."""
    made = supervisor(watch_age=None)

    assert made.readiness()["watch"] is None
    assert made.liveness()["watch"] is None


@pytest.mark.parametrize("body", [{}, {"metadata": None}, {"metadata": {"namespace": "crm", "name": "acme"}}])
def test_an_event_that_cannot_be_read_is_ignored(body: dict[str, Any]) -> None:
    """It changes nothing in the cache, and raises nothing in the main loop."""
    made = supervisor(watch_age=0)

    made.handle_event("secret", "MODIFIED", body)
    made.handle_event("credential", "DELETED", body)
