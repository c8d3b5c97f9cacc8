"""A program that changes a Secret, or its credential, faster than a pass reads and writes them."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from fakes.merge_patch import merged
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.errors import ApiServerUnavailable, SecretChanged, SecretExists, SecretWriteDenied
from pipedrive_operator.reconcile.reconciler import MOST_REPETITIONS
from support.builders import KEY, OAUTH2_SPEC, resource
from support.faked_operator import FakedOperator, published_world

SPEC = OAUTH2_SPEC | {"target": {"labels": {"team": "crm"}}}
DUE = timedelta(minutes=59)
"""A minute before the published token expires."""


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a world with a published Secret."""
    async for made in published_world(SPEC):
        yield made


def replace_method(world: FakedOperator, name: str, method: object) -> None:
    """Let something else answer a request of the operator."""
    setattr(world.cluster, name, method)


def relabel(world: FakedOperator, number: object, *, is_watched: bool = False) -> None:
    """Change our label to another value."""
    entry = {"manager": "labeller", "fieldsV1": {"f:metadata": {"f:labels": {"f:team": {}}}}}
    changes = {"metadata": {"labels": {"team": f"x{number}"}, "managedFields": [entry]}}
    world.cluster.put_secret(merged(world.cluster.secrets[KEY], changes), is_watched=is_watched)


def relabel_before_each_write(world: FakedOperator) -> None:
    """Change the Secret between each read and its write: the write then names an older resourceVersion."""
    patch, numbers = world.cluster.patch, count()

    async def outrun(key: Key, body: Mapping[str, Any]) -> TargetSecret:
        relabel(world, next(numbers))
        return await patch(key, body)

    replace_method(world, "patch", outrun)
    relabel(world, "first", is_watched=True)


def relabel_after_each_write(world: FakedOperator) -> None:
    """Undo each write before the pass looks again."""
    patch, numbers = world.cluster.patch, count()

    async def undone(key: Key, body: Mapping[str, Any]) -> TargetSecret:
        written = await patch(key, body)
        relabel(world, next(numbers), is_watched=True)
        return written

    replace_method(world, "patch", undone)
    relabel(world, "first", is_watched=True)


def take_the_name_while_it_is_free(world: FakedOperator) -> None:
    """Create a Secret of that name before each creation, and delete it before it can be read."""

    async def taken(_: Mapping[str, Any]) -> TargetSecret:
        world.cluster.write("create secret acme")
        raise SecretExists(str(KEY))

    replace_method(world, "create", taken)
    world.cluster.delete_secret(KEY)


def refuse_to_read(world: FakedOperator) -> None:
    """Fail each read of a Secret."""

    async def unreadable(_: Key) -> TargetSecret:
        raise ApiServerUnavailable("the API server responded 403")

    replace_method(world, "read", unreadable)


def refuse_to_show_a_taken_name(world: FakedOperator) -> None:
    """Leave a Secret of someone else under the name, which the API server does not let the operator read."""
    refuse_to_read(world)
    world.cluster.delete_secret(KEY)
    world.cluster.put_secret({"metadata": {"namespace": KEY.namespace, "name": KEY.name}, "data": {}}, is_watched=False)


def outdate_each_write_and_answer_no_read(world: FakedOperator) -> None:
    """Refuse each write as outdated, and fail each read, so that nothing newer is known."""

    async def outdated(*_: object) -> TargetSecret:
        world.cluster.write("patch secret acme")
        raise SecretChanged(str(KEY))

    refuse_to_read(world)
    replace_method(world, "patch", outdated)
    relabel(world, "first", is_watched=True)


def deny(world: FakedOperator) -> None:
    """Deny each write."""
    world.cluster.breaks_secrets = SecretWriteDenied("exceeded quota")
    world.cluster.delete_secret(KEY)


def edit_the_spec_during_each_write(world: FakedOperator) -> None:
    """Ask for another label before each write is over, so that what should be written is never written."""
    patch, generations = world.cluster.patch, count(2)

    async def outdated(key: Key, body: Mapping[str, Any]) -> TargetSecret:
        generation = next(generations)
        target = {"labels": {"team": f"y{generation}"}}
        world.cluster.apply(resource(OAUTH2_SPEC | {"target": target}, generation=generation))
        return await patch(key, body)

    replace_method(world, "patch", outdated)
    relabel(world, "first", is_watched=True)


UNWRITABLE = [
    relabel_before_each_write,
    relabel_after_each_write,
    take_the_name_while_it_is_free,
    refuse_to_show_a_taken_name,
    outdate_each_write_and_answer_no_read,
    deny,
    edit_the_spec_during_each_write,
]


