"""The reconciler with fake ports: when workloads are restarted, and how often."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.resource.workload import WorkloadReference
from pipedrive_operator.core.values.errors import ApiServerUnavailable, FenceClosed, WorkloadDenied
from support.builders import (
    ACCOUNT,
    API_TOKEN_SPEC,
    GRANT_LOCATION,
    KEY,
    OAUTH2_SPEC,
    TIMINGS,
    TOKEN_LOCATION,
    resource,
)
from support.faked_operator import FakedOperator
from support.rolled_out import (
    INTERVAL,
    JOBS,
    WEB,
    published,
    put_token,
    ready_message,
    revive,
    rollout,
    world_with_workloads,
)

HOUR = timedelta(hours=1)


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a seeded world with two workloads."""
    async for made in world_with_workloads():
        yield made


async def test_a_first_publication_does_not_read_workloads(world: FakedOperator) -> None:
    """They are not restarted either, and cause no additional write."""
    await published(world)

    assert ([], []) == (world.workloads.reads, world.workloads.restarts)
    assert ["create secret acme", "patch status"] == world.cluster.writes


async def test_a_new_value_restarts_each_workload_once(world: FakedOperator) -> None:
    """It happens after the Secret is written and before the status, and never again for the same value."""
    await published(world)
    put_token(world, "b")

    outcome = await world.reconcile()
    again = await world.settle()

    assert ("publish", "restart") == outcome.actions
    assert (("restarted", "restarted"), ()) == (outcome.restarts, again.restarts)
    assert [WEB, JOBS] == world.workloads.restarts
    assert [] == world.cluster.events


async def test_a_restart_of_the_operator_reads_no_workload(world: FakedOperator) -> None:
    """The status records what they have seen."""
    await published(world)
    put_token(world, "b")
    await world.settle()
    world.workloads.reads.clear()
    revive(world)

    await world.settle()

    assert [] == world.workloads.reads


async def test_two_changes_within_a_second_are_two_revisions(world: FakedOperator) -> None:
    """The annotation is a digest of what is published, and not a time."""
    world.timings = replace(TIMINGS, restart_interval=timedelta(microseconds=1))
    world.start()
    await published(world, **rollout(WEB))
    seen = []
    for value in "bc":
        world.vault.put(TOKEN_LOCATION, api_token=value * 40)
        world.pipedrive.accounts[value * 40] = ACCOUNT
        world.cluster.apply(
            resource(API_TOKEN_SPEC | rollout(WEB), annotations={"pipedrive-operator.io/requested-at": value})
        )
        await world.settle()
        seen.append(world.workloads.template(WEB)["rollout.pipedrive-operator.io/acme"])
        world.clock.turn(timedelta(microseconds=1))

    assert (2, 2) == (len(set(seen)), len(world.workloads.restarts))


async def test_a_refresh_restarts_nothing(world: FakedOperator) -> None:
    """A workload that needs every token asks for `onRefresh`."""
    world.cluster.apply(resource(OAUTH2_SPEC | rollout()))
    await world.settle()
    world.clock.turn(HOUR)
    await world.settle()

    assert "access-2" == world.value("access_token")
    assert ([], []) == (world.workloads.reads, world.workloads.restarts)


async def test_a_refresh_restarts_where_it_is_wanted(world: FakedOperator) -> None:
    """Each refresh restarts it once, and the first publication does not."""
    world.cluster.apply(resource(OAUTH2_SPEC | rollout(WEB, on_refresh=True)))
    await world.settle()
    for _ in range(2):
        world.clock.turn(HOUR)
        await world.settle()

    assert "access-3" == world.value("access_token")
    assert [WEB, WEB] == world.workloads.restarts


