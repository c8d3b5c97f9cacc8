"""What others record about a credential while a pass observes it is not lost when the pass ends."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pipedrive_operator.core.decision.memory import Memory
from pipedrive_operator.core.grant.document import Document
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.values.conditions import ConditionType
from pipedrive_operator.core.values.errors import VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.reconcile.memories import Memories
from support.builders import ACCOUNT, API_TOKEN_SPEC, KEY, TIMINGS, TOKEN_LOCATION, resource
from support.faked_operator import FakedOperator, seeded_world

TOKEN = Token(value=SecretValue("a" * 40))


@pytest.fixture
async def world() -> AsyncIterator[FakedOperator]:
    """Give a world with a published API token."""
    async for made in seeded_world():
        made.cluster.apply(resource(API_TOKEN_SPEC))
        await made.settle()
        yield made


async def test_a_read_that_fails_while_vault_returns_is_repeated_at_once(
    world: FakedOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The return is announced once: nothing else ends the pause, which has grown during the outage."""

    async def fail_while_vault_returns(*_: object) -> Document | None:
        woken.append(world.reconciler.vault_returned(TOKEN_LOCATION.connection))
        raise VaultUnavailable("the answer was lost")

    woken: list[object] = []
    world.vault.breaks = VaultUnavailable("Vault is away")
    for _ in range(5):
        world.clock.turn(TIMINGS.poll_interval)
        await world.reconcile()
    world.clock.turn(TIMINGS.poll_interval)
    with monkeypatch.context() as patched:
        patched.setattr(world.vault, "read", fail_while_vault_returns)
        await world.reconcile()
    assert [{KEY}] == woken
    world.vault.breaks, reads = None, len(world.vault.reads)

    outcome = await world.reconcile()

    assert (reads + 1, True) == (len(world.vault.reads), outcome.ready)
    assert ("True", "Accepted") == world.condition(ConditionType.AUTHORIZED)


async def test_a_verification_that_ends_during_an_observation_is_remembered(world: FakedOperator) -> None:
    """Otherwise Pipedrive would be asked again."""
    memories = Memories(clock=world.clock, timings=TIMINGS)
    memories.keep(KEY, Memory(source=None, uid="uid", token=TOKEN))
    observed = memories.begin(KEY)
    assert observed is not None

    memories.note_verification(KEY, TOKEN, ACCOUNT)
    kept = memories.keep(KEY, replace(observed, read_at=world.clock.now()))

    assert kept == memories.get(KEY)
    assert kept.verification is not None
    assert (world.clock.now(), ACCOUNT) == (kept.read_at, kept.verification.account)


async def test_a_verification_of_a_token_that_the_observation_replaced_is_dropped(world: FakedOperator) -> None:
    """It says nothing about the new token."""
    memories = Memories(clock=world.clock, timings=TIMINGS)
    memories.keep(KEY, Memory(source=None, uid="uid", token=TOKEN))
    observed = memories.begin(KEY)
    assert observed is not None

    memories.note_verification(KEY, TOKEN, ACCOUNT)
    kept = memories.keep(KEY, replace(observed, token=Token(value=SecretValue("b" * 40))))

    assert kept.verification is None
