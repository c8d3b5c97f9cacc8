"""One operator on fakes that may restart two workloads, and the verbs of its tests."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.workload import WorkloadKind, WorkloadReference
from pipedrive_operator.core.values.conditions import ConditionType
from support.builders import ACCOUNT, API_TOKEN_SPEC, KEY, TIMINGS, TOKEN_LOCATION, resource
from support.faked_operator import FakedOperator, seeded_world

WEB = WorkloadReference(kind=WorkloadKind.DEPLOYMENT, name="web")
JOBS = WorkloadReference(kind=WorkloadKind.STATEFUL_SET, name="jobs")
INTERVAL = timedelta(minutes=10)


async def world_with_workloads() -> AsyncIterator[FakedOperator]:
    """Provide a seeded world that allows rollouts, with two workloads that allow them, too."""
    async for made in seeded_world():
        made.timings = replace(TIMINGS, restart_interval=INTERVAL)
        made.start()
        made.workloads.put(WEB)
        made.workloads.put(JOBS)
        yield made


def rollout(*targets: WorkloadReference, on_refresh: bool = False) -> dict[str, Any]:
    """Build the part of a spec that names workloads to restart."""
    named = [{"kind": str(target.kind), "name": target.name} for target in targets or (WEB, JOBS)]
    return {"rollout": {"targets": named, "onRefresh": on_refresh}}


def put_token(world: FakedOperator, value: str) -> None:
    """Write another API token to Vault; the next poll finds it."""
    world.vault.put(TOKEN_LOCATION, api_token=value * 40)
    world.pipedrive.accounts[value * 40] = ACCOUNT
    world.clock.turn(TIMINGS.poll_interval)


async def published(world: FakedOperator, **spec: Any) -> None:
    """Publish an API token for these workloads."""
    world.cluster.apply(resource(API_TOKEN_SPEC | rollout() | spec))
    await world.settle()


def ready_message(world: FakedOperator) -> str:
    """Return the message of Ready, which must be True."""
    found = read_credential(world.cluster.credentials[KEY]).status.condition(ConditionType.READY)
    assert found is not None
    assert "True" == found.status.value
    return found.message


def revive(world: FakedOperator) -> None:
    """Restart the operator, with caches filled from the cluster."""
    for body in world.cluster.credentials.values():
        world.cache.see_credential("MODIFIED", body)
    world.start()
