"""The keeper of grants, on fakes of Vault and Pipedrive: what it sends, stores and reports."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import (
    ClientRejected,
    ConsentRequired,
    InvalidSpec,
    PipedriveUnavailable,
    SourceMissing,
    Trouble,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, GRANT_SOURCE, KEY
from support.keepers import KeeperSurroundings, build_keeper, until_it_sleeps
from support.refresh import ORDER, in_time


@pytest.fixture
async def around() -> AsyncIterator[KeeperSurroundings]:
    """Return a keeper, and wait at the end until no refresh is in progress."""
    made = KeeperSurroundings()
    yield made
    await made.keeper.drain()


async def test_a_refresh_is_stored_with_foreign_keys_kept(around: KeeperSurroundings) -> None:
    """Only our keys of the document change."""
    refreshed = await around.refresh()

    assert isinstance(refreshed, refresh_state.Fresh)
    assert ("access-1", "refresh-1") == (around.stored("access_token"), around.stored("refresh_token"))
    assert ("theirs", {"a": 1}) == (around.stored("note"), around.stored("nested"))
    assert SecretValue("seed").digest() == around.stored("refreshed_from")


async def test_a_grant_is_not_fresh_before_vault_has_stored_it(around: KeeperSurroundings) -> None:
    """A waiting credential is woken when storing fails, and at the end."""
    around.vault.breaks_after = 1
    around.keeper.refresh(ORDER)
    await until_it_sleeps(around.clock)

    assert isinstance(around.keeper.state(GRANT_SOURCE), refresh_state.Unstored)
    assert ["keep escrow"] == around.cluster.writes

    around.vault.breaks_after = None
    around.clock.turn(timedelta(minutes=1))
    await around.keeper.drain()
    assert "refresh-1" == around.stored("refresh_token")
    assert ["seed"] == around.pipedrive.spent
    assert ["keep escrow", "drop escrow"] == around.cluster.writes
    assert [refresh_state.Unstored, refresh_state.Fresh] == [type(refreshed) for _, refreshed in around.reported_states]


async def test_many_requests_make_one_refresh(around: KeeperSurroundings) -> None:
    """An order during a refresh joins it, and all requesters are woken."""
    other = Key(namespace="crm", name="other")
    around.pipedrive.gate = asyncio.Event()
    around.keeper.refresh(ORDER)
    around.keeper.refresh(replace(ORDER, requester=other))
    around.pipedrive.gate.set()
    await around.keeper.drain()

    assert ["seed"] == around.pipedrive.spent
    assert frozenset({KEY, other}) == around.reported_states[-1][0]


async def test_a_grant_that_another_holder_refreshed_is_used(around: KeeperSurroundings) -> None:
    """Another cluster was faster, so its token is used."""
    around.vault.put(GRANT_LOCATION, refresh_token="theirs", access_token="theirs", expires_at="2026-03-04T13:00:00Z")

    refreshed = await around.refresh()

    assert isinstance(refreshed, refresh_state.Fresh)
    assert [] == around.pipedrive.spent
    assert refreshed.grant.token is not None
    assert SecretValue("theirs") == refreshed.grant.token.value


async def test_a_lost_acknowledgement_causes_no_second_write(around: KeeperSurroundings) -> None:
    """The write succeeded: Vault holds our own result."""
    around.vault.breaks_after = 1
    around.vault.loses_acknowledgements = True
    around.keeper.refresh(ORDER)
    await until_it_sleeps(around.clock)
    around.vault.breaks_after = None
    around.clock.turn(timedelta(minutes=1))

    await around.keeper.drain()

    assert isinstance(around.keeper.state(GRANT_SOURCE), refresh_state.Fresh)
    assert 2 == len(around.vault.writes)


async def test_a_result_overwrites_an_edited_grant_with_the_spent_token(around: KeeperSurroundings) -> None:
    """The result is the successor of the spent token; the edited foreign key stays."""
    around.pipedrive.gate = asyncio.Event()
    around.keeper.refresh(ORDER)
    await asyncio.sleep(0)
    around.vault.put(GRANT_LOCATION, refresh_token="seed", note="edited")
    around.pipedrive.gate.set()
    await around.keeper.drain()

    assert ("refresh-1", "edited") == (around.stored("refresh_token"), around.stored("note"))


async def test_a_consent_during_the_refresh_wins(around: KeeperSurroundings) -> None:
    """Another refresh token in Vault stays, regardless of time. Once Pipedrive accepts it, our result is dropped."""
    around.pipedrive.alive.add("consented")
    around.pipedrive.gate = asyncio.Event()
    around.keeper.refresh(ORDER)
    for _ in range(5):
        await asyncio.sleep(0)
    around.vault.put(GRANT_LOCATION, refresh_token="consented", access_token="new", expires_at="2026-03-04T13:00:00Z")
    around.pipedrive.gate.set()
    await around.keeper.drain()

    assert ["seed", "consented"] == around.pipedrive.sent
    assert SecretValue("consented").digest() == around.stored("refreshed_from")


async def test_a_result_is_stored_even_if_the_grant_was_deleted(around: KeeperSurroundings) -> None:
    """A refreshed grant is never discarded. It is in escrow until it is certain that no standby of Vault lags."""
    around.pipedrive.gate = asyncio.Event()
    around.keeper.refresh(ORDER)
    for _ in range(5):
        await asyncio.sleep(0)
    del around.vault.documents[GRANT_LOCATION]
    around.pipedrive.gate.set()
    await in_time(around.clock, around.keeper.drain())

    assert "refresh-1" == around.stored("refresh_token")


async def test_a_refused_grant_needs_a_person(around: KeeperSurroundings) -> None:
    """The grant stays unchanged, and our intent is removed."""
    around.pipedrive.alive.clear()

    refreshed = await around.refresh(replace(ORDER, lineage="known"))

    assert isinstance(refreshed, refresh_state.Refused)
    assert isinstance(refreshed.trouble, ConsentRequired)
    assert refreshed.trouble.__traceback__ is None
    assert "known" == refreshed.lineage
    assert ("seed", None) == (around.stored("refresh_token"), around.stored("refresh_id"))


async def test_a_grant_that_was_replaced_during_a_refusal_is_refreshed(around: KeeperSurroundings) -> None:
    """The refusal was about a token that Vault no longer holds."""
    around.pipedrive.alive = {"consented"}
    around.pipedrive.gate = asyncio.Event()
    around.keeper.refresh(ORDER)
    for _ in range(5):
        await asyncio.sleep(0)
    around.vault.put(GRANT_LOCATION, refresh_token="consented")
    around.pipedrive.gate.set()
    await around.keeper.drain()

    assert isinstance(around.keeper.state(GRANT_SOURCE), refresh_state.Fresh)
    assert ["consented"] == around.pipedrive.spent


async def test_a_wrong_client_leaves_the_grant_alive(around: KeeperSurroundings) -> None:
    """A person must fix the client; the grant is not declared dead."""
    around.pipedrive.breaks = ClientRejected("Pipedrive refused the client")

    refreshed = await around.refresh()

    assert isinstance(refreshed, refresh_state.Refused)
    assert ("seed", None) == (around.stored("refresh_token"), around.stored("refresh_id"))


async def test_a_temporary_failure_is_retried(around: KeeperSurroundings) -> None:
    """The pause grows with each failure."""
    around.pipedrive.breaks = PipedriveUnavailable("503")
    first = await around.refresh()
    second = await around.refresh()

    assert isinstance(first, refresh_state.Unavailable)
    assert isinstance(second, refresh_state.Unavailable)
    assert first.retry_at < second.retry_at


@pytest.mark.parametrize("step", [timedelta(minutes=-5), timedelta(minutes=5)])
@pytest.mark.parametrize("trouble", [PipedriveUnavailable("503"), ClientRejected("Pipedrive refused the client")])
async def test_a_pause_takes_the_same_time_if_the_wall_clock_is_turned(
    around: KeeperSurroundings, trouble: Trouble, step: timedelta
) -> None:
    """Its end moves with the clock."""
    around.pipedrive.breaks = trouble
    before = await around.refresh()
    around.clock.step(step)

    after = around.keeper.state(GRANT_SOURCE)

    assert isinstance(before, refresh_state.Unavailable | refresh_state.Refused)
    assert replace(before, retry_at=before.retry_at + step) == after


async def test_no_pause_is_longer_than_a_quarter_of_the_remaining_lifetime(around: KeeperSurroundings) -> None:
    """Even after many failures, the end of an outage is noticed before the access token expires."""
    around.pipedrive.breaks = PipedriveUnavailable("503")
    order = replace(ORDER, expires_at=around.clock.now() + timedelta(minutes=2))
    refreshed: refresh_state.RefreshState = refresh_state.IDLE
    for _ in range(9):
        refreshed = await around.refresh(order)

    assert isinstance(refreshed, refresh_state.Unavailable)
    assert timedelta(seconds=30) == refreshed.retry_at - around.clock.now()


async def test_a_watcher_of_a_refresh_is_woken_at_its_end(around: KeeperSurroundings) -> None:
    """Otherwise the status of a credential that did not order it would stay Pending until its next poll."""
    watcher = Key(namespace="crm", name="watcher")
    around.keeper.refresh(ORDER)

    assert isinstance(around.keeper.state(GRANT_SOURCE, watcher=watcher), refresh_state.Refreshing)
    await around.keeper.drain()

    keys, refreshed = around.reported_states[-1]
    assert {KEY, watcher} == keys
    assert isinstance(refreshed, refresh_state.Fresh)


async def test_a_woken_credential_may_order_the_next_refresh_at_once(around: KeeperSurroundings) -> None:
    """The refresh has ended by then; otherwise the order would join it without an effect."""
    asked: list[refresh_state.RefreshState] = []

    def ask_again(_: frozenset[Key], refreshed: refresh_state.RefreshState) -> None:
        if isinstance(refreshed, refresh_state.Fresh) and not asked:
            asked.append(refreshed)
            around.keeper.refresh(replace(ORDER, replaces=refreshed.grant.access_digest))

    around.keeper = build_keeper(around.vault, around.pipedrive, around.clock, ask_again)
    around.keeper.refresh(ORDER)
    await around.keeper.drain()

    assert ["seed", "refresh-1"] == around.pipedrive.spent


async def test_a_grant_of_another_client_is_not_sent(around: KeeperSurroundings) -> None:
    """Pipedrive would refuse it, and a person would be asked for a consent that is not needed."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", client_id="another")

    refreshed = await around.refresh()

    assert isinstance(refreshed, refresh_state.Refused | refresh_state.Unavailable)
    assert isinstance(refreshed.trouble, InvalidSpec)
    assert refreshed.trouble.__traceback__ is None
    assert [] == around.pipedrive.spent


