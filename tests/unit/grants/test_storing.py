"""What a refresh has won, until Vault has it: stored, kept in escrow, settled by the next process, never let go of."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant.grant import Grant, write_grant
from pipedrive_operator.core.values.errors import ConsentRequired, GrantUnstored, SourceMissing, TokenResponseUnusable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.grants.protocol import MOST_AT_ONCE
from support.builders import GRANT_LOCATION, access_token
from support.refresh import ORDER, Surroundings


async def test_what_was_won_goes_to_escrow_and_the_next_process_stores_it(around: Surroundings) -> None:
    """The process dies while Vault is sealed; the refresh token that Vault holds is spent, and nothing is lost."""
    around.vault.breaks_after = 1
    task = asyncio.create_task(around.run())
    await around.clock.somebody_sleeps.wait()
    task.cancel()
    assert GRANT_LOCATION in around.cluster.escrow
    around.vault.breaks_after = None
    around.start()

    grant = await around.run()

    assert SecretValue("refresh-1") == grant.refresh_token == around.stored.refresh_token
    assert ["seed"] == around.pipedrive.sent
    assert {} == around.cluster.escrow


async def test_an_escrow_of_unclear_descent_is_dropped_once_pipedrive_accepts_what_vault_holds(
    around: Surroundings,
) -> None:
    """A person consented meanwhile: it is never written over that."""
    old = Grant(refresh_token=SecretValue("old"), token=access_token("old"), refreshed_from="of another")
    await around.escrow.keep(GRANT_LOCATION, old, "us-0", SecretValue("hush"))

    await around.run()

    assert SecretValue("refresh-1") == around.stored.refresh_token
    assert {} == around.cluster.escrow


async def test_an_escrow_takes_the_place_of_what_a_restored_vault_holds(around: Surroundings) -> None:
    """Vault came back from a backup with a token that is long spent, and the living one is in escrow alone."""
    around.pipedrive.alive = {"won"}
    won = Grant(refresh_token=SecretValue("won"), refreshed_from="of one that the backup lacks")
    await around.escrow.keep(GRANT_LOCATION, won, "us-0", SecretValue("hush"))

    await around.run()

    assert ["seed", "won"] == around.pipedrive.sent
    assert SecretValue("refresh-1") == around.stored.refresh_token
    assert {} == around.cluster.escrow


async def test_what_is_won_while_vault_is_restored_from_a_backup_is_not_let_go_of(around: Surroundings) -> None:
    """What Vault holds then is neither what we spent nor what came of it: Pipedrive tells which is alive."""
    task = await around.begin()
    around.vault.put(GRANT_LOCATION, refresh_token="of last week")
    around.pipedrive.answer()

    await task

    assert ["seed", "of last week"] == around.pipedrive.sent
    assert SecretValue("refresh-1") == around.stored.refresh_token
    assert {} == around.cluster.escrow


async def test_a_refusal_is_believed_only_when_the_escrow_was_refused_too(around: Surroundings) -> None:
    """The newest refresh token that we hold is the one there."""
    won = Grant(refresh_token=SecretValue("won"), refreshed_from="of another")
    await around.escrow.keep(GRANT_LOCATION, won, "us-0", SecretValue("hush"))
    around.pipedrive.alive = set()

    with pytest.raises(ConsentRequired):
        await around.run()

    assert ["seed", "won"] == around.pipedrive.sent


@pytest.mark.parametrize("error", [SourceMissing("no engine at the mount"), RuntimeError("a defect")])
async def test_whatever_keeps_vault_from_taking_what_was_won_it_is_kept_and_tried_again(
    around: Surroundings, error: Exception
) -> None:
    """A mount that was taken away, or a defect of ours, must not cost a refresh token; a defect is reported."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    task = await around.begin()
    around.vault.breaks = error
    around.pipedrive.answer()
    await around.clock.somebody_sleeps.wait()
    assert GRANT_LOCATION in around.cluster.escrow
    around.vault.breaks = None

    around.clock.turn(timedelta(seconds=2))
    await task

    assert SecretValue("refresh-1") == around.stored.refresh_token
    assert {} == around.cluster.escrow
    assert ([] if isinstance(error, SourceMissing) else [error]) == reported


async def test_refreshes_that_a_sealed_vault_does_not_take_hold_up_no_other(around: Surroundings) -> None:
    """Twenty are sent at once, and each of them waits to be stored; the next one is sent all the same."""
    locations = [replace(GRANT_LOCATION, path=f"pipedrive/crm/{number}") for number in range(MOST_AT_ONCE)]
    for location in locations:
        around.vault.put(location, refresh_token=location.path)
        around.pipedrive.alive.add(location.path)
    around.vault.breaks_after = MOST_AT_ONCE  # it takes the intents
    gate = around.pipedrive.gate = asyncio.Event()
    stuck = [
        asyncio.create_task(around.protocol.run(replace(ORDER, source=replace(ORDER.source, location=one)), print))
        for one in locations
    ]
    while len(around.vault.writes) < MOST_AT_ONCE:  # noqa: ASYNC110  turns of the loop, not a time
        await asyncio.sleep(0)
    gate.set()
    while around.clock.sleepers < MOST_AT_ONCE:  # noqa: ASYNC110  turns of the loop, not a time
        await asyncio.sleep(0)
    around.vault.breaks_after = None

    await around.run()

    assert SecretValue(f"refresh-{MOST_AT_ONCE + 1}") == around.stored.refresh_token
    around.clock.turn(timedelta(seconds=2))
    await asyncio.gather(*stuck)


