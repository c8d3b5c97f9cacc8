"""Which credential is reconciled next: earliest deadline first, and fair between namespaces."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.controller.schedule import (
    FIRST_SLACK,
    LONGEST_SLACK,
    MOST_REPLACED,
    Schedule,
    first_slack,
    slack,
)
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import Key
from support.builders import API_TOKEN_SPEC, NOW, OAUTH2_SPEC, resource

HONEST, HOSTILE = "honest", "hostile"
WORKERS = 20


def key(namespace: str, number: int) -> Key:
    """Build a key."""
    return Key(namespace=namespace, name=f"{number:04}")


def served(schedule: Schedule, count: int, now: float = 0.0) -> list[Key]:
    """Let one worker make that many passes, one after the other."""
    found = []
    for _ in range(count):
        taken = schedule.take(now)
        if taken is None:
            break
        found.append(taken)
        schedule.done(taken)
    return found


def test_the_earliest_deadline_of_a_namespace_comes_first() -> None:
    """A renewal that can wait for ten seconds comes before changes that arrive later than that."""
    schedule = Schedule(WORKERS)
    schedule.add(key(HONEST, 1), due=0, deadline=10)
    schedule.add(key(HONEST, 2), due=5, deadline=5)
    schedule.add(key(HONEST, 3), due=11, deadline=11)

    assert [2, 1, 3] == [int(one.name) for one in served(schedule, 3, now=12)]


READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Published",
    "message": "",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-03-01T00:00:00Z",
}
WELL = {
    "observedGeneration": 1,
    "conditions": [READY],
    "renewalTime": "2026-03-04T12:01:00Z",
}
"""The status of a credential that is ready, and whose renewal is due a minute after `NOW`."""


@pytest.mark.parametrize(
    ("status", "changes", "seconds"),
    [
        pytest.param(WELL, {}, 60.0, id="a renewal in a minute"),
        pytest.param(WELL | {"renewalTime": "2026-03-04T11:00:00Z"}, {}, 0.0, id="a renewal that is late"),
        pytest.param(WELL | {"renewalTime": "2026-03-04T13:00:00Z"}, {}, FIRST_SLACK, id="a renewal in an hour"),
        pytest.param(WELL, {"generation": 2}, 0.0, id="an edited spec"),
        pytest.param(WELL, {"annotations": {"pipedrive-operator.io/requested-at": "now"}}, 0.0, id="a request"),
        pytest.param(WELL, {"deletionTimestamp": "2026-03-04T11:59:00Z"}, 0.0, id="a deletion"),
        pytest.param({"observedGeneration": -1}, {}, 0.0, id="never reconciled"),
        pytest.param(WELL | {"conditions": [READY | {"status": "False"}]}, {}, 0.0, id="not ready"),
    ],
)
def test_the_first_pass_of_a_leader_can_wait_if_the_status_says_that_all_is_well(
    status: dict[str, Any], changes: dict[str, Any], seconds: float
) -> None:
    """So thousands that are well delay neither a late renewal nor an edit."""
    credential = read_credential(resource(OAUTH2_SPEC, **changes) | {"status": status})

    assert seconds == first_slack(credential, NOW)


def test_an_api_token_that_is_ready_can_wait_longest() -> None:
    """It is never renewed."""
    status = {key: value for key, value in WELL.items() if key != "renewalTime"}

    assert first_slack(read_credential(resource(API_TOKEN_SPEC) | {"status": status}), NOW) == FIRST_SLACK


@pytest.mark.parametrize("spec", [{}, None])
def test_an_unreadable_or_unknown_credential_cannot_wait(spec: dict[str, Any] | None) -> None:
    """The status of the first one has to say what is wrong."""
    credential = None if spec is None else read_credential(resource(spec) | {"status": WELL})

    assert first_slack(credential, NOW) == 0


def test_an_old_request_is_replaced_and_a_recent_one_is_not() -> None:
    """Of a replica's long time without leadership only the last minute matters."""
    schedule = Schedule(WORKERS)
    schedule.add(key(HONEST, 1), due=0, deadline=0)
    schedule.add(key(HONEST, 2), due=95, deadline=95)
    schedule.waiting_since(now=100)
    for number, deadline in ((1, 500), (2, 400), (3, 300)):
        schedule.add(key(HONEST, number), due=100, deadline=deadline, since=40)

    assert [2, 3, 1] == [int(one.name) for one in served(schedule, 3, now=100)]


def test_a_look_that_was_planned_for_later_is_not_urgent_because_of_that() -> None:
    """Thousands look soon whether Vault is back. When it is, a renewal that becomes due then comes before them."""
    schedule = Schedule(WORKERS)
    schedule.add(key(HONEST, 1), due=110, deadline=140)
    schedule.add(key(HONEST, 1), due=100, deadline=500, until=100)
    schedule.add(key(HONEST, 2), due=150, deadline=150)

    assert [2, 1] == [int(one.name) for one in served(schedule, 2, now=150)]


