"""What is left in escrow after a refresh waits for a pause, which is no reason to refresh before it is over."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.escrow import build_escrow
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.values.errors import ConsentRequired, PipedriveUnavailable, RefreshUncertain, Trouble
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import GRANT_LOCATION, GRANT_SOURCE
from support.keepers import KeeperSurroundings
from support.refresh import ORDER, in_time

CLIENT_SECRET = SecretValue("hush")


@pytest.mark.parametrize("share_of_spoilt_answers", [0.0, 1.0])
async def test_an_escrow_that_is_still_there_after_a_refresh_is_handled_again_after_a_minute(
    share_of_spoilt_answers: float,
) -> None:
    """Until then it is no reason to refresh again: it could not be deleted, or the refresh was answered too late."""
    around = KeeperSurroundings()
    around.pipedrive.spoils_answers = share_of_spoilt_answers
    await around.escrow.keep(GRANT_LOCATION, Grant(refresh_token=SecretValue("other")), "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True
    await around.refresh()

    assert not around.keeper.has_escrow(GRANT_SOURCE)
    around.clock.turn(timedelta(seconds=61))
    assert around.keeper.has_escrow(GRANT_SOURCE)


async def test_a_copy_that_waits_for_the_end_of_its_pause_is_no_reason_to_refresh() -> None:
    """A credential that has not read the last result orders a refresh, and finds a token that is fresh."""
    around = KeeperSurroundings()
    await around.escrow.keep(GRANT_LOCATION, Grant(refresh_token=SecretValue("other")), "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True
    await around.refresh()
    sent = len(around.pipedrive.sent)

    await around.refresh()
    assert sent == len(around.pipedrive.sent)

    around.clock.turn(timedelta(seconds=61))
    await around.refresh()
    assert sent + 1 == len(around.pipedrive.sent)


async def test_an_escrow_that_appears_after_a_refresh_is_handled_at_once() -> None:
    """That refresh has decided nothing about it, and has deleted the copy before."""
    around = KeeperSurroundings()
    await around.escrow.keep(GRANT_LOCATION, Grant(refresh_token=SecretValue("other")), "us-1", CLIENT_SECRET)
    for can_be_deleted in (False, True):
        around.cluster.keeps_escrow_for_ever = not can_be_deleted
        await around.refresh()
        around.clock.turn(timedelta(seconds=61))
    await around.escrow.keep(GRANT_LOCATION, Grant(refresh_token=SecretValue("other")), "us-0", CLIENT_SECRET)

    assert around.keeper.has_escrow(GRANT_SOURCE)


async def test_the_pauses_grow_while_an_escrow_cannot_be_deleted() -> None:
    """If its descent is unclear, each pause ends with a refresh."""
    around = KeeperSurroundings()
    await around.escrow.keep(GRANT_LOCATION, Grant(refresh_token=SecretValue("other")), "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True
    for seconds in (0, 61, 121):
        around.clock.turn(timedelta(seconds=seconds))
        await around.refresh()

    around.clock.turn(timedelta(seconds=239))
    assert not around.keeper.has_escrow(GRANT_SOURCE)
    around.clock.turn(timedelta(seconds=2))
    assert around.keeper.has_escrow(GRANT_SOURCE)

    await around.refresh()
    around.keeper.forget_all()
    assert around.keeper.has_escrow(GRANT_SOURCE)
    await around.refresh()
    around.clock.turn(timedelta(seconds=61))
    assert around.keeper.has_escrow(GRANT_SOURCE)


async def test_failures_do_not_lengthen_the_pause_about_an_escrow_and_the_other_way_round() -> None:
    """Each has its own count."""
    around = KeeperSurroundings()
    await around.escrow.keep(GRANT_LOCATION, Grant(refresh_token=SecretValue("other")), "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True
    for _ in range(8):
        around.pipedrive.breaks = PipedriveUnavailable("nothing was sent")
        await around.refresh()
    around.pipedrive.breaks = None
    await around.refresh()
    around.clock.turn(timedelta(seconds=61))
    assert around.keeper.has_escrow(GRANT_SOURCE)

    around.pipedrive.breaks = PipedriveUnavailable("nothing was sent")
    failed = await around.refresh()

    assert failed.retry_at - around.clock.now() <= timedelta(seconds=1)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "trouble",
    [ConsentRequired("refused"), RefreshUncertain("lost"), PipedriveUnavailable("503")],
    ids=str,
)
async def test_a_grant_of_another_in_escrow_ends_no_pause(trouble: Trouble) -> None:
    """How this grant's refresh ended stays in the status, and a request that was not met is not forgotten."""
    around = KeeperSurroundings()
    around.pipedrive.breaks = trouble
    await around.refresh(replace(ORDER, is_requested=True))
    failed = around.keeper.state(GRANT_SOURCE)
    other = VaultLocation(connection="default", mount="secret", path="other")
    await build_escrow(around.cluster).keep(other, Grant(refresh_token=SecretValue("theirs")), "them-0", CLIENT_SECRET)

    assert await around.escrow.load()
    around.keeper.escrow_appeared()

    assert isinstance(failed, refresh_state.Refused | refresh_state.Unavailable)
    assert failed == around.keeper.state(GRANT_SOURCE)