async def test_a_message_never_quotes_what_vault_holds_as_an_id(around: KeeperSurroundings) -> None:
    """A spec may name the key of a secret as that of the client id, and everyone with `view` reads the status."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", client_id="id-in-the-grant")
    around.vault.put(CLIENT_SOURCE.location, client_id="secret-by-mistake", client_secret="hush")

    state = await around.refresh()

    assert isinstance(state, refresh_state.Refused | refresh_state.Unavailable)
    assert "secret-by-mistake" not in state.trouble.message
    assert "id-in-the-grant" not in state.trouble.message


async def test_a_missing_client_is_named(around: KeeperSurroundings) -> None:
    """The path and the keys are in the message."""
    del around.vault.documents[CLIENT_SOURCE.location]

    refreshed = await around.refresh()

    assert isinstance(refreshed, refresh_state.Unavailable)
    assert isinstance(refreshed.trouble, SourceMissing)
    assert "secret/apps/crm-sync" in refreshed.trouble.message


async def test_a_defect_is_reported_and_not_repeated_at_once(around: KeeperSurroundings) -> None:
    """The request may have been sent before the error."""
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
    around.pipedrive.breaks = ZeroDivisionError("a defect")  # no port raises it

    refreshed = await around.refresh()

    assert ["the refresh of secret/pipedrive/crm/acme failed unexpectedly"] == reported
    assert isinstance(refreshed, refresh_state.Unavailable)
    assert refreshed.retry_at - around.clock.now() >= timedelta(minutes=1)


async def test_a_process_that_shuts_down_sends_nothing(around: KeeperSurroundings) -> None:
    """A refresh that waits for another holder is postponed, since its result might come too late to be stored."""
    marks = {"refresh_id": "1", "refresh_holder": "another", "refresh_timeout": "10s"}
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **marks)
    around.keeper.refresh(ORDER)
    await until_it_sleeps(around.clock)

    around.keeper.stop_sending()
    around.clock.turn(timedelta(minutes=1))
    await around.keeper.drain()

    assert [] == around.pipedrive.sent
    assert "1" == around.stored("refresh_id")


async def test_a_process_that_shuts_down_stops_at_the_fence(around: KeeperSurroundings) -> None:
    """A refresh that has written its intent but sent nothing withdraws the intent."""
    around.pipedrive.before_fence = around.keeper.stop_sending
    await around.refresh()

    assert [] == around.pipedrive.sent
    assert around.stored("refresh_id") is None


async def test_the_refusal_of_a_former_grant_is_not_shown_while_the_next_one_is_refreshed(
    around: KeeperSurroundings,
) -> None:
    """A person has consented since, or another cluster has stored its escrow: nobody must consent again."""
    around.pipedrive.alive = set()
    assert isinstance(await around.refresh(), refresh_state.Refused)

    around.keeper.refresh(replace(ORDER, lineage=SecretValue("another").digest()))

    assert refresh_state.Refreshing(last=None) == around.keeper.state(GRANT_SOURCE)
    await around.keeper.drain()


async def test_how_refreshes_ended_is_forgotten_at_once(around: KeeperSurroundings) -> None:
    """This replica leads again: nothing waits for the end of an old pause."""
    around.pipedrive.breaks = PipedriveUnavailable("503")
    first = await around.refresh()

    around.keeper.forget_all()

    assert refresh_state.IDLE == around.keeper.state(GRANT_SOURCE)
    assert first == await around.refresh()


async def test_a_refresh_in_progress_is_not_forgotten(around: KeeperSurroundings) -> None:
    """Its refresh token was sent, and nobody may order another one."""
    around.pipedrive.gate = asyncio.Event()
    around.keeper.refresh(ORDER)

    around.keeper.forget_all()

    assert isinstance(around.keeper.state(GRANT_SOURCE), refresh_state.Refreshing)
    around.pipedrive.gate.set()
