"""Verifications outside the workers: a Pipedrive that hangs delays no pass."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from fakes.pipedrive import FakePipedrive
from pipedrive_operator.core.decision.memory import Memory
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.errors import PipedriveUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.reconcile.memories import Memories
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
from support.faked_operator import FIRST, FakedOperator, seeded_world, verifications_ended

SECOND = "b" * 40
SECRET = Key(namespace=KEY.namespace, name="acme")


class HangingPipedrive(FakePipedrive):
    """A Pipedrive that answers users/me when a test lets it."""

    opened: asyncio.Event

    async def identify_api_token(self, value: SecretValue) -> Account:
        """Answer once the test allows it."""
        await self.opened.wait()
        return await super().identify_api_token(value)

    async def identify_access_token(self, token: Token) -> Account:
        """Answer once the test allows it."""
        await self.opened.wait()
        return await super().identify_access_token(token)


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a world with a published API token, in which Pipedrive hangs from then on."""
    async for made in seeded_world():
        made.pipedrive = pipedrive = HangingPipedrive(made.clock)
        pipedrive.alive.add("seed")
        pipedrive.opened = asyncio.Event()
        pipedrive.opened.set()
        made.start()
        made.cluster.apply(resource(API_TOKEN_SPEC))
        await made.settle()
        pipedrive.opened.clear()
        yield made
        pipedrive.opened.set()
        await made.reconciler.aclose()


def answer(world: FakedOperator) -> None:
    """Let Pipedrive answer."""
    assert isinstance(world.pipedrive, HangingPipedrive)
    world.pipedrive.opened.set()


async def pass_of(world: FakedOperator) -> Any:
    """Make a pass, which must not wait for Pipedrive."""
    async with asyncio.timeout(5):
        return await world.reconciler.reconcile(KEY)


async def test_a_pass_ends_while_pipedrive_hangs(world: FakedOperator) -> None:
    """It reports nothing new. The next pass follows at the next read of Vault, or when the verification ends."""
    writes = list(world.cluster.writes)
    world.clock.turn(TIMINGS.verify_interval)

    outcome = await pass_of(world)

    assert (True, ("verify",)) == (outcome.is_verifying, outcome.actions)
    assert outcome.until is not None
    assert 0.9 * TIMINGS.poll_interval <= outcome.until - world.clock.now() <= TIMINGS.poll_interval
    assert (writes, []) == (world.cluster.writes, world.woken)
    answer(world)
    await verifications_ended()
    assert [KEY] == world.woken


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_value_that_expires_while_pipedrive_hangs_is_reported_once(
    world: FakedOperator, *, is_restarted: bool
) -> None:
    """The value in Vault that would replace it cannot be verified. A new process knows the expiry from the status."""
    expires_at = await _replace_the_grant_before_its_token_expires(world)
    if is_restarted:
        world.start()
    waiting = await pass_of(world)
    assert (True, expires_at) == (waiting.is_verifying, waiting.until)
    assert [] == world.cluster.writes
    world.clock.turn_to(expires_at)

    outcomes = [await pass_of(world) for _ in range(2)]

    assert [False, True] == [outcome.is_verifying for outcome in outcomes]
    assert [False, False] == [outcome.ready for outcome in outcomes]
    assert ("False", "Pending") == world.condition(ConditionType.READY)
    assert ["patch status"] == world.cluster.writes
    answer(world)
    await world.settle()
    assert ("True", "Published") == world.condition(ConditionType.READY)


async def _replace_the_grant_before_its_token_expires(world: FakedOperator) -> datetime:
    """Publish an access token, write another grant into Vault shortly before it expires, and return when it does."""
    answer(world)
    world.cluster.apply(resource(OAUTH2_SPEC, generation=2))
    published = await world.settle()
    assert isinstance(world.pipedrive, HangingPipedrive)
    assert published.expires_at is not None
    world.clock.turn_to(published.expires_at - timedelta(seconds=20))
    world.pipedrive.opened.clear()
    world.pipedrive.accounts["access-x"] = ACCOUNT
    another = {"refresh_token": world.pipedrive.consent(), "access_token": "access-x", "expires_in": 3600}
    world.vault.put(GRANT_LOCATION, **another, api_domain="https://acme.pipedrive.com")
    world.cluster.writes.clear()
    return published.expires_at


async def test_a_secret_is_repaired_while_pipedrive_hangs(world: FakedOperator) -> None:
    """What was accepted before stays published."""
    world.clock.turn(TIMINGS.verify_interval)
    await pass_of(world)
    target = world.cluster.secret(SECRET)
    assert target is not None
    await world.cluster.delete(target)

    outcome = await pass_of(world)

    assert ("publish", "verify") == outcome.actions
    assert FIRST == world.value("api_token")


async def test_a_token_is_verified_once_however_many_passes_follow(world: FakedOperator) -> None:
    """A hanging Pipedrive gets one request per credential."""
    world.pipedrive.identified.clear()
    world.clock.turn(TIMINGS.verify_interval)
    for _ in range(5):
        await pass_of(world)

    answer(world)
    await verifications_ended()

    assert [FIRST] == world.pipedrive.identified


async def test_the_answer_about_a_replaced_token_is_ignored(world: FakedOperator) -> None:
    """A new value in Vault is verified instead, and the verification of the old one ends."""
    world.pipedrive.identified.clear()
    world.pipedrive.accounts[SECOND] = ACCOUNT
    world.clock.turn(TIMINGS.verify_interval)
    await pass_of(world)
    world.vault.put(TOKEN_LOCATION, api_token=SECOND)
    world.clock.turn(TIMINGS.poll_interval)
    await pass_of(world)

    answer(world)
    await world.settle()

    assert [SECOND] == world.pipedrive.identified
    assert SECOND == world.value("api_token")


async def test_an_answer_about_another_token_than_the_remembered_one_is_ignored(world: FakedOperator) -> None:
    """The token may be replaced by a pass that ends before it verifies the new one."""
    memories = Memories(clock=world.clock, timings=TIMINGS)
    memories.keep(KEY, Memory(token=Token(value=SecretValue(SECOND))))
    former = Token(value=SecretValue(FIRST))

    memories.note_verification(KEY, former, ACCOUNT)
    memories.note_failed_verification(KEY, former, PipedriveUnavailable("503"))

    memory = memories.get(KEY)
    assert memory is not None
    assert (None, None) == (memory.verification, memory.verify_failure)


async def test_a_deleted_credential_is_no_longer_verified(world: FakedOperator) -> None:
    """There is no memory for the result."""
    world.clock.turn(TIMINGS.verify_interval)
    await pass_of(world)
    world.pipedrive.identified.clear()
    world.cache.forget_credential(KEY, 10**9)

    assert await pass_of(world) is None

    answer(world)
    await verifications_ended()
    assert ([], []) == (world.pipedrive.identified, world.woken)


async def test_an_unexpected_error_is_reported_and_retried_after_a_pause(world: FakedOperator) -> None:
    """A defect must not verify in a tight loop."""
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
    world.pipedrive.breaks = KeyError("a defect")
    world.clock.turn(TIMINGS.verify_interval)
    await pass_of(world)

    answer(world)
    await verifications_ended()
    outcome = await pass_of(world)

    assert [f"the verification of {KEY} failed unexpectedly"] == reported
    assert not outcome.is_verifying
    assert ("Unknown", "PipedriveUnavailable") == world.condition(ConditionType.AUTHORIZED)
