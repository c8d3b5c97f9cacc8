"""What the memory keeps of writes and restarts."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.decision.memory import (
    REPAIRS_AT_ONCE,
    UNDONE_AT_ONCE,
    Memory,
    after_failed_write,
    after_restart,
    after_write,
)
from pipedrive_operator.core.decision.retry import RetryBounds
from pipedrive_operator.core.publication.rollout import RestartState, Result
from pipedrive_operator.core.resource.workload import WorkloadKind, WorkloadReference
from pipedrive_operator.core.values.conditions import Reason
from pipedrive_operator.core.values.errors import SecretWriteDenied
from support.builders import NOW

BOUNDS = RetryBounds(now=NOW, slow=timedelta(hours=1))
TOKEN_MEMORY = Memory(uid="uid")


class TestWrites:
    """Writes of the Secret that failed, and those that did not last."""

    def test_a_failed_write_is_about_one_desired_secret(self) -> None:
        """Another one is tried at once."""
        memory = after_failed_write(TOKEN_MEMORY, SecretWriteDenied("quota"), subject="one", bounds=BOUNDS)

        assert memory.publish_failure is not None
        assert memory.publish_failure.stands("one", NOW)
        assert not memory.publish_failure.stands("another", NOW)

    @pytest.mark.parametrize(
        ("gaps", "is_fight"),
        [
            pytest.param([1] * REPAIRS_AT_ONCE, True, id="undone at once"),
            pytest.param([1] * (REPAIRS_AT_ONCE - 1), False, id="too few"),
            pytest.param([1, 1, UNDONE_AT_ONCE.total_seconds(), 1], False, id="with a quiet time between"),
        ],
    )
    def test_repairs_that_are_undone_at_once_are_paused(self, gaps: list[float], *, is_fight: bool) -> None:
        """The message says what is undone."""
        now = NOW
        memory = after_write(TOKEN_MEMORY, "one", "label x", bounds=BOUNDS)
        for gap in gaps:
            now += timedelta(seconds=gap)
            memory = after_write(memory, "one", "label x", bounds=replace(BOUNDS, now=now))

        assert (memory.publish_failure is not None) is is_fight
        if memory.publish_failure is not None:
            assert Reason.SECRET_WRITE_DENIED is memory.publish_failure.trouble.reason
            assert "label x" in memory.publish_failure.trouble.message

    def test_another_content_is_no_repair(self) -> None:
        """No matter how often the token changes."""
        memory = TOKEN_MEMORY
        for number in range(10):
            memory = after_write(memory, str(number), "data.api_token", bounds=BOUNDS)

        assert (0, None) == (memory.repairs, memory.publish_failure)


def test_the_last_state_of_a_workload_replaces_the_one_before() -> None:
    """Those of other workloads stay."""
    web, jobs = (WorkloadReference(kind=WorkloadKind.DEPLOYMENT, name=name) for name in ("web", "jobs"))
    memory = TOKEN_MEMORY
    for reference, result in ((web, Result.FAILED), (jobs, Result.DENIED), (web, Result.RESTARTED)):
        memory = after_restart(memory, RestartState(reference=reference, revision="1", result=result))

    assert [(jobs, Result.DENIED), (web, Result.RESTARTED)] == [
        (state.reference, state.result) for state in memory.restart_states
    ]