def test_replacing_a_request_starts_no_second_pass_of_its_key() -> None:
    """The key is in progress when the old request is replaced."""
    schedule = Schedule(WORKERS)
    schedule.add(key(HONEST, 1), due=0, deadline=0)
    taken = schedule.take(0)
    schedule.add(key(HONEST, 1), due=0, deadline=0)
    schedule.add(key(HONEST, 1), due=100, deadline=100, since=40)
    assert schedule.take(100) is None

    schedule.done(key(HONEST, 1))

    assert taken == schedule.take(100)


def test_a_flood_of_changes_does_not_push_back_a_renewal_of_its_own_namespace() -> None:
    """Twice as many changes arrive as there is time for. Those that are requested later have later deadlines."""
    schedule = Schedule(WORKERS)
    renewal = key(HONEST, 0)
    schedule.add(renewal, due=0, deadline=10)
    passes = []
    for second in range(20):
        for number in range(1, 11):
            schedule.add(key(HONEST, number), due=second, deadline=second)
        passes += [(second, taken) for taken in served(schedule, 5, now=second)]

    assert [11] == [second for second, taken in passes if taken == renewal]


def test_a_flood_of_one_namespace_delays_another_by_one_pass() -> None:
    """Three thousand credentials of one namespace have early deadlines, and one renewal of the other is due."""
    schedule = Schedule(WORKERS)
    for number in range(3000):
        schedule.add(key(HOSTILE, number), due=0, deadline=-1000)
    served(schedule, 100)
    schedule.add(key(HONEST, 0), due=0, deadline=1000)

    assert key(HONEST, 0) in served(schedule, 2)


def test_slow_passes_of_one_namespace_leave_half_of_the_workers_free() -> None:
    """Passes that never end keep nobody from being reconciled."""
    schedule = Schedule(WORKERS)
    for number in range(3000):
        schedule.add(key(HOSTILE, number), due=0, deadline=0)
    stuck = [taken for _ in range(WORKERS) if (taken := schedule.take(0)) is not None]

    schedule.add(key(HONEST, 0), due=0, deadline=0)

    assert (WORKERS // 2, key(HONEST, 0)) == (len(stuck), schedule.take(0))


def test_replaced_requests_do_not_accumulate() -> None:
    """A change a second for a day would otherwise leave as many requests for a pass that is due tomorrow."""
    schedule = Schedule(WORKERS)
    for change in range(3 * MOST_REPLACED):
        schedule.add(key(HONEST, 0), due=change, deadline=change)
        taken = schedule.take(change)
        assert taken is not None
        schedule.done(taken)
        schedule.add(taken, due=1e9 + change, deadline=1e9)

    assert len(schedule._later) <= MOST_REPLACED + 4  # noqa: SLF001  no behaviour shows it but memory


@pytest.mark.parametrize(
    ("lifetime", "expected"),
    [(None, LONGEST_SLACK), (40, 10), (3600, LONGEST_SLACK), (-5, LONGEST_SLACK)],
    ids=["no expiry", "soon", "late", "expired"],
)
def test_a_scheduled_pass_waits_for_a_quarter_of_the_lifetime_at_most(lifetime: int | None, expected: float) -> None:
    """A two-minute token is renewed in time even while its namespace is busy."""
    expires_at = None if lifetime is None else NOW + timedelta(seconds=lifetime)

    assert expected == slack(NOW, expires_at)


REQUESTS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(0, 5), st.integers(0, 20), st.integers(0, 20)), max_size=60
)


@given(requests=REQUESTS, workers=st.integers(1, 8))
def test_every_key_is_served_once_it_is_due_and_never_twice_at_a_time(
    requests: list[tuple[str, int, int, int]], workers: int
) -> None:
    """This holds for any requests in any order, and for any number of workers."""
    schedule = Schedule(workers)
    due: dict[Key, int] = {}
    for namespace, number, at, patience in requests:
        one = key(namespace, number)
        schedule.add(one, due=at, deadline=at + patience)
        due[one] = min(at, due.get(one, at))

    in_progress: list[Key] = []
    seen: list[Key] = []
    for now in range(21):
        while True:
            taken = schedule.take(now)
            if taken is None and not in_progress:
                break
            if taken is None:
                schedule.done(in_progress.pop(0))
                continue
            assert taken not in in_progress
            assert due[taken] <= now
            in_progress.append(taken)
            seen.append(taken)
            assert len(in_progress) <= workers

    assert sorted(due) == sorted(seen)


@given(crowds=st.lists(st.integers(1, 30), min_size=1, max_size=6), start=st.integers(0, 40))
def test_a_namespace_waits_for_one_pass_of_each_other(crowds: list[int], start: int) -> None:
    """It does not matter how long the queues of the others are, or when the namespace arrives."""
    schedule = Schedule(WORKERS)
    for crowd, size in enumerate(crowds):
        for number in range(size):
            schedule.add(key(f"crowd-{crowd}", number), due=0, deadline=-number)
    served(schedule, start)
    schedule.add(key(HONEST, 0), due=0, deadline=1e6)

    assert key(HONEST, 0) in served(schedule, len(crowds) + 1)
