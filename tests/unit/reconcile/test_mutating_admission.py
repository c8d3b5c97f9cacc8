"""An API server whose admission has the last word on what the operator writes: it is reported, and rarely repeated."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import timedelta
from typing import Any

import pytest

from fakes.cluster import OnEvent
from fakes.merge_patch import merged
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import LABEL_CREDENTIAL, Key
from pipedrive_operator.core.values.conditions import ConditionType
from support.builders import API_TOKEN_SPEC, KEY, OAUTH2_SPEC, RULES, resource
from support.faked_operator import FIRST, FakedOperator, seeded_world

Body = dict[str, Any]


def overriding(change: Mapping[str, Any]) -> Callable[[Body], Body]:
    """Apply a merge patch to everything that is written."""
    return lambda body: merged(body, change)


GROUP = "pipedrive-operator.io"
POLICIES = {
    "another label": (overriding({"metadata": {"labels": {"team": "platform"}}}), "metadata.labels.team is platform"),
    "a dropped label": (overriding({"metadata": {"labels": {"team": None}}}), "metadata.labels.team is absent"),
    "our label": (
        overriding({"metadata": {"labels": {f"{GROUP}/credential": None}}}),
        f"metadata.labels.{GROUP}/credential is absent, but the operator needs acme",
    ),
    "our digest": (
        overriding({"metadata": {"annotations": {f"{GROUP}/digest": None}}}),
        f"metadata.annotations.{GROUP}/digest is absent",
    ),
    "our list of keys": (
        overriding({"metadata": {"annotations": {f"{GROUP}/managed": None}}}),
        f"metadata.annotations.{GROUP}/managed is absent",
    ),
    "the owner reference": (
        overriding({"metadata": {"ownerReferences": None}}),
        "metadata.ownerReferences is not as the credential asks",
    ),
    "a key of the data": (overriding({"data": {"company_domain": None}}), "data.company_domain is absent"),
    "a value of the data": (overriding({"data": {"company_domain": "eA=="}}), "data.company_domain is another value"),
}


async def seeded(mutate: Callable[[Body], Body]) -> AsyncIterator[FakedOperator]:
    """Give a seeded world whose API server mutates."""
    async for world in seeded_world():
        world.cluster.admission = mutate
        yield world


@pytest.mark.parametrize(("mutate", "message"), POLICIES.values(), ids=POLICIES.keys())
async def test_what_admission_changes_is_named(mutate: Callable[[Body], Body], message: str) -> None:
    """The status of a new credential is written, and a pass in between writes nothing more."""
    async for world in seeded(mutate):
        world.cluster.apply(resource(API_TOKEN_SPEC | {"target": {"labels": {"team": "crm"}}}))

        outcome = await world.settle()
        await world.settle()

        ready = read_credential(world.cluster.credentials[KEY]).status.condition(ConditionType.READY)
        assert ready is not None
        assert ("False", "SecretWriteDenied") == (ready.status.value, ready.reason.value)
        assert message in ready.message
        assert FIRST not in ready.message
        assert outcome.until is not None
        assert len(world.cluster.writes) <= 3
        assert FIRST == world.value("api_token")


async def test_the_message_says_what_the_spec_asks_for() -> None:
    """It also says what to do."""
    async for world in seeded(POLICIES["another label"][0]):
        world.cluster.apply(resource(API_TOKEN_SPEC | {"target": {"labels": {"team": "crm"}}}))

        await world.settle()

        ready = read_credential(world.cluster.credentials[KEY]).status.condition(ConditionType.READY)
        assert ready is not None
        assert (
            "an admission policy or webhook of the cluster changes it: metadata.labels.team is platform, "
            "but spec.target.labels.team asks for crm" in ready.message
        )


async def test_an_empty_value_that_admission_drops_is_named() -> None:
    """A scope may be empty, and a template too."""
    async for world in seeded(overriding({"data": {"note": None}})):
        world.cluster.apply(resource(API_TOKEN_SPEC | {"target": {"data": {"key": "$(api_token)", "note": ""}}}))

        await world.settle()

        ready = read_credential(world.cluster.credentials[KEY]).status.condition(ConditionType.READY)
        assert ready is not None
        assert "data.note is absent" in ready.message


async def test_what_admission_adds_is_no_failure() -> None:
    """It belongs to others, and stays."""
    async for world in seeded(overriding({"metadata": {"labels": {"cost": "1"}}, "data": {"ca": "eA=="}})):
        world.cluster.apply(resource(API_TOKEN_SPEC))

        await world.settle()

        assert ("True", "Published") == world.condition(ConditionType.READY)


async def test_a_due_refresh_does_not_wait_for_a_write_that_cannot_succeed() -> None:
    """The label stays wrong, and the token in the Secret is new all the same."""
    async for world in seeded(POLICIES["another label"][0]):
        world.cluster.apply(resource(OAUTH2_SPEC | {"target": {"labels": {"team": "crm"}}}))
        await world.settle()
        assert "access-1" == world.value("access_token")
        writes = len(world.cluster.writes)
        world.clock.turn(timedelta(minutes=45))

        await world.settle()

        assert "access-2" == world.value("access_token")
        assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)
        assert len(world.cluster.writes) - writes <= 4


async def test_a_retained_secret_without_our_label_is_not_reported_as_foreign_after_a_restart() -> None:
    """The watch selects on the label, and nothing else says whose Secret it is: adopting it would change nothing."""
    async for world in seeded(POLICIES["our label"][0]):
        world.cluster.watchers[:] = [labelled_only(world)]
        world.cluster.apply(resource(OAUTH2_SPEC | {"target": {"deletionPolicy": "Retain"}}))
        await world.settle()
        restart(world)
        world.clock.turn(timedelta(minutes=50))

        await world.settle()

        assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)
        message = world.message(ConditionType.READY)
        assert "an admission policy or webhook of the cluster removes the label" in message
        assert "adopt" not in message
        assert ["seed", "refresh-1"] == world.pipedrive.spent

        world.cluster.admission = dict
        world.cluster.put_secret(
            merged(world.cluster.secrets[KEY], {"metadata": {"labels": {LABEL_CREDENTIAL: "acme"}}})
        )
        await world.settle()

        assert ("True", "Published") == world.condition(ConditionType.READY)
        assert "access-2" == world.value("access_token")


def labelled_only(world: FakedOperator) -> OnEvent:
    """Deliver what the operator's watches select."""
    see = world.cluster.watchers[0]

    def watch(kind: str, event: str, body: Mapping[str, Any]) -> None:
        if kind != "secret" or LABEL_CREDENTIAL in body["metadata"].get("labels", {}):
            see(kind, event, body)

    return watch