@pytest.mark.parametrize("is_requested", [True, False])
async def test_a_grant_that_appears_in_escrow_is_tried_at_once(*, is_requested: bool) -> None:
    """Another process has kept it there. That the last refresh has failed is not forgotten."""
    around = KeeperSurroundings()
    around.pipedrive.breaks = RefreshUncertain("lost")
    await around.refresh(replace(ORDER, is_requested=is_requested))
    theirs = Grant(refresh_token=SecretValue("theirs"))
    await build_escrow(around.cluster).keep(GRANT_LOCATION, theirs, "them-0", CLIENT_SECRET)

    assert await around.escrow.load()
    around.keeper.escrow_appeared()

    state = around.keeper.state(GRANT_SOURCE)
    assert isinstance(state, refresh_state.Unavailable)
    assert state.retry_at <= around.clock.now()
    assert around.keeper.has_escrow(GRANT_SOURCE)


@pytest.mark.parametrize("is_half_usable", [False, True])
async def test_a_new_result_of_unclear_descent_does_not_wait_out_the_pause_of_an_old_copy(
    *, is_half_usable: bool
) -> None:
    """Vault is restored while Pipedrive answers. What it holds is spent, and its access token has not expired."""
    around = KeeperSurroundings()
    await around.escrow.keep(GRANT_LOCATION, Grant(refresh_token=SecretValue("old")), "us-0", CLIENT_SECRET)
    around.cluster.keeps_escrow_for_ever = True
    await around.refresh()
    backup = dict(around.vault.documents[GRANT_LOCATION].values)
    await _refresh_again(around)
    around.pipedrive.gate = asyncio.Event()
    refreshing = asyncio.create_task(_refresh_again(around, is_requested=True))
    while not around.pipedrive.waits:  # noqa: ASYNC110  a turn of the loop, not a time
        await asyncio.sleep(0)

    around.vault.put(GRANT_LOCATION, **backup)
    around.clock.turn(timedelta(seconds=2))
    around.pipedrive.spoils_answers = float(is_half_usable)
    around.pipedrive.answer()
    while "refresh-2" not in around.pipedrive.spent:  # noqa: ASYNC110  a turn of the loop, not a time
        await asyncio.sleep(0)
    around.pipedrive.spoils_answers = 0.0
    await in_time(around.clock, refreshing)

    assert ["seed", "refresh-1", "refresh-2", "refresh-1", "old", "refresh-3"] == around.pipedrive.sent
    assert {"refresh-4"} == around.pipedrive.alive


async def _refresh_again(around: KeeperSurroundings, *, is_requested: bool = False) -> None:
    held = around.stored("access_token")
    digest = SecretValue(str(held)).digest()
    await around.refresh(replace(ORDER, replaces=digest, access_digest=digest, is_requested=is_requested))
