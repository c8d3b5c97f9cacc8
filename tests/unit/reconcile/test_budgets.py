"""What a tenant can provoke at will is paced for each namespace: repairs of its Secrets, and requests by annotation."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pipedrive_operator.core.decision.timings import CONFLICT_RECHECK
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.names import ANNOTATION_REQUESTED_AT, Key
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.reconcile.observer import FOREIGN_READ_BURST
from support.builders import API_TOKEN_SPEC, KEY, resource
from support.faked_operator import FakedOperator, seeded_world

OTHER = Key(namespace=KEY.namespace, name="other")


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakedOperator]:
    """Give a world with two published Secrets in a namespace whose budgets are one repair and one request at once."""
    monkeypatch.setattr("pipedrive_operator.reconcile.publisher.REPAIR_BURST", 1)
    monkeypatch.setattr("pipedrive_operator.reconcile.observer.REQUEST_BURST", 1)
    async for made in seeded_world():
        for key in (KEY, OTHER):
            made.cluster.apply(resource(API_TOKEN_SPEC, name=key.name))
            await made.settle(key)
        yield made


async def test_first_publications_use_no_budget_of_repairs(world: FakedOperator) -> None:
    """A restart with a thousand credentials publishes all of them at once."""
    assert {KEY, OTHER} == set(world.cluster.secrets)


async def test_repairs_beyond_the_budget_wait_for_their_turn(world: FakedOperator) -> None:
    """The status says why, and the repair follows."""
    for key in (KEY, OTHER):
        world.cluster.delete_secret(key)
        await world.settle(key)
    assert {KEY} == set(world.cluster.secrets)

    outcome = await world.reconcile(OTHER)
    assert outcome.reason == "SecretWriteDenied"
    assert outcome.until is not None
    assert outcome.until <= world.clock.now() + timedelta(seconds=2)
    world.clock.turn_to(outcome.until)
    outcome = await world.settle(OTHER)

    assert {KEY, OTHER} == set(world.cluster.secrets)
    assert ("Published", True) == (outcome.reason, outcome.ready)


async def test_a_postponed_repair_is_not_postponed_again(world: FakedOperator) -> None:
    """This holds however many Secrets of the namespace are changed in the meantime."""
    for key in (KEY, OTHER):
        world.cluster.delete_secret(key)
        await world.settle(key)
    for _ in range(20):
        world.reconciler._publisher._repairs.reserve(KEY.namespace, world.clock.monotonic())  # noqa: SLF001  others' repairs
    world.clock.turn(timedelta(seconds=2))

    await world.settle(OTHER)

    assert OTHER in world.cluster.secrets


async def test_removals_of_a_copy_that_is_created_again_use_the_budget_of_repairs(world: FakedOperator) -> None:
    """A first removal uses none of it; a repeated one waits for its turn."""
    for _ in range(3):
        body = world.cluster.secrets[KEY]
        copied = {name: value for name, value in body["metadata"].items() if name not in {"uid", "resourceVersion"}}
        world.cluster.put_secret({**body, "metadata": copied | {"name": "copy"}})
        await world.settle()
    assert 2 == world.cluster.writes.count("delete secret copy")
    assert "Secret copy was created again, like many others of this namespace" in world.message(ConditionType.READY)

    world.clock.turn(timedelta(seconds=2))
    await world.settle()

    assert {KEY, OTHER} == set(world.cluster.secrets)


async def test_requests_beyond_the_budget_wait_for_their_turn(world: FakedOperator) -> None:
    """One annotation a second on each of three thousand credentials would be as many reads of Vault."""
    reads = len(world.vault.reads)
    for key in (KEY, OTHER):
        annotations = {ANNOTATION_REQUESTED_AT: "now"}
        world.cluster.apply(resource(API_TOKEN_SPEC, name=key.name, annotations=annotations))
        await world.settle(key)
    assert reads + 1 == len(world.vault.reads)

    outcome = await world.reconcile(OTHER)
    assert outcome.until is not None
    assert outcome.until <= world.clock.now() + timedelta(seconds=1)
    world.clock.turn_to(outcome.until)
    await world.settle(OTHER)

    assert reads + 2 == len(world.vault.reads)
    assert ("True", "Published") == world.condition(ConditionType.READY)


async def test_reads_of_foreign_secrets_have_a_budget(world: FakedOperator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of credentials may name the same Secret of a megabyte, and each looks at it every minute."""
    reads: list[Key] = []
    read = world.cluster.read

    async def counted(key: Key) -> TargetSecret | None:
        reads.append(key)
        return await read(key)

    monkeypatch.setattr(world.cluster, "read", counted)
    taken = {"metadata": {"namespace": KEY.namespace, "name": "taken"}, "data": {}}
    world.cluster.put_secret(taken, is_watched=False)
    names = [f"wants-it-{number:03}" for number in range(FOREIGN_READ_BURST + 20)]
    for name in names:
        world.cluster.apply(resource(API_TOKEN_SPEC | {"target": {"name": "taken"}}, name=name))
        await world.settle(Key(namespace=KEY.namespace, name=name))
    assert FOREIGN_READ_BURST == len(reads)

    world.clock.turn(CONFLICT_RECHECK)
    for name in names:
        await world.settle(Key(namespace=KEY.namespace, name=name))

    assert 2 * FOREIGN_READ_BURST == len(reads)