@pytest.mark.parametrize(("user_id", "expected"), [(ACCOUNT.user_id, []), (ACCOUNT.user_id + 1, [WEB])])
async def test_a_new_consent_counts_as_a_refresh_unless_another_user_gave_it(
    world: FakedOperator, user_id: int, expected: list[WorkloadReference]
) -> None:
    """Of all published values, only the token shows it."""
    world.cluster.apply(resource(OAUTH2_SPEC | rollout(WEB)))
    await world.settle()
    answer = {"scope": "base,deals:full", "api_domain": "https://acme.pipedrive.com", "expires_in": 3600}
    world.vault.put(GRANT_LOCATION, refresh_token="other", access_token="consented", **answer)
    world.pipedrive.accounts["consented"] = replace(ACCOUNT, user_id=user_id)
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()

    assert "consented" == world.value("access_token")
    assert expected == world.workloads.restarts


async def test_a_repaired_secret_restarts_nothing(world: FakedOperator) -> None:
    """The desired values have not changed."""
    await published(world)
    body = world.cluster.secrets[KEY]
    world.cluster.put_secret(body | {"data": {"api_token": "eA=="}})

    await world.settle()

    assert "a" * 40 == world.value("api_token")
    assert [] == world.workloads.reads


async def test_changes_in_quick_succession_are_one_restart_more(world: FakedOperator) -> None:
    """The second waits for the interval, and then has the newest value; nothing is read meanwhile."""
    await published(world, **rollout(WEB))
    put_token(world, "b")
    await world.settle()
    put_token(world, "c")
    outcome = await world.settle()
    assert "and the next restart comes 10m after that" in ready_message(world)
    restart_at = world.clock.now() + INTERVAL - TIMINGS.poll_interval
    reads = len(world.workloads.reads)
    assert outcome.until is not None
    world.clock.turn_to(outcome.until)  # the next read of Vault
    outcome = await world.settle()
    assert outcome.until == restart_at
    assert (reads, [WEB]) == (len(world.workloads.reads), world.workloads.restarts)

    world.clock.turn_to(outcome.until)
    await world.settle()

    assert [WEB, WEB] == world.workloads.restarts
    assert "restarted" not in ready_message(world)


async def test_a_change_taken_back_within_the_interval_restarts_nothing(world: FakedOperator) -> None:
    """The workload has already seen the value that is published again."""
    world.timings = replace(TIMINGS, restart_interval=HOUR)
    world.start()
    await published(world, **rollout(WEB))
    for value in "bcb":
        put_token(world, value)
        await world.settle()
    world.clock.turn(HOUR)
    await world.settle()

    assert "b" * 40 == world.value("api_token")
    assert [WEB] == world.workloads.restarts


async def test_a_workload_that_forbids_restarts_is_reported_and_restarted_once_it_allows_them(
    world: FakedOperator,
) -> None:
    """The credential stays ready, one Event is recorded, and the other workload is not kept waiting."""
    world.workloads.put(WEB, allows="")
    await published(world)
    put_token(world, "b")
    await world.settle()
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()

    assert [JOBS] == world.workloads.restarts
    assert "Deployment web was not restarted: its owner has not allowed it" in ready_message(world)
    assert [("RolloutDenied", True)] == [(event.reason, event.warning) for event in world.cluster.events]

    world.workloads.put(WEB)
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()

    assert [JOBS, WEB] == world.workloads.restarts
    assert "restarted" not in ready_message(world)


async def test_a_denied_restart_is_reported_once_although_the_status_changes(world: FakedOperator) -> None:
    """The status changes with every refresh."""
    world.workloads.put(WEB, allows="")
    world.cluster.apply(resource(OAUTH2_SPEC | rollout(WEB)))
    await world.settle()
    data = {"target": {"data": {"token": "$(access_token)"}}}
    world.cluster.apply(resource(OAUTH2_SPEC | rollout(WEB) | data, generation=2))
    await world.settle()
    world.clock.turn(timedelta(minutes=50))
    await world.settle()

    assert "access-2" == world.value("token")
    assert ["RolloutDenied"] == [event.reason for event in world.cluster.events]