@pytest.mark.parametrize("hinder", UNWRITABLE)
async def test_a_due_refresh_never_waits_for_a_write_that_cannot_succeed(
    world: FakedOperator, hinder: Callable[[FakedOperator], None]
) -> None:
    """The first pass orders it, it is stored in Vault, and no pass ends as a defect."""
    hinder(world)
    world.clock.turn(DUE)

    outcome = await world.reconciler.reconcile(KEY)
    await world.keeper.drain()

    assert ["seed", "refresh-1"] == world.pipedrive.spent
    assert outcome is not None
    assert "refresh" in outcome.actions
    assert outcome.actions.count("publish") <= MOST_REPETITIONS
    again = await world.reconciler.reconcile(KEY)
    assert again is not None
    assert again.until is not None
    assert not again.ready


async def test_a_secret_that_changes_before_each_write_is_reported_with_the_program_that_changes_it(
    world: FakedOperator,
) -> None:
    """The operator pauses after the third conflict."""
    relabel_before_each_write(world)

    outcome = await world.settle()

    assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)
    message = world.message(ConditionType.READY)
    assert "Secret acme changes faster than the operator can write it" in message
    assert "(labeller)" in message
    assert ["SecretWriteDenied"] == [event.reason for event in world.cluster.events]
    assert ["patch secret acme"] * 3 == [write for write in world.cluster.writes if "secret" in write]
    assert outcome.until is not None
    assert outcome.until > world.clock.now()


async def test_writes_that_find_the_secret_changed_become_rarer(world: FakedOperator) -> None:
    """A busy program costs a few writes in half an hour, although each of its changes causes a pass."""
    relabel_before_each_write(world)
    end = world.clock.now() + timedelta(minutes=30)

    while world.clock.now() < end:
        await world.reconcile()
        world.clock.turn(timedelta(milliseconds=500))

    assert len([write for write in world.cluster.writes if "secret" in write]) < 20


async def test_a_name_that_is_taken_and_free_again_is_tried_ever_more_rarely(world: FakedOperator) -> None:
    """It is a conflict like any other: what the API server refused is gone when it is read."""
    take_the_name_while_it_is_free(world)
    end = world.clock.now() + timedelta(minutes=10)

    while world.clock.now() < end:
        await world.reconcile()
        world.clock.turn(timedelta(milliseconds=500))

    assert len([write for write in world.cluster.writes if "secret" in write]) < 20
    assert "Secret acme changes faster than the operator can write it" in world.message(ConditionType.READY)


async def test_a_due_refresh_does_not_wait_until_a_foreign_secret_can_be_read(world: FakedOperator) -> None:
    """The Secret was seen once, and the API server does not show it any more."""
    world.cluster.delete_secret(KEY)
    world.cluster.put_secret({"metadata": {"namespace": KEY.namespace, "name": KEY.name}, "data": {}}, is_watched=False)
    await world.settle()
    assert ("False", "SecretConflict") == world.condition(ConditionType.READY)
    refuse_to_read(world)
    world.clock.turn(DUE)

    await world.settle()

    assert ["seed", "refresh-1"] == world.pipedrive.spent
    assert ("False", "SecretConflict") == world.condition(ConditionType.READY)


async def test_one_change_between_a_read_and_a_write_costs_no_time(world: FakedOperator) -> None:
    """The same pass reads the Secret again and writes it."""
    patch, changes = world.cluster.patch, iter([None])

    async def outrun_once(key: Key, body: Mapping[str, Any]) -> TargetSecret:
        for _ in changes:
            relabel(world, "once")
        return await patch(key, body)

    replace_method(world, "patch", outrun_once)
    world.clock.turn(timedelta(minutes=1))
    relabel(world, "first", is_watched=True)

    outcome = await world.reconcile()

    assert (("publish", "publish"), True) == (outcome.actions, outcome.ready)
    assert not outcome.has_undone_repair
    assert [] == world.cluster.events


async def test_a_busy_program_that_stops_leaves_nothing_behind(world: FakedOperator) -> None:
    """The next write succeeds, and a later conflict is a first one again."""
    patch = world.cluster.patch
    relabel_before_each_write(world)
    outcome = await world.settle()
    replace_method(world, "patch", patch)
    assert outcome.until is not None
    world.clock.turn_to(outcome.until)

    outcome = await world.settle()
    assert outcome.ready
    assert ("True", "Published") == world.condition(ConditionType.READY)


async def test_a_spec_that_changes_during_each_write_ends_the_pass_and_is_followed(world: FakedOperator) -> None:
    """The next pass comes soon, and no earlier change keeps it waiting."""
    edit_the_spec_during_each_write(world)

    outcome = await world.reconcile()

    assert ("publish",) * MOST_REPETITIONS == outcome.actions
    assert "or its credential, at the same time" in world.message(ConditionType.READY)
    assert outcome.until == world.clock.now() + timedelta(seconds=1)
