"""Whatever keeps the Secret from being written reaches the status, with the API server's words."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.errors import ApiServerUnavailable, ReportDenied, SecretWriteDenied
from pipedrive_operator.reconcile.reconciler import DENIED_STATUS_RETRY
from support.builders import API_TOKEN_SPEC, KEY, OAUTH2_SPEC, resource
from support.faked_operator import FIRST, FakedOperator, seeded_world

WEBHOOK = "failed calling webhook secrets.policy.example.com: connection refused"


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a seeded world."""
    async for made in seeded_world():
        yield made


@pytest.mark.parametrize(
    "error",
    [ApiServerUnavailable(f"the API server answered 500: {WEBHOOK}"), SecretWriteDenied(WEBHOOK)],
    ids=["no usable answer", "denied"],
)
async def test_a_first_write_that_fails_is_reported(world: FakedOperator, error: Exception) -> None:
    """A new credential has a status, a condition and an Event."""
    world.cluster.breaks_secrets = error
    world.cluster.apply(resource(API_TOKEN_SPEC))

    outcome = await world.settle()

    ready = read_credential(world.cluster.credentials[KEY]).status.condition(ConditionType.READY)
    assert ready is not None
    assert ("False", "SecretWriteDenied") == (ready.status.value, ready.reason.value)
    assert WEBHOOK in ready.message
    assert ["SecretWriteDenied"] == [event.reason for event in world.cluster.events]
    assert ["create secret acme", "patch status"] == world.cluster.writes
    assert outcome.until is not None


async def test_a_write_that_succeeds_again_ends_the_failure(world: FakedOperator) -> None:
    """The pause has passed, and the credential is ready."""
    world.cluster.breaks_secrets = ApiServerUnavailable(WEBHOOK)
    world.cluster.apply(resource(API_TOKEN_SPEC))
    await world.settle()
    world.cluster.breaks_secrets = None
    world.clock.turn(timedelta(seconds=1))

    await world.settle()

    assert FIRST == world.value("api_token")
    assert ("True", "Published") == world.condition(ConditionType.READY)


async def test_a_due_refresh_does_not_wait_for_the_write(world: FakedOperator) -> None:
    """The refreshed grant is in Vault before the published token expires."""
    world.cluster.apply(resource(OAUTH2_SPEC))
    await world.settle()
    world.cluster.delete_secret(KEY)
    world.cluster.breaks_secrets = ApiServerUnavailable(WEBHOOK)
    world.clock.turn(timedelta(minutes=45))

    await world.settle()

    assert ["seed", "refresh-1"] == world.pipedrive.spent
    assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)


async def test_a_message_of_any_length_fits_the_status(world: FakedOperator) -> None:
    """The API server refuses a condition's message of more than 32,768 bytes."""
    world.cluster.breaks_secrets = SecretWriteDenied("é" * 100_000)
    world.cluster.apply(resource(API_TOKEN_SPEC))

    await world.settle()

    status = read_credential(world.cluster.credentials[KEY]).status
    assert all(len(condition.message.encode()) <= 32_768 for condition in status.conditions)
    assert ("False", "SecretWriteDenied") == world.condition(ConditionType.READY)


async def test_a_denied_status_keeps_nothing_from_being_published(world: FakedOperator) -> None:
    """The pass ends as it would have, so that metrics are right; the next one tries to write the status again."""
    world.cluster.breaks_statuses = ReportDenied("statuses are frozen")
    world.cluster.apply(resource(API_TOKEN_SPEC))

    outcome = await world.reconcile()

    assert FIRST == world.value("api_token")
    assert ("Published", True) == (outcome.reason, outcome.ready)
    assert outcome.until == world.clock.now() + DENIED_STATUS_RETRY
    world.cluster.breaks_statuses = None
    await world.settle()
    assert ("True", "Published") == world.condition(ConditionType.READY)


@pytest.mark.parametrize("spec", [API_TOKEN_SPEC | {"suspend": True}, {}], ids=["suspended", "unreadable"])
async def test_a_denied_status_is_written_again_although_nothing_else_is_due(
    world: FakedOperator, spec: dict[str, object]
) -> None:
    """No event follows, so that the status would stay wrong until somebody edits the resource."""
    world.cluster.breaks_statuses = ReportDenied("etcd has a new leader")
    world.cluster.apply(resource(spec))

    outcome = await world.reconcile()

    assert outcome.until == world.clock.now() + DENIED_STATUS_RETRY
    assert outcome.decided_at == world.clock.now()


async def test_an_unreadable_credential_is_looked_at_again_at_each_interval(world: FakedOperator) -> None:
    """Somebody may have replaced its status."""
    world.cluster.apply(resource({}))

    outcome = await world.settle()

    assert outcome.until == world.clock.now() + world.timings.poll_interval