async def test_a_denied_restart_is_not_reported_again_after_a_restart_of_the_operator(world: FakedOperator) -> None:
    """The message is the same, so neither the status nor an Event is written."""
    world.workloads.put(WEB, allows="")
    await published(world)
    put_token(world, "b")
    await world.settle()
    writes = list(world.cluster.writes)
    revive(world)

    await world.settle()

    assert (writes, 1) == (world.cluster.writes, len(world.cluster.events))


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (WorkloadDenied("deployments.apps is forbidden"), "deployments.apps is forbidden. Allow the operator"),
        (ApiServerUnavailable("the API server responded 500: webhook"), "the API server responded 500: webhook"),
    ],
)
async def test_a_failed_restart_is_reported_and_blocks_nothing_else(
    world: FakedOperator, trouble: WorkloadDenied | ApiServerUnavailable, said: str
) -> None:
    """The value is published, verified and reported all the same."""
    await published(world, **rollout(WEB))
    world.workloads.breaks = trouble
    put_token(world, "b")
    await world.settle()
    assert said in ready_message(world)
    assert "b" * 40 == world.value("api_token")

    world.workloads.breaks = None
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()

    assert [WEB] == world.workloads.restarts
    assert said not in ready_message(world)


async def test_a_lost_acknowledgement_leads_to_one_restart(world: FakedOperator) -> None:
    """The workload's annotation proves the restart."""
    await published(world, **rollout(WEB))
    world.workloads.loses_acknowledgements = True
    put_token(world, "b")
    await world.settle()
    world.workloads.loses_acknowledgements = False
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()

    assert [WEB] == world.workloads.restarts
    assert "restarted" not in ready_message(world)


async def test_a_workload_that_was_changed_in_between_is_read_again(world: FakedOperator) -> None:
    """A controller writes to it often."""
    changes = iter([WEB, WEB])
    world.workloads.before_patch = lambda: world.workloads.touch(WEB) if next(changes, None) else None
    await published(world, **rollout(WEB))
    put_token(world, "b")
    await world.settle()

    assert (3, [WEB]) == (len(world.workloads.reads), world.workloads.restarts)


async def test_a_missing_workload_is_reported_by_an_event(world: FakedOperator) -> None:
    """Nothing waits for it: once created, it starts with what is published then."""
    del world.workloads.objects[WEB]
    await published(world)
    put_token(world, "b")
    await world.settle()
    world.workloads.put(WEB)
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()

    assert [JOBS] == world.workloads.restarts
    assert ["RolloutDenied"] == [event.reason for event in world.cluster.events]
    assert "it does not exist" in world.cluster.events[0].message


async def test_settings_that_disable_restarts_are_reported(world: FakedOperator) -> None:
    """No workload is read, and enabling restarts later does not catch up on any."""
    await published(world)
    world.timings = TIMINGS
    revive(world)
    put_token(world, "b")
    await world.settle()
    assert "rollout.enabled is off" in ready_message(world)
    assert ["RolloutDenied"] == [event.reason for event in world.cluster.events]
    world.timings = replace(TIMINGS, restart_interval=INTERVAL)
    revive(world)
    await world.settle()
    assert [] == world.workloads.reads

    put_token(world, "c")
    await world.settle()

    assert [WEB, JOBS] == world.workloads.restarts


async def test_a_suspended_credential_restarts_nothing(world: FakedOperator) -> None:
    """It writes nothing else, either."""
    world.workloads.put(WEB, allows="")
    await published(world)
    put_token(world, "b")
    await world.settle()
    world.workloads.put(WEB)
    world.cluster.apply(resource(API_TOKEN_SPEC | rollout() | {"suspend": True}, generation=2))
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()

    assert [JOBS] == world.workloads.restarts


async def test_a_process_that_no_longer_leads_restarts_nothing(world: FakedOperator) -> None:
    """It may have lost the Lease while the workload was read."""
    await published(world, **rollout(WEB))
    put_token(world, "b")
    read = world.workloads.read

    async def slow(namespace: str, reference: WorkloadReference) -> Any:
        world.leadership.seconds = 0
        return await read(namespace, reference)

    world.workloads.read = slow  # type: ignore[method-assign]  # one that takes its time
    with pytest.raises(FenceClosed):
        await world.settle()

    assert [] == world.workloads.restarts
