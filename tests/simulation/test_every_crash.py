"""A crash after each effect of a refresh, systematically and not by chance."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor

import pytest

from simulation.loop import run
from simulation.seeds import players
from simulation.simulated_world import World
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, OAUTH2_SPEC, resource

EFFECTS = ("intent", "send", "spend", "grant", "Secret", "status")
"""What a renewal does to the world, in this order."""
WINDOW = {"send", "spend"}
"""After these effects, only the process that died knew the response."""
FIRST_RENEWAL = 120.0
RENEWED = 120.0


async def _begin(world: World) -> None:
    """Run one process with one credential, until shortly before its first renewal."""
    world.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="hush")
    world.vault.put(GRANT_LOCATION, refresh_token=world.pipedrive.consent())
    world.clusters[0].apply(resource(OAUTH2_SPEC))
    world.start(world.clusters[0])
    await asyncio.sleep(FIRST_RENEWAL)


def _calm_world() -> World:
    world = World(0)
    del world.clusters[1:]
    world.pipedrive.rotates = world.promises.rotates = True
    world.pipedrive.slows = world.pipedrive.begins_late = 0.0
    world.pipedrive.breaks_off = world.pipedrive.spoils_answers = 0.0
    world.vault.lags = world.vault.delays_writes = 0.0
    for weather in world.weathers:
        weather.slowest = 0.05
    return world


def _play(world: World, crash_after: str | None) -> list[str]:
    """Play one renewal, with a crash after an effect and a new process then; return the effects before the crash."""
    seen: list[str] = []

    async def course() -> None:
        await _begin(world)
        assert world.clusters[0].secrets
        world.promises.on_effect = see
        await asyncio.sleep(RENEWED)
        await world.come_to_rest()

    def see(what: str, by: str) -> None:
        seen.append(what)
        if what == crash_after:
            world.promises.on_effect = lambda _what, _by: None
            world.crash(world.operators[by])
            world.start(world.clusters[0])

    run(0, course(), on_defect=world.promises.defect)
    return seen


def _crashed_after(effect: str | None) -> tuple[list[str], set[str]]:
    """Return the effects before the crash, and what was lost."""
    world = _calm_world()
    seen = _play(world, effect)
    return seen, world.history.lost


@pytest.fixture(scope="module")
def player() -> Iterator[Executor]:
    """Run processes that play."""
    with players() as executor:
        yield executor


def test_a_renewal_has_these_effects_and_no_other(player: Executor) -> None:
    """Two writes to Vault, one Secret and one status; the list of crashes below is complete."""
    seen, lost = player.submit(_crashed_after, None).result()

    assert list(EFFECTS) == seen
    assert lost == set()


@pytest.mark.parametrize("effect", EFFECTS)
def test_the_next_process_completes_the_renewal_after_a_crash(effect: str, player: Executor) -> None:
    """The grant is lost only if no other process knew the response, and then the status says so."""
    seen, lost = player.submit(_crashed_after, effect).result()

    assert seen == list(EFFECTS[: EFFECTS.index(effect) + 1])
    assert bool(lost) == (effect in WINDOW)