async def test_an_escrow_that_cannot_be_opened_stops_the_refresh(around: Surroundings) -> None:
    """It may hold the only living token: the person is told, and nothing is sent."""
    kept = Grant(refresh_token=SecretValue("won"), refreshed_from=SecretValue("seed").digest())
    await around.escrow.keep(GRANT_LOCATION, kept, "us-0", SecretValue("another secret"))

    with pytest.raises(GrantUnstored):
        await around.run()

    assert [] == around.pipedrive.sent


async def test_a_leftover_escrow_is_settled_without_a_refresh(around: Surroundings) -> None:
    """Vault took what was won, and the process died before it could say so: the next one drops the copy."""
    around.vault.put(GRANT_LOCATION, **write_grant(Grant(refresh_token=SecretValue("won"), token=access_token()), {}))
    kept = Grant(refresh_token=SecretValue("won"), token=access_token(), refreshed_from=SecretValue("seed").digest())
    await around.escrow.keep(GRANT_LOCATION, kept, "us-0", SecretValue("hush"))

    await around.run()

    assert ({}, []) == (around.cluster.escrow, around.pipedrive.sent)


async def test_without_rotation_an_old_escrow_does_not_put_an_older_access_token_back(around: Surroundings) -> None:
    """The refresh token tells nothing then, and none can be lost."""
    newer = Grant(refresh_token=SecretValue("seed"), token=access_token("newer"))
    around.vault.put(GRANT_LOCATION, **write_grant(newer, {}))
    older = replace(newer, token=access_token("older"), refreshed_from=newer.lineage)
    await around.escrow.keep(GRANT_LOCATION, older, "us-0", SecretValue("hush"))

    grant = await around.run()

    assert newer.access_digest == grant.access_digest == around.stored.access_digest
    assert {} == around.cluster.escrow


def test_without_rotation_another_holders_access_token_stays(around: Surroundings) -> None:
    """We were stopped after our refresh, and another holder has refreshed and stored since."""
    spent = Grant(refresh_token=SecretValue("seed"), token=access_token("old"))
    ours, theirs = (replace(spent, token=access_token(name)) for name in ("ours", "theirs"))

    assert around.protocol.supersedes(theirs, ours, spent=spent)
    assert not around.protocol.supersedes(spent, ours, spent=spent)


async def test_an_answer_of_which_only_the_refresh_token_can_be_used_is_stored(around: Surroundings) -> None:
    """The old one is spent; what is wrong with the rest is told, and the next try sends the new one."""
    around.pipedrive.spoils_answers = True
    with pytest.raises(TokenResponseUnusable, match="api_domain"):
        await around.run()
    assert SecretValue("refresh-1") == around.stored.refresh_token
    assert (None, None) == (around.stored.intent, around.stored.unanswered)

    around.pipedrive.spoils_answers = False
    await around.run()

    assert ["seed", "refresh-1"] == around.pipedrive.sent
    assert SecretValue("refresh-2") == around.stored.refresh_token


@pytest.mark.parametrize("fault", ["away", "defect"])
async def test_what_neither_vault_nor_escrow_takes_is_held_until_one_does(around: Surroundings, fault: str) -> None:
    """Vault holds another grant just then, which may be a backup's; a defect of the escrow ends nothing either."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    around.cluster.network.is_away = fault == "away"
    around.cluster.breaks = RuntimeError("a defect") if fault == "defect" else None
    task = await around.begin()
    around.vault.put(GRANT_LOCATION, refresh_token="of last week")
    around.pipedrive.answer()
    await around.clock.somebody_sleeps.wait()
    around.cluster.network.is_away, around.cluster.breaks = False, None

    around.clock.turn(timedelta(seconds=2))
    await task

    assert SecretValue("refresh-1") == around.stored.refresh_token
    assert (fault == "defect") == bool(reported)


async def test_a_document_that_has_two_names_is_refreshed_by_one_flight_at_a_time(around: Surroundings) -> None:
    """Two connections may lead to one Vault: an intent of ours under the other name is waited for as a stranger's."""
    alias = replace(GRANT_LOCATION, connection="alias")
    around.vault.aliases[alias] = GRANT_LOCATION
    first = await around.begin()
    order = replace(ORDER, source=replace(ORDER.source, location=alias))

    second = asyncio.create_task(around.protocol.run(order, print))
    await around.clock.somebody_sleeps.wait()
    around.pipedrive.answer()
    won = await first
    around.clock.turn(timedelta(seconds=2))

    assert won.access_digest == (await second).access_digest
    assert ["seed"] == around.pipedrive.sent
