"""Each kind of weather does what it says."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest

from pipedrive_operator.core.grant.document import OPERATOR
from pipedrive_operator.core.grant.grant import ClientCredentials
from pipedrive_operator.core.values.errors import RefreshUncertain, TokenResponseUnusable, VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from simulation.history import who
from simulation.loop import run
from simulation.models import CLIENT_SECRET, EPOCH, LATEST_WRITE, LONGEST_LAG, SimulatedClock
from simulation.simulated_world import World
from support.builders import GRANT_LOCATION

CLIENT = ClientCredentials(client_id="client", client_secret=SecretValue(CLIENT_SECRET))


@pytest.fixture
def world() -> World:
    """Return a world without operators, in which nothing happens by chance."""
    world = World(0)
    world.pipedrive.rotates = world.promises.rotates = True
    world.pipedrive.begins_late = world.pipedrive.spoils_answers = world.pipedrive.slows = 0.0
    world.vault.delays_writes = world.vault.lags = 0.0
    return world


def test_pipedrive_processes_a_request_after_its_sender_has_given_up(world: World) -> None:
    """The token is spent then, and its successor is lost."""
    world.pipedrive.begins_late = 1.0

    async def play() -> None:
        with pytest.raises(RefreshUncertain):
            await _refresh(world)
        assert world.pipedrive.spent == []
        await asyncio.sleep(2 * world.pipedrive.answer_timeout)
        assert world.pipedrive.spent == ["consent-1"]

    _run(world, play())

    assert world.history.excuses == {"Pipedrive took longer than four time-outs": 1}


def test_only_the_refresh_token_of_an_answer_is_usable(world: World) -> None:
    """The old token is spent nevertheless."""
    world.pipedrive.spoils_answers = 1.0

    async def play() -> None:
        with pytest.raises(TokenResponseUnusable) as caught:
            await _refresh(world)
        assert {caught.value.refresh_token.reveal()} == world.pipedrive.alive

    _run(world, play())

    assert world.pipedrive.spent == ["consent-1"]


@pytest.mark.parametrize("is_first", [True, False])
def test_a_write_takes_effect_after_its_writer_has_given_up(world: World, is_first: bool) -> None:  # noqa: FBT001
    """If another one was faster, it does not."""
    world.vault.delays_writes = 1.0

    async def play() -> None:
        world.vault.put(GRANT_LOCATION, refresh_token="consent-1")
        with pytest.raises(VaultUnavailable):
            await world.vault.write(GRANT_LOCATION, {"refresh_token": "refresh-2"}, OPERATOR, cas=1)
        assert world.promises.newest == "consent-1"
        if not is_first:
            world.vault.put(GRANT_LOCATION, refresh_token="consent-3")
        await asyncio.sleep(LATEST_WRITE)
        assert world.promises.newest == ("refresh-2" if is_first else "consent-3")

    _run(world, play())


def test_a_read_may_get_what_vault_held_some_seconds_ago(world: World) -> None:
    """The process knows then what Vault held at that moment, and not what it holds now."""
    world.vault.lags = 1.0

    async def play() -> None:
        world.vault.put(GRANT_LOCATION, refresh_token="consent-1")
        await asyncio.sleep(10)
        world.vault.put(GRANT_LOCATION, refresh_token="consent-2")
        assert await _read(world) == "consent-1"
        assert world.promises.known_as_of[who()] < 10
        await asyncio.sleep(LONGEST_LAG)
        assert await _read(world) == "consent-2"

    _run(world, play())


def test_the_wall_clock_of_a_process_is_turned(world: World) -> None:
    """Time goes on as before; only the judge knows which skews it has had."""
    clock = SimulatedClock()

    async def play() -> None:
        await asyncio.sleep(10)
        clock.turn(timedelta(seconds=-60))
        assert (clock.now() - EPOCH, clock.monotonic()) == (timedelta(seconds=-50), 10)
        await asyncio.sleep(10)
        assert clock.skews(10) == [timedelta(seconds=-60), timedelta(0)]
        assert clock.skews(9) == [timedelta(seconds=-60)]

    _run(world, play())


async def _read(world: World) -> str:
    found = await world.vault.read(GRANT_LOCATION, OPERATOR)
    assert found is not None
    return str(found.values["refresh_token"])


async def _refresh(world: World) -> None:
    token = SecretValue(world.pipedrive.consent())
    await world.pipedrive.refresh(CLIENT, token, fence=_open)


async def _open() -> None:
    """Fence nothing."""


def _run(world: World, course: Coroutine[Any, Any, None]) -> None:
    run(0, course, on_defect=world.promises.defect)
