"""Storing the result of a refresh: in Vault, in escrow meanwhile, and settled by the next process."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from fakes.escrow import build_escrow
from pipedrive_operator.core.grant.document import VaultLocation
from pipedrive_operator.core.grant.grant import Grant, write_grant
from pipedrive_operator.core.grant.intent import Intent
from pipedrive_operator.core.grant.succession import EscrowedGrant
from pipedrive_operator.core.values.errors import ConsentRequired, GrantUnstored, SourceMissing, TokenResponseUnusable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.fairness.slots import serving
from pipedrive_operator.grants.protocol import MOST_AT_ONCE
from support.builders import GRANT_LOCATION, access_token
from support.refresh import ORDER, Surroundings


async def test_a_result_goes_to_escrow_and_the_next_process_stores_it(around: Surroundings) -> None:
    """The process dies while Vault is sealed. The refresh token in Vault is spent, but nothing is lost."""
    around.vault.breaks_after = 1
    task = asyncio.create_task(around.run())
    await around.clock.somebody_sleeps.wait()
    task.cancel()
    assert around.cluster.escrow
    around.vault.breaks_after = None
    around.start()

    grant = await around.run()

    assert SecretValue("refresh-1") == grant.refresh_token == around.stored.refresh_token
    assert ["seed"] == around.pipedrive.sent
    assert {} == around.cluster.escrow


async def test_an_escrow_of_unclear_descent_is_dropped_once_pipedrive_accepts_what_vault_holds(
    around: Surroundings,
) -> None:
    """A person may have consented in the meantime, and the escrow must not overwrite that."""
    old = Grant(refresh_token=SecretValue("old"), token=access_token("old"), refreshed_from="of another")
    await around.escrow.keep(GRANT_LOCATION, old, "us-0", SecretValue("hush"))

    await around.run()

    assert SecretValue("refresh-1") == around.stored.refresh_token
    assert {} == around.cluster.escrow


async def test_an_escrow_replaces_the_spent_token_of_a_restored_vault(around: Surroundings) -> None:
    """Vault was restored from a backup with a spent token, and the only living token is in escrow."""
    around.pipedrive.alive = {"newest"}
    escrowed = Grant(refresh_token=SecretValue("newest"), refreshed_from="of one that the backup lacks")
    await around.escrow.keep(GRANT_LOCATION, escrowed, "us-0", SecretValue("hush"))

    await around.run()

    assert ["seed", "newest"] == around.pipedrive.sent
    assert SecretValue("refresh-1") == around.stored.refresh_token
    assert {} == around.cluster.escrow


async def test_a_grant_that_another_process_puts_in_escrow_later_replaces_a_refused_one(around: Surroundings) -> None:
    """This process has listed the escrow before, and does not know of it."""
    await around.escrow.load()
    around.pipedrive.alive = {"newest"}
    await _kept_by_another(around, "newest")

    await around.run()

    assert ["seed", "newest"] == around.pipedrive.sent
    assert SecretValue("newest").digest() == around.stored.refreshed_from


async def test_a_grant_in_escrow_does_not_replace_a_consent_that_follows_a_refusal(around: Surroundings) -> None:
    """A person writes it while the escrow is read; both grants are alive."""
    await _kept_by_another(around, "newest")
    around.pipedrive.alive = {"newest", "consented"}
    read_escrow = around.escrow.open

    async def consent_meanwhile(location: VaultLocation, key: SecretValue, **how: bool) -> tuple[EscrowedGrant, ...]:
        around.escrow.open = read_escrow  # type: ignore[method-assign]
        around.vault.put(GRANT_LOCATION, refresh_token="consented")
        return await read_escrow(location, key, **how)

    around.escrow.open = consent_meanwhile  # type: ignore[method-assign]

    await around.run()

    assert ["seed", "consented"] == around.pipedrive.sent
    assert SecretValue("consented").digest() == around.stored.refreshed_from


async def test_a_result_survives_a_restore_of_vault_during_the_refresh(around: Surroundings) -> None:
    """Vault then holds neither the spent token nor its successor: only Pipedrive knows which one is alive."""
    task = await around.begin()
    around.vault.put(GRANT_LOCATION, refresh_token="of last week")
    around.pipedrive.answer()

    await task

    assert ["seed", "of last week"] == around.pipedrive.sent
    assert SecretValue("refresh-1") == around.stored.refresh_token
    assert {} == around.cluster.escrow


async def test_a_grant_is_dead_only_when_its_escrow_was_refused_too(around: Surroundings) -> None:
    """The newest refresh token that we hold is in escrow."""
    escrowed = Grant(refresh_token=SecretValue("newest"), refreshed_from="of another")
    await around.escrow.keep(GRANT_LOCATION, escrowed, "us-0", SecretValue("hush"))
    around.pipedrive.alive = set()

    with pytest.raises(ConsentRequired):
        await around.run()

    assert ["seed", "newest"] == around.pipedrive.sent


async def test_an_escrow_that_pipedrive_has_refused_is_dropped_with_the_next_refusal(around: Surroundings) -> None:
    """It has replaced the grant, and another process put it into escrow again. Nothing is alive."""
    escrowed = Grant(refresh_token=SecretValue("newest"), refreshed_from="of another")
    await around.escrow.keep(GRANT_LOCATION, escrowed, "us-0", SecretValue("hush"))
    around.pipedrive.alive = set()
    with pytest.raises(ConsentRequired):
        await around.run()
    around.vault.put(GRANT_LOCATION, refresh_token="another")
    await around.escrow.keep(GRANT_LOCATION, escrowed, "us-0", SecretValue("hush"))

    with pytest.raises(ConsentRequired):
        await around.run()

    assert (["seed", "newest", "another"], {}) == (around.pipedrive.sent, around.cluster.escrow)


@pytest.mark.parametrize("error", [SourceMissing("no engine at the mount"), RuntimeError("a defect")])
async def test_a_result_is_kept_and_stored_again_after_any_failure(around: Surroundings, error: Exception) -> None:
    """A removed mount or a defect of the operator must not cost a refresh token; a defect is reported."""
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    task = await around.begin()
    around.vault.breaks = error
    around.pipedrive.answer()
    await around.clock.somebody_sleeps.wait()
    assert around.cluster.escrow
    around.vault.breaks = None

    around.clock.turn(timedelta(seconds=2))
    await task

    assert SecretValue("refresh-1") == around.stored.refresh_token
    assert {} == around.cluster.escrow
    assert ([] if isinstance(error, SourceMissing) else [error]) == reported


async def test_results_that_cannot_be_stored_do_not_delay_other_refreshes(around: Surroundings) -> None:
    """Refreshes of many namespaces wait to be stored; the next one is sent nevertheless."""
    locations = [replace(GRANT_LOCATION, path=f"pipedrive/crm/{number}") for number in range(MOST_AT_ONCE)]
    for location in locations:
        around.vault.put(location, refresh_token=location.path)
        around.pipedrive.alive.add(location.path)
    around.vault.breaks_after = MOST_AT_ONCE  # it takes the intents
    gate = around.pipedrive.gate = asyncio.Event()
    stuck = []
    for one in locations:
        with serving(one.path):
            order = replace(ORDER, source=replace(ORDER.source, location=one))
            stuck.append(asyncio.create_task(around.protocol.run(order, print)))
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
    """It may contain the only living token, so a person must act, and nothing is sent."""
    kept = Grant(refresh_token=SecretValue("newest"), refreshed_from=SecretValue("seed").digest())
    await around.escrow.keep(GRANT_LOCATION, kept, "us-0", SecretValue("another secret"))

    with pytest.raises(GrantUnstored):
        await around.run()

    assert [] == around.pipedrive.sent


async def test_a_leftover_escrow_is_settled_without_a_refresh(around: Surroundings) -> None:
    """The process died after Vault had stored the result: the next process drops the copy."""
    around.vault.put(
        GRANT_LOCATION, **write_grant(Grant(refresh_token=SecretValue("newest"), token=access_token()), {})
    )
    kept = Grant(refresh_token=SecretValue("newest"), token=access_token(), refreshed_from=SecretValue("seed").digest())
    await around.escrow.keep(GRANT_LOCATION, kept, "us-0", SecretValue("hush"))

    await around.run()

    assert ({}, []) == (around.cluster.escrow, around.pipedrive.sent)


async def test_a_refused_grant_from_escrow_names_the_unanswered_refresh_before_it(around: Surroundings) -> None:
    """The result of another consent may have been lost with that refresh, and the consent ended the grant in escrow."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", refresh_unanswered="1", refresh_unanswered_by="them")
    around.pipedrive.alive = set()
    kept = Grant(refresh_token=SecretValue("newest"), refreshed_from=SecretValue("seed").digest())
    await around.escrow.keep(GRANT_LOCATION, kept, "us-0", SecretValue("hush"))

    with pytest.raises(ConsentRequired, match="by them, went unanswered"):
        await around.run()

    assert ["newest"] == around.pipedrive.sent


