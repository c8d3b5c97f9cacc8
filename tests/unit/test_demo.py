"""The demo's tour names a step that fails, and its checks do not accept a wrong result."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from testbed.demo.snapshot import Credential, Secret, Snapshot
from testbed.demo.steps import (
    API_TOKEN,
    OAUTH2,
    is_recovered,
    is_repaired,
    is_reported_as_rejected,
    was_refreshed_in_time,
)
from testbed.demo.tour import Guide, NotSeenError, Observer, Step, StepError, run
from testbed.kubectl import KubectlError

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
GOOD = Credential(
    name=API_TOKEN, ready="True", reason="Published", message="", company="acme", expires_at=None, last_event=None
)
BEFORE = Snapshot(
    at=NOON,
    credentials={
        API_TOKEN: GOOD,
        OAUTH2: replace(GOOD, name=OAUTH2, expires_at=NOON + timedelta(seconds=60)),
    },
    secrets={API_TOKEN: Secret(version="1", digest="aaaa"), OAUTH2: Secret(version="2", digest="bbbb")},
)


class Recorder:
    """Records the progress."""

    def __init__(self) -> None:
        """Start without lines."""
        self.lines: list[str] = []

    def begun(self, name: str, sees: str) -> None:
        """Record a line."""
        self.lines.append(f"{name}: {sees}")

    def done(self, name: str, seen: str, seconds: float) -> None:
        """Record a line."""
        self.lines.append(f"{name}: {seen}, {seconds:.0f}")


def step(name: str, *, do: Callable[[list[str]], object], seen_at: int = 0) -> Step[list[str], int]:
    """Describe a step that shows its name when the snapshot is `seen_at`."""
    return Step(
        name=name,
        sees="something",
        do=do,
        check=lambda _, now: f"saw {now}" if now >= seen_at else None,
        within=5,
    )


def tour(*steps: Step[list[str], int]) -> Recorder:
    """Run steps with a clock that advances by one second at each look."""
    recorder, seconds = Recorder(), count()
    now = next(seconds)

    def look() -> int:
        nonlocal now
        now = next(seconds)
        return now

    run(steps, [], guide=Guide(recorder, lambda: now), observer=Observer(look=look, pause=lambda: None))
    return recorder


def refuse(_: list[str]) -> None:
    """Fail as kubectl does."""
    raise KubectlError("forbidden")


def test_every_step_is_reported_with_its_result() -> None:
    """The screen says what to expect, and then what happened."""
    recorder = tour(step("one", do=list), step("two", do=list, seen_at=6))

    assert ["one: something", "one: saw 2, 2", "two: something", "two: saw 6, 4"] == recorder.lines


def test_a_step_that_shows_nothing_in_time_is_named() -> None:
    """The tour does not wait forever."""
    with pytest.raises(StepError, match=r"^two: not seen within 5 s: something$"):
        tour(step("one", do=list), step("two", do=list, seen_at=1000))


def test_a_step_that_cannot_be_done_is_named_with_the_cause() -> None:
    """The message of kubectl is kept."""
    with pytest.raises(StepError, match=r"^one: forbidden$"):
        tour(step("one", do=refuse))


def test_nothing_is_done_after_a_failed_step() -> None:
    """A later step would rely on the failed one."""
    done: list[str] = []

    with pytest.raises(StepError):
        tour(step("one", do=refuse), step("two", do=lambda _: done.append("two")))

    assert [] == done


def refreshed(*, at: float, digest: str = "cccc", good_for: float = 100) -> Snapshot:
    """Return a snapshot some seconds later, with another access token."""
    credential = replace(BEFORE.credentials[OAUTH2], expires_at=NOON + timedelta(seconds=good_for))
    return replace(
        BEFORE,
        at=NOON + timedelta(seconds=at),
        credentials={**BEFORE.credentials, OAUTH2: credential},
        secrets={**BEFORE.secrets, OAUTH2: Secret(version="3", digest=digest)},
    )


def with_api_token(digest: str, *, version: str = "3", reason: str = "Published") -> Snapshot:
    """Return a snapshot in which the Secret or the condition of the API token is another."""
    credential = replace(GOOD, ready=str(reason == "Published"), reason=reason)
    return replace(
        BEFORE,
        credentials={**BEFORE.credentials, API_TOKEN: credential},
        secrets={**BEFORE.secrets, API_TOKEN: Secret(version=version, digest=digest)},
    )


def test_a_refresh_is_another_token_with_a_later_expiry() -> None:
    """Both are reported, by digest."""
    result = was_refreshed_in_time(BEFORE, refreshed(at=40))

    assert result == "token bbbb, valid until 12:01:00Z, was replaced 20 s early by cccc, valid until 12:01:40Z"


@pytest.mark.parametrize("now", [BEFORE, refreshed(at=40, digest="bbbb"), refreshed(at=40, good_for=60)])
def test_half_a_refresh_is_not_accepted(now: Snapshot) -> None:
    """The Secret and the status are written one after the other."""
    assert was_refreshed_in_time(BEFORE, now) is None


def test_a_refresh_after_the_expiry_is_too_late() -> None:
    """The workload had an expired token in the meantime."""
    with pytest.raises(NotSeenError, match="expired at 12:01:00Z"):
        was_refreshed_in_time(BEFORE, refreshed(at=61))


def test_a_secret_is_repaired_when_it_was_written_and_holds_what_it_held() -> None:
    """A Secret that was not written since proves nothing, and an edited one is not repaired."""
    assert is_repaired(BEFORE, with_api_token("aaaa", version="3")) is not None
    assert is_repaired(BEFORE, BEFORE) is None
    assert is_repaired(BEFORE, with_api_token("edited")) is None


def test_a_revoked_token_is_reported_and_stays_in_its_secret() -> None:
    """The last accepted value stays published."""
    assert is_reported_as_rejected(BEFORE, with_api_token("aaaa", reason="TokenRejected")) is not None
    assert is_reported_as_rejected(BEFORE, with_api_token("aaaa", reason="VaultDenied")) is None
    with pytest.raises(NotSeenError, match="does not keep"):
        is_reported_as_rejected(BEFORE, with_api_token("eeee", reason="TokenRejected"))


def test_a_recovery_is_another_token_that_is_accepted() -> None:
    """One of the two is not enough."""
    assert is_recovered(BEFORE, with_api_token("dddd")) is not None
    assert is_recovered(BEFORE, with_api_token("aaaa")) is None
    assert is_recovered(BEFORE, with_api_token("dddd", reason="TokenRejected")) is None
