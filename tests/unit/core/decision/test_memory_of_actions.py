"""What the memory keeps of restarts."""

from pipedrive_operator.core.decision.memory import Memory, after_restart
from pipedrive_operator.core.publication.rollout import RestartState, Result
from pipedrive_operator.core.resource.workload import WorkloadKind, WorkloadReference


def test_the_last_state_of_a_workload_replaces_the_one_before() -> None:
    """Those of other workloads stay."""
    web, jobs = (WorkloadReference(kind=WorkloadKind.DEPLOYMENT, name=name) for name in ("web", "jobs"))
    memory = Memory(uid="uid")
    for reference, result in ((web, Result.FAILED), (jobs, Result.DENIED), (web, Result.RESTARTED)):
        memory = after_restart(memory, RestartState(reference=reference, revision="1", result=result))

    assert [(jobs, Result.DENIED), (web, Result.RESTARTED)] == [
        (state.reference, state.result) for state in memory.restart_states
    ]
