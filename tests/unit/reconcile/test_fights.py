"""Another program that undoes each repair at once: repairs become rarer, and the credential names the program."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from fakes.merge_patch import merged
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.values.conditions import ConditionType
from support.builders import API_TOKEN_SPEC, KEY, TIMINGS, resource
from support.faked_operator import FIRST, FakedOperator, seeded_world

SPEC = API_TOKEN_SPEC | {"target": {"labels": {"team": "crm"}}}


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a world with a published Secret."""
    async for made in seeded_world():
        made.cluster.apply(resource(SPEC))
        await made.settle()
        made.cluster.writes.clear()
        yield made


def relabel(world: FakedOperator) -> None:
    """Change the label back, as another controller does on each event of the watch."""
    body = world.cluster.secrets[KEY]
    if body["metadata"]["labels"]["team"] != "crm":
        return
    ours = [*body["metadata"]["labels"], "pipedrive-operator.io/digest"]
    managed: list[dict[str, Any]] = [
        {"manager": "labeller", "fieldsV1": {"f:metadata": {"f:labels": {"f:team": {}}}}},
        {"manager": "pipedrive-operator", "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{ours[-1]}": {}}}}},
    ]
    world.cluster.put_secret(merged(body, {"metadata": {"labels": {"team": "platform"}, "managedFields": managed}}))


def ready(world: FakedOperator) -> str:
    """Return the message of Ready."""
    found = read_credential(world.cluster.credentials[KEY]).status.condition(ConditionType.READY)
    assert found is not None
    return found.message


async def fight(world: FakedOperator, length: timedelta) -> int:
    """Undo every repair at once for some time; return how many repairs there were."""
    end = world.clock.now() + length
    while world.clock.now() < end:
        relabel(world)
        outcome = await world.settle()
        assert outcome.until is not None
        secret = world.cluster.secret(KEY)
        assert secret is not None
        if secret.labels["team"] == "platform" or outcome.reason == "SecretWriteDenied":
            world.clock.turn(max(outcome.until - world.clock.now(), timedelta(milliseconds=10)))
        else:
            world.clock.turn(timedelta(milliseconds=10))
    return len([write for write in world.cluster.writes if "secret" in write])


async def test_repairs_that_are_undone_at_once_become_rarer(world: FakedOperator) -> None:
    """There are as many in an hour as there were in the first quarter of a second."""
    assert await fight(world, timedelta(hours=1)) < 40


async def test_the_status_names_the_program_that_undoes_repairs(world: FakedOperator) -> None:
    """It names the field manager that the API server records."""
    await fight(world, timedelta(minutes=10))

    assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)
    assert "metadata.labels.team is platform, but spec.target.labels.team asks for crm (set by labeller)" in ready(
        world
    )
    assert ["SecretWriteDenied"] == [event.reason for event in world.cluster.events]
    assert FIRST == world.value("api_token")


async def test_a_fight_that_is_over_is_forgotten(world: FakedOperator) -> None:
    """The last repair stays, and Ready is True again once the pause has passed."""
    await fight(world, timedelta(minutes=10))
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()
    world.clock.turn(TIMINGS.poll_interval)
    await world.settle()

    assert ("True", "Published") == world.condition(ConditionType.READY)
    relabel(world)
    await world.settle()
    assert ("True", "Published") == world.condition(ConditionType.READY)


async def test_occasional_edits_by_a_person_are_repaired_at_once(world: FakedOperator) -> None:
    """Minutes lie between the edits, so it is no fight."""
    for _ in range(10):
        relabel(world)
        await world.settle()
        assert ("True", "Published") == world.condition(ConditionType.READY)
        world.clock.turn(timedelta(minutes=1))


async def test_a_secret_that_is_deleted_again_and_again_is_restored_ever_more_rarely(world: FakedOperator) -> None:
    """A clean-up job may fight as well as a label does."""
    for _ in range(3):
        world.cluster.delete_secret(KEY)
        await world.settle()

    assert "it was deleted" in ready(world)
    world.cluster.delete_secret(KEY)
    await world.settle()
    assert world.cluster.secret(KEY) is None


async def test_a_repeated_repair_is_counted(world: FakedOperator) -> None:
    """The metric secret_repairs_undone_total shows it."""
    relabel(world)
    await world.settle()
    relabel(world)

    outcome = await world.reconciler.reconcile(KEY)

    assert outcome is not None
    assert outcome.has_undone_repair
