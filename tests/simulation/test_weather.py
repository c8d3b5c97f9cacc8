"""Each kind of weather does what it says."""

import asyncio
import contextvars
from collections.abc import Coroutine
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import pytest

from fakes.escrow import build_escrow
from pipedrive_operator.adapters.kubernetes.escrow import KubernetesEscrow
from pipedrive_operator.core.grant.client import ClientCredentials
from pipedrive_operator.core.grant.document import OPERATOR
from pipedrive_operator.core.grant.grant import Grant, TokenResponse, write_grant
from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.errors import (
    ApiServerUnavailable,
    ConsentRequired,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    TokenResponseUnusable,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from simulation.history import PERSON, who
from simulation.loop import CURRENT, Process, run
from simulation.models import CLIENT_SECRET, EPOCH, LATEST_WRITE, LONGEST_LAG, SimulatedClock
from simulation.rare_weather import LONGEST_DENIAL, LONGEST_SILENCE, SHARE, Kinds, RareWeather
from simulation.simulated_world import BrokenPromiseError, World
from support.builders import ACCOUNT, GRANT_LOCATION, OAUTH2_SPEC, resource

CLIENT = ClientCredentials(client_id="client", client_secret=SecretValue(CLIENT_SECRET))


@pytest.fixture
def world() -> World:
    """Return a world without operators, in which nothing happens by chance."""
    world = World(0)
    world.pipedrive.rotates = world.promises.rotates = True
    world.pipedrive.begins_late = world.pipedrive.spoils_answers = world.pipedrive.slows = 0.0
    world.pipedrive.breaks_off = 0.0
    world.vault.delays_writes = world.vault.lags = 0.0
    world.promises.ran = lambda _by, since, until: until - since
    world.promises.kept_since = lambda _by, _token: None
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


def test_a_connection_is_lost_while_pipedrive_goes_on(world: World) -> None:
    """Its sender knows at once that there is no answer, and the token is spent later."""
    world.pipedrive.breaks_off, world.pipedrive.slows = 1.0, 2.0

    async def play() -> None:
        with pytest.raises(RefreshUncertain):
            await _refresh(world)
        assert world.loop.time() < world.pipedrive.answer_timeout
        assert world.pipedrive.spent == []
        await asyncio.sleep(2 * world.pipedrive.answer_timeout)
        assert world.pipedrive.spent == ["consent-1"]

    _run(world, play())

    assert world.history.excuses == {"an answer was lost": 1}


def test_only_the_refresh_token_of_an_answer_is_usable(world: World) -> None:
    """The old token is spent nevertheless."""
    world.pipedrive.spoils_answers = 1.0

    async def play() -> None:
        with pytest.raises(TokenResponseUnusable) as caught:
            await _refresh(world)
        assert {caught.value.refresh_token.reveal()} == world.pipedrive.alive

    _run(world, play())

    assert world.pipedrive.spent == ["consent-1"]


@pytest.mark.parametrize("is_person", [True, False])
def test_a_person_may_write_in_the_middle_of_what_a_process_does(world: World, is_person: bool) -> None:  # noqa: FBT001
    """A process that writes over a grant knows it; one that a person strikes does not."""

    async def play() -> None:
        world.vault.put(GRANT_LOCATION, refresh_token="consent-1")
        write = world.vault.edit if is_person else world.vault.put
        context = contextvars.Context()
        context.run(CURRENT.set, Process("a1"))
        context.run(write, GRANT_LOCATION, refresh_token="consent-2")

    _run(world, play())

    assert world.promises.traces.gone == ({"consent-1"} if is_person else set())
    assert world.vault.written[-1][1] == (PERSON if is_person else "a1")


@pytest.mark.parametrize("is_patched", [False, True])
def test_a_consent_is_promoted_only_with_its_own_refresh_token(world: World, is_patched: bool) -> None:  # noqa: FBT001
    """A person who patches the refresh token leaves the keys of the former grant, which may return in a restore."""
    promoted = Grant(refresh_token=SecretValue("consent-2"), consent="uid-1", consent_generation=2)
    patch = {"refresh_token": "consent-3"} if is_patched else {}

    async def play() -> None:
        world.vault.put(GRANT_LOCATION, refresh_token="consent-1")
        world.vault.put(GRANT_LOCATION, **write_grant(promoted, {}) | patch)

    _run(world, play())

    assert set(world.promises.promotions) == (set() if is_patched else {("uid-1", 2)})


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


@pytest.mark.parametrize("asked_before", [1, 60])
def test_a_process_writes_over_a_consent_whose_number_has_returned(world: World, asked_before: int) -> None:
    """It may do so only within a moment after it asked Vault."""

    async def play() -> None:
        for token in ("consent-1", "consent-2"):
            world.vault.put(GRANT_LOCATION, refresh_token=token)
        await _read(world)
        await asyncio.sleep(asked_before)
        world.vault.rewind(GRANT_LOCATION)
        world.vault.put(GRANT_LOCATION, refresh_token="consent-3")
        await world.vault.write(GRANT_LOCATION, {"refresh_token": "refresh-4"}, OPERATOR, cas=2)

    _run(world, play())

    assert world.history.lost == {"consent-3"}
    broken = world.promises.broken or ""
    assert broken.startswith("(b) person wrote over consent-3, unseen since") == (asked_before == 60)


def test_a_process_that_has_seen_the_restored_version_has_no_excuse(world: World) -> None:
    """The consent is missing in the end, and nothing explains that."""

    async def play() -> None:
        for token in ("consent-1", "consent-2"):
            world.vault.put(GRANT_LOCATION, refresh_token=token)
        world.vault.rewind(GRANT_LOCATION)
        world.vault.put(GRANT_LOCATION, refresh_token="consent-3")
        assert await _read(world) == "consent-3"
        await world.vault.write(GRANT_LOCATION, {"refresh_token": "refresh-4"}, OPERATOR, cas=2)

    _run(world, play())

    assert not world.history.lost


@pytest.mark.parametrize("lost", [{"refresh-2"}, {"another"}])
def test_a_loss_excuses_its_own_token_only(world: World, lost: set[str]) -> None:
    """Vault holds a dead token in the end, and one that is alive is missing."""

    async def play() -> None:
        world.vault.put(GRANT_LOCATION, refresh_token="refresh-1")
        world.pipedrive.alive = {"refresh-2"}
        world.history.lost = lost
        if lost == {"refresh-2"}:
            await world.come_to_rest()
        else:
            with pytest.raises(BrokenPromiseError, match=r"\(b\) Vault holds refresh-1, but alive is \['refresh-2'\]"):
                await world.come_to_rest()

    _run(world, play())


def test_a_spent_token_that_is_sent_again_ends_what_descends_from_it(world: World) -> None:
    """Another grant of the same account stays alive."""
    world.pipedrive.detects_reuse = True

    async def play() -> None:
        token = SecretValue(world.pipedrive.consent())
        await world.pipedrive.refresh(CLIENT, token, fence=_open)
        world.pipedrive.alive.add("another")
        with pytest.raises(ConsentRequired):
            await world.pipedrive.refresh(CLIENT, token, fence=_open)

    _run(world, play())

    assert world.pipedrive.alive == {"another"}
    assert world.history.excuses == {"ended, because a token before it was sent again": 1}


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


def test_a_webhook_denies_the_deletion_of_the_escrow_until_the_storm_is_over() -> None:
    """The copy stays, and the process knows that it does."""
    world = World(0)
    world.rare_weather = RareWeather(world, Kinds(denies_all=True))
    cluster = world.clusters[0]

    async def play() -> None:
        escrow = await _kept_in_escrow(world)
        await escrow.drop(GRANT_LOCATION, "a refresh")
        assert escrow.holds(GRANT_LOCATION)
        assert cluster.escrow
        world.rare_weather.clear()
        await escrow.drop(GRANT_LOCATION, "a refresh")
        assert not cluster.escrow

    _run(world, play())


def test_a_webhook_denies_the_deletion_of_the_escrow_for_some_time(world: World) -> None:
    """Afterwards it can be deleted."""

    async def play() -> None:
        world.rare_weather.deny()
        assert any(cluster.keeps_escrow_for_ever for cluster in world.clusters)
        await asyncio.sleep(LONGEST_DENIAL)
        assert not any(cluster.keeps_escrow_for_ever for cluster in world.clusters)

    _run(world, play())


def test_pipedrive_does_not_say_whose_the_result_of_a_consent_is(world: World) -> None:
    """It goes on to refresh it, and says whose another grant is. A person consents meanwhile."""
    for cluster in world.clusters:
        cluster.apply(resource(OAUTH2_SPEC, name="one"))

    async def play() -> None:
        code = world.pipedrive.accept()
        result = await world.pipedrive.exchange(CLIENT, code, "https://example.com", fence=_open)
        world.rare_weather.silence()
        with pytest.raises((PipedriveUnavailable, RateLimited)):
            await _identify(world, result)
        renewed = await world.pipedrive.refresh(CLIENT, result.refresh_token, fence=_open)
        with pytest.raises((PipedriveUnavailable, RateLimited)):
            await _identify(world, renewed)
        other = await world.pipedrive.refresh(CLIENT, SecretValue(world.pipedrive.consent()), fence=_open)
        assert await _identify(world, other) == ACCOUNT
        await asyncio.sleep(LONGEST_SILENCE)
        newest = await world.pipedrive.exchange(CLIENT, world.pipedrive.accept(), "https://example.com", fence=_open)
        assert await _identify(world, newest) == ACCOUNT

    _run(world, play())

    assert any(cluster.consents for cluster in world.clusters)


@pytest.mark.parametrize(("loses", "slowest"), [(1.0, 0.0), (0.0, 10.0)])
def test_one_process_cannot_read_the_escrow(world: World, loses: float, slowest: float) -> None:
    """Or it waits for long, and gets what there was meanwhile."""
    cluster = world.clusters[0]
    cluster.hindered, cluster.loses_reads, cluster.slowest_read = who(), loses, slowest

    async def play() -> None:
        escrow = await _kept_in_escrow(world)
        began = world.loop.time()
        if loses:
            with pytest.raises(ApiServerUnavailable):
                await escrow.load()
        else:
            await escrow.load()
            assert world.loop.time() > began + 1
        cluster.hindered = "another"
        await escrow.load()
        assert escrow.holds(GRANT_LOCATION)

    _run(world, play())


def test_a_small_share_of_the_seeds_has_each_kind_of_rare_weather() -> None:
    """All others keep their histories when a kind is added."""
    kinds = [asdict(Kinds.of(seed)) for seed in range(3000)]

    shares = {name: sum(one[name] for one in kinds) / len(kinds) for name in kinds[0]}

    assert shares == pytest.approx(
        {"denies_all": SHARE / 2, "denies_some": SHARE / 2, "is_silent": SHARE, "hinders_reads": SHARE}, abs=0.01
    )


async def _kept_in_escrow(world: World) -> KubernetesEscrow:
    escrow = build_escrow(world.clusters[0])
    token = Grant(refresh_token=SecretValue(world.pipedrive.consent()))
    assert await escrow.keep(GRANT_LOCATION, token, "a refresh", SecretValue(CLIENT_SECRET))
    return escrow


async def _identify(world: World, answer: TokenResponse) -> Account:
    return await world.pipedrive.identify_access_token(Token(value=answer.access_token))


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