async def test_without_rotation_an_old_escrow_does_not_restore_an_older_access_token(around: Surroundings) -> None:
    """The refresh token does not show the descent then, and cannot be lost."""
    newer = Grant(refresh_token=SecretValue("seed"), token=access_token("newer"))
    around.vault.put(GRANT_LOCATION, **write_grant(newer, {}))
    older = replace(newer, token=access_token("older"), refreshed_from=newer.lineage)
    await around.escrow.keep(GRANT_LOCATION, older, "us-0", SecretValue("hush"))

    grant = await around.run()

    assert newer.access_digest == grant.access_digest == around.stored.access_digest
    assert {} == around.cluster.escrow


def test_without_rotation_another_holders_access_token_stays(around: Surroundings) -> None:
    """This process was frozen after its refresh, and another holder has stored a newer one since."""
    old = Grant(refresh_token=SecretValue("seed"), token=access_token("old"))
    ours, theirs = (replace(old, token=access_token(name)) for name in ("ours", "theirs"))
    intent = Intent(refresh_id="us-1", holder="us", started_at=around.clock.now(), timeout=timedelta(seconds=77))
    spent = replace(old, intent=intent)

    assert around.protocol.supersedes(theirs, ours, spent=spent)
    assert not around.protocol.supersedes(old, ours, spent=spent)


