"""Another program that undoes each repair at once: repairs become rarer, and the credential names the program."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from fakes.merge_patch import merged
from fakes.pipedrive import FakePipedrive
from fakes.vault import FakeVault
from pipedrive_operator.core.decision.writes import REPAIRS_AT_ONCE
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import ANNOTATION_DIGEST, FIELD_MANAGER, Key
from pipedrive_operator.core.values.conditions import ConditionType
from support.builders import ACCOUNT, API_TOKEN_SPEC, KEY, TIMINGS, TOKEN_LOCATION, resource
from support.faked_operator import FIRST, FakedOperator, published_world

SPEC = API_TOKEN_SPEC | {"target": {"labels": {"team": "crm"}}}


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a world with a published Secret."""
    async for made in published_world(SPEC):
        yield made


def relabel(world: FakedOperator) -> None:
    """Change the label back, as another controller does on each event of the watch."""
    body = world.cluster.secrets[KEY]
    if body["metadata"]["labels"]["team"] != "crm":
        return
    managed: list[dict[str, Any]] = [
        {"manager": "labeller", "fieldsV1": {"f:metadata": {"f:labels": {"f:team": {}}}}},
        {"manager": FIELD_MANAGER, "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{ANNOTATION_DIGEST}": {}}}}},
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


COPY = Key(namespace=KEY.namespace, name="copy")


def replicate(world: FakedOperator) -> None:
    """Create a copy with our label and our owner reference if there is none, as a replicator does."""
    if COPY in world.cluster.secrets:
        return
    body = world.cluster.secrets[KEY]
    copied = {name: value for name, value in body["metadata"].items() if name not in {"uid", "resourceVersion"}}
    managed = managed_by("replicator", body)
    world.cluster.put_secret({**body, "metadata": copied | {"name": COPY.name, "managedFields": managed}})


def managed_by(manager: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Build managedFields which say that a program set each annotation and each data key."""
    annotations: dict[str, Any] = {f"f:{name}": {} for name in body["metadata"]["annotations"]}
    data: dict[str, Any] = {f"f:{name}": {} for name in body["data"]}
    return [{"manager": manager, "fieldsV1": {"f:metadata": {"f:annotations": annotations}, "f:data": data}}]


async def test_a_copy_that_is_created_again_is_deleted_ever_more_rarely(world: FakedOperator) -> None:
    """The replicator may act a hundred times a second, and each of its copies causes a pass."""
    undone = 0
    for _ in range(300):
        replicate(world)
        undone += (await world.reconcile()).has_undone_repair
        world.clock.turn(timedelta(milliseconds=10))

    deleted = world.cluster.writes.count("delete secret copy")
    assert REPAIRS_AT_ONCE < deleted < 10
    assert undone == deleted - 1


async def test_the_status_names_the_program_that_creates_a_copy_again(world: FakedOperator) -> None:
    """An Event reports it too, and the Secret itself is repaired meanwhile."""
    for _ in range(REPAIRS_AT_ONCE + 1):
        replicate(world)
        await world.settle()

    assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)
    assert 'Another program (replicator) creates Secret "copy" again at once' in ready(world)
    assert ["OrphanDeleted", "SecretWriteDenied"] == [event.reason for event in world.cluster.events]
    replicate(world)
    world.cluster.delete_secret(KEY)
    await world.settle()
    assert {KEY, COPY} == set(world.cluster.secrets)


async def test_a_replicator_that_stopped_is_forgotten(world: FakedOperator) -> None:
    """The last copy is deleted after the pause, and Ready is True again after the next one."""
    for _ in range(REPAIRS_AT_ONCE + 2):
        replicate(world)
        await world.settle()
    for _ in range(2):
        world.clock.turn(timedelta(minutes=1))
        await world.settle()

    assert {KEY} == set(world.cluster.secrets)
    assert ("True", "Published") == world.condition(ConditionType.READY)


async def test_a_person_may_rename_the_target_again_and_again(world: FakedOperator) -> None:
    """Each new generation leaves one Secret behind, and removing it repeats nothing."""
    for generation in range(2, 8):
        spec = API_TOKEN_SPEC | {"target": {"name": f"name-{generation}"}}
        world.cluster.apply(resource(spec, generation=generation))
        await world.settle()

    assert ["name-7"] == [key.name for key in world.cluster.secrets]
    assert ("True", "Published") == world.condition(ConditionType.READY)


def second_release(first: FakedOperator, token: str) -> FakedOperator:
    """Run another release on the same cluster, with a Vault of its own that holds another token."""
    second = FakedOperator()
    second.clock, second.cluster, second.vault = first.clock, first.cluster, FakeVault(first.clock)
    second.pipedrive = FakePipedrive(first.clock, accounts={token: ACCOUNT})
    second.vault.put(TOKEN_LOCATION, api_token=token)
    first.cluster.watchers.append(second._see)  # noqa: SLF001  it sees what the first one sees
    second.start()
    return second


async def test_two_releases_that_watch_one_namespace_write_rarely_and_name_each_other(world: FakedOperator) -> None:
    """Both have the same field manager, so the name alone does not distinguish them."""
    world.cluster.admission = lambda body: merged(
        body, {"metadata": {"managedFields": managed_by(FIELD_MANAGER, body)}}
    )
    releases = (world, second_release(world, "b" * 40))
    world.cluster.apply(resource(SPEC, generation=2))
    end = world.clock.now() + timedelta(minutes=10)

    while world.clock.now() < end:
        for release in releases:
            await release.reconcile()
        world.clock.turn(timedelta(milliseconds=500))

    assert len([write for write in world.cluster.writes if "secret" in write]) < 50
    assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)
    assert "data.api_token is another value (set by another release of this operator)" in ready(world)
    assert "Let one release only watch this namespace" in ready(world)
