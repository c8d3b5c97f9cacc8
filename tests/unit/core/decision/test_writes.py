"""When a write is tried again: after it failed, found the Secret changed, or was undone at once."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from pipedrive_operator.core.decision.retry import RetryBounds
from pipedrive_operator.core.decision.writes import (
    CONFLICTS_AT_ONCE,
    REPAIRS_AT_ONCE,
    UNDONE_AT_ONCE,
    Writes,
    after_conflict,
    after_failed_write,
    after_write,
    contended,
    recreated_message,
    undone_message,
)
from pipedrive_operator.core.publication.target import ANOTHER_RELEASE
from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.errors import RepairPostponed, SecretWriteDenied
from support.builders import KEY, NOW

BOUNDS = RetryBounds(now=NOW, slow=timedelta(hours=1))
SECOND = timedelta(seconds=1)


def wrote(writes: Writes, at: timedelta, subject: str = "one") -> Writes:
    """Record a write some time after the start."""
    return after_write(writes, "undone {}".format, subject=subject, bounds=replace(BOUNDS, now=NOW + at))


def conflicted(writes: Writes, at: timedelta, subject: str = "one") -> Writes:
    """Record a conflict some time after the start."""
    return after_conflict(writes, contended(KEY, []), subject=subject, bounds=replace(BOUNDS, now=NOW + at))


class TestFailures:
    """Writes that failed."""

    def test_a_failed_write_is_about_one_subject(self) -> None:
        """Another one is tried at once."""
        writes = after_failed_write(Writes(), SecretWriteDenied("quota"), subject="one", bounds=BOUNDS)

        assert writes.pending("one", NOW) is not None
        assert writes.pending("another", NOW) is None

    def test_a_postponed_write_has_its_turn(self) -> None:
        """A write that failed for another reason has none."""
        postponed = RepairPostponed("busy", retry_after=SECOND)

        writes = after_failed_write(Writes(), postponed, subject="one", bounds=BOUNDS)

        assert (True, False) == (writes.has_turn("one"), writes.has_turn("another"))
        assert not after_failed_write(writes, SecretWriteDenied("quota"), subject="one", bounds=BOUNDS).has_turn("one")


class TestRepairs:
    """Writes that did not last."""

    @pytest.mark.parametrize(
        ("gaps", "is_fight"),
        [
            pytest.param([1] * REPAIRS_AT_ONCE, True, id="undone at once"),
            pytest.param([1] * (REPAIRS_AT_ONCE - 1), False, id="too few"),
            pytest.param([1, 1, UNDONE_AT_ONCE.total_seconds(), 1], False, id="with a quiet time between"),
        ],
    )
    def test_repairs_that_are_undone_at_once_are_paused(self, gaps: list[float], *, is_fight: bool) -> None:
        """The message says how many there were."""
        at = timedelta()
        writes = wrote(Writes(), at)
        for gap in gaps:
            at += timedelta(seconds=gap)
            writes = wrote(writes, at)

        assert (writes.failure is not None) is is_fight
        if writes.failure is not None:
            assert Reason.SECRET_WRITE_DENIED is writes.failure.trouble.reason
            assert f"undone {REPAIRS_AT_ONCE}" == writes.failure.trouble.message

    def test_another_subject_is_no_repair(self) -> None:
        """No matter how often the token changes."""
        writes = Writes()
        for number in range(10):
            writes = wrote(writes, timedelta(), str(number))

        assert (0, None) == (writes.repairs, writes.failure)

    def test_a_late_repair_after_a_conflict_was_not_undone_at_once(self) -> None:
        """The time since the last write counts, and not the time since the conflict."""
        writes = conflicted(wrote(Writes(), timedelta()), timedelta(hours=1))

        assert 0 == wrote(writes, timedelta(hours=1)).repairs

    def test_a_repair_is_undone_since_a_moment_before_it(self) -> None:
        """A first write never is."""
        first = wrote(Writes(), timedelta())
        second = wrote(first, SECOND)

        assert not first.was_undone_since(NOW)
        assert second.was_undone_since(NOW + SECOND)
        assert not second.was_undone_since(NOW + 2 * SECOND)


class TestConflicts:
    """Writes that found the Secret changed since it was read."""

    def test_the_first_conflicts_are_retried_at_once_and_the_next_ones_ever_more_rarely(self) -> None:
        """The pause grows with each conflict."""
        writes, at, pauses = Writes(), timedelta(), []
        for _ in range(CONFLICTS_AT_ONCE + 3):
            writes = conflicted(writes, at)
            assert writes.failure is not None
            pauses.append(writes.failure.retry_at - NOW - at)
            at += pauses[-1]

        assert [timedelta()] * (CONFLICTS_AT_ONCE - 1) == pauses[: CONFLICTS_AT_ONCE - 1]
        assert all(SECOND < one < other for one, other in pairwise(pauses[CONFLICTS_AT_ONCE - 1 :]))

    @pytest.mark.parametrize(
        ("subject", "gap"),
        [
            pytest.param("one", UNDONE_AT_ONCE, id="after a quiet time"),
            pytest.param("another", timedelta(), id="for another subject"),
        ],
    )
    def test_a_conflict_is_a_first_one(self, subject: str, gap: timedelta) -> None:
        """It is retried at once."""
        writes = Writes()
        for _ in range(CONFLICTS_AT_ONCE - 1):
            writes = conflicted(writes, timedelta())

        assert conflicted(writes, gap, subject).pending(subject, NOW + gap) is None

    def test_a_conflict_after_a_denied_write_is_a_first_one(self) -> None:
        """The one that denied it is not the program that changes the Secret."""
        writes = Writes()
        for _ in range(CONFLICTS_AT_ONCE):
            writes = after_failed_write(writes, SecretWriteDenied("quota"), subject="one", bounds=BOUNDS)

        assert conflicted(writes, timedelta()).pending("one", NOW) is None


class TestMessages:
    """What is reported."""

    def test_a_conflict_names_the_secret_and_the_writers(self) -> None:
        """It also says how to find them if they are not known."""
        assert "another program (labeller, robot) had changed it" in contended(KEY, ["labeller", "robot"]).message
        assert f"kubectl get secret {KEY.name} -n {KEY.namespace} --show-managed-fields" in contended(KEY, []).message
        assert "another program had changed it" in contended(KEY, []).message

    @pytest.mark.parametrize(
        "message",
        [
            contended(KEY, [ANOTHER_RELEASE]).message,
            undone_message(f"data.api_token is another value (set by {ANOTHER_RELEASE})", 3),
        ],
        ids=["conflict", "undone"],
    )
    def test_another_release_is_stopped_differently(self, message: str) -> None:
        """It is not a program that the owner of the namespace can find."""
        assert ANOTHER_RELEASE in message
        assert message.endswith(
            "Let one release only watch this namespace: helm list --all-namespaces shows the releases, and the value "
            "watchNamespaces of each lists its namespaces"
        )

    def test_a_copy_that_is_created_again_is_named_with_its_writer(self) -> None:
        """Its creator is asked to leave the owner reference out."""
        message = recreated_message("copy", ["replicator"], 4)

        assert 'Another program (replicator) creates Secret "copy" again at once' in message
        assert "removed such Secrets 4 times in a row" in message
        assert "copying metadata.ownerReferences" in message