async def test_a_response_with_only_a_usable_refresh_token_is_stored(around: Surroundings) -> None:
    """The old token is spent. The error is reported, and the next attempt sends the new token."""
    around.pipedrive.spoils_answers = 1.0
    with pytest.raises(TokenResponseUnusable, match="api_domain"):
        await around.run()
    assert SecretValue("refresh-1") == around.stored.refresh_token
    assert (None, None) == (around.stored.intent, around.stored.unanswered)

    around.pipedrive.spoils_answers = 0.0
    await around.run()

    assert ["seed", "refresh-1"] == around.pipedrive.sent
    assert SecretValue("refresh-2") == around.stored.refresh_token


@pytest.mark.parametrize("fault", ["away", "defect"])
async def test_a_result_is_held_in_memory_until_vault_or_escrow_stores_it(around: Surroundings, fault: str) -> None:
    """Vault may hold the grant of a backup, and even a defect of the escrow must not lose the result."""
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


async def test_a_document_with_two_locations_is_refreshed_once_at_a_time(around: Surroundings) -> None:
    """Two connections may lead to one Vault: our intent at the other one counts as that of another holder."""
    alias = replace(GRANT_LOCATION, connection="alias")
    around.vault.aliases[alias] = GRANT_LOCATION
    first = await around.begin()
    order = replace(ORDER, source=replace(ORDER.source, location=alias))

    second = asyncio.create_task(around.protocol.run(order, print))
    await around.clock.somebody_sleeps.wait()
    around.pipedrive.answer()
    refreshed = await first
    around.clock.turn(timedelta(seconds=2))

    assert refreshed.access_digest == (await second).grant.access_digest
    assert ["seed"] == around.pipedrive.sent