def restart(world: FakedOperator) -> None:
    """Restart the operator, which then lists what carries its label."""
    world.cache = Cache(lambda credential: resolve(credential, RULES))
    world.start()
    for body in world.cluster.credentials.values():
        world.cache.see_credential(None, body)


async def test_repeated_tries_become_rarer() -> None:
    """A policy that stays costs at most one write in five minutes."""
    async for world in seeded(POLICIES["another label"][0]):
        world.cluster.apply(resource(API_TOKEN_SPEC | {"target": {"labels": {"team": "crm"}}}))
        end = world.clock.now() + timedelta(hours=1)
        while world.clock.now() < end:
            outcome = await world.settle()
            assert outcome.until is not None
            world.clock.turn(outcome.until - world.clock.now())

        assert len([write for write in world.cluster.writes if "secret" in write]) < 25
        assert world.cluster.writes.count("patch status") == 1


async def test_a_policy_that_is_gone_is_recovered_from() -> None:
    """The next try lands, and nothing is left of the failure."""
    async for world in seeded(POLICIES["another label"][0]):
        world.cluster.apply(resource(API_TOKEN_SPEC | {"target": {"labels": {"team": "crm"}}}))
        await world.settle()
        world.cluster.admission = dict
        world.clock.turn(timedelta(minutes=5))

        await world.settle()

        assert ("True", "Published") == world.condition(ConditionType.READY)
        assert world.condition(ConditionType.STALLED) is None
        assert Key(namespace="crm", name="acme") in world.cluster.secrets