async def test_the_escrow_of_an_older_refresh_does_not_replace_that_of_a_newer_one(around: Surroundings) -> None:
    """This process was stopped while a person consented and another one refreshed that grant and died."""
    around.pipedrive.alive.add("consent-5")
    task = await around.begin()
    around.vault.put(GRANT_LOCATION, refresh_token="consent-5")
    newest = Grant(refresh_token=SecretValue("newest"), refreshed_from=SecretValue("consent-5").digest())
    await build_escrow(around.cluster).keep(GRANT_LOCATION, newest, "them-1", SecretValue("hush"))
    around.pipedrive.alive = {"seed", "newest"}
    around.pipedrive.answer()

    await task

    assert ["seed", "newest"] == around.pipedrive.sent
    assert SecretValue("newest").digest() == around.stored.refreshed_from
    assert {} == around.cluster.escrow


async def test_what_a_stalled_holder_has_kept_in_escrow_is_stored_when_its_intent_is_taken_over(
    around: Surroundings,
) -> None:
    """This process began to lead before that, and does not know of the escrow."""
    marks = {"refresh_id": "them-1", "refresh_holder": "them", "refresh_timeout": "10s"}
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **marks)
    task = asyncio.create_task(around.run())
    await around.clock.next_sleep()
    kept = Grant(refresh_token=SecretValue("newest"), token=access_token(), refreshed_from=SecretValue("seed").digest())
    await build_escrow(around.cluster).keep(GRANT_LOCATION, kept, "them-1", SecretValue("hush"))

    around.clock.turn(timedelta(seconds=11))
    await task

    assert [] == around.pipedrive.sent
    assert SecretValue("newest") == around.stored.refresh_token


async def test_a_slow_refresh_does_not_overwrite_a_consent_with_the_same_version_number(around: Surroundings) -> None:
    """Vault was restored from a backup meanwhile, and has counted up to the number of our intent again."""
    around.pipedrive.alive.add("consented")
    task = await around.begin()
    ours = around.vault.documents[GRANT_LOCATION]
    around.vault.documents[GRANT_LOCATION] = replace(ours, values={"refresh_token": "consented"})
    around.clock.turn(timedelta(seconds=2))
    around.pipedrive.answer()

    await task

    assert ["seed", "consented"] == around.pipedrive.sent
    assert SecretValue("consented").digest() == around.stored.refreshed_from


async def test_a_grant_from_escrow_does_not_overwrite_a_consent_with_the_same_version_number(
    around: Surroundings,
) -> None:
    """Vault was restored while the escrow was read, and a consent has the number that was read before."""
    descendant = Grant(refresh_token=SecretValue("newest"), refreshed_from=around.stored.lineage)
    await around.escrow.keep(GRANT_LOCATION, descendant, "us-0", SecretValue("hush"))
    around.pipedrive.alive = {"consented"}

    def restore() -> None:
        around.clock.turn(timedelta(seconds=2))
        held = around.vault.documents[GRANT_LOCATION]
        around.vault.documents[GRANT_LOCATION] = replace(held, values={"refresh_token": "consented"})
        around.cluster.lists_escrow = lambda _: None  # type: ignore[method-assign,assignment]

    around.cluster.lists_escrow = lambda _: restore()  # type: ignore[method-assign,assignment]

    await around.in_time(around.run())

    assert ["consented"] == around.pipedrive.sent
    assert SecretValue("consented").digest() == around.stored.refreshed_from


async def _kept_by_another(around: Surroundings, refresh_token: str) -> None:
    """Let another process put a grant in escrow that descends from nothing in Vault."""
    kept = Grant(refresh_token=SecretValue(refresh_token), refreshed_from="of another")
    await build_escrow(around.cluster).keep(GRANT_LOCATION, kept, "them-1", SecretValue("hush"))
