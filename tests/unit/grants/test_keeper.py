"""The keeper of grants, on fakes of Vault and Pipedrive: what it sends, stores and reports."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from fakes.clock import TurnedClock
from fakes.cluster import FakeCluster
from fakes.escrow import build_escrow
from fakes.pipedrive import FakePipedrive
from fakes.vault import FakeVault
from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.document import Document, TenantIdentity, VaultIdentity, VaultLocation
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import (
    ClientRejected,
    ConsentRequired,
    InvalidSpec,
    PipedriveUnavailable,
    SourceMissing,
    Trouble,
    VaultDenied,
    VaultUnavailable,
)
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.grants import RefreshOrder
from pipedrive_operator.grants.values import ExchangeOrder
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, GRANT_SOURCE, KEY
from support.keepers import build_keeper
from support.refresh import ORDER


@dataclass
class Surroundings:
    """A keeper, and the fakes that it uses."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    reported_states: list[tuple[frozenset[Key], refresh_state.RefreshState]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Store a grant and its client in Vault."""
        self.vault = FakeVault(self.clock)
        self.pipedrive = FakePipedrive(self.clock, alive={"seed"})
        self.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="hush")
        self.vault.put(GRANT_LOCATION, refresh_token="seed", note="theirs", nested={"a": 1})
        self.cluster = FakeCluster()
        self.keeper = build_keeper(
            self.vault,
            self.pipedrive,
            self.clock,
            lambda keys, flight: self.reported_states.append((keys, flight)),
            escrow=build_escrow(self.cluster),
        )

    async def refresh(self, order: RefreshOrder = ORDER) -> refresh_state.RefreshState:
        """Refresh, and return the final state."""
        self.keeper.refresh(order)
        await self.keeper.drain()
        return self.keeper.state(GRANT_SOURCE)

    def stored(self, key: str) -> object:
        """Return the grant in Vault."""
        return self.vault.documents[GRANT_LOCATION].values.get(key)


@pytest.fixture
async def around() -> AsyncIterator[Surroundings]:
    """Return a keeper, and wait at the end until no refresh is in progress."""
    made = Surroundings()
    yield made
    await made.keeper.drain()


async def until_it_sleeps(clock: TurnedClock) -> None:
    """Run all tasks until they wait for the clock."""
    async with asyncio.timeout(5):
        await clock.somebody_sleeps.wait()


async def test_a_refresh_is_stored_with_foreign_keys_kept(around: Surroundings) -> None:
    """Only our keys of the document change."""
    flight = await around.refresh()

    assert isinstance(flight, refresh_state.Fresh)
    assert ("access-1", "refresh-1") == (around.stored("access_token"), around.stored("refresh_token"))
    assert ("theirs", {"a": 1}) == (around.stored("note"), around.stored("nested"))
    assert SecretValue("seed").digest() == around.stored("refreshed_from")


async def test_a_grant_is_not_fresh_before_vault_has_stored_it(around: Surroundings) -> None:
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
    assert [refresh_state.Unstored, refresh_state.Fresh] == [type(flight) for _, flight in around.reported_states]


async def test_many_requests_make_one_refresh(around: Surroundings) -> None:
    """An order during a refresh joins it, and all requesters are woken."""
    other = Key(namespace="crm", name="other")
    around.pipedrive.gate = asyncio.Event()
    around.keeper.refresh(ORDER)
    around.keeper.refresh(replace(ORDER, requester=other))
    around.pipedrive.gate.set()
    await around.keeper.drain()

    assert ["seed"] == around.pipedrive.spent
    assert frozenset({KEY, other}) == around.reported_states[-1][0]


async def test_a_grant_that_another_holder_refreshed_is_used(around: Surroundings) -> None:
    """Another cluster was faster, so its token is used."""
    around.vault.put(GRANT_LOCATION, refresh_token="theirs", access_token="theirs", expires_at="2026-03-04T13:00:00Z")

    flight = await around.refresh()

    assert isinstance(flight, refresh_state.Fresh)
    assert [] == around.pipedrive.spent
    assert flight.grant.token is not None
    assert SecretValue("theirs") == flight.grant.token.value


async def test_a_lost_acknowledgement_causes_no_second_write(around: Surroundings) -> None:
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


async def test_a_result_overwrites_an_edited_grant_with_the_spent_token(around: Surroundings) -> None:
    """The result is the successor of the spent token; the edited foreign key stays."""
    around.pipedrive.gate = asyncio.Event()
    around.keeper.refresh(ORDER)
    await asyncio.sleep(0)
    around.vault.put(GRANT_LOCATION, refresh_token="seed", note="edited")
    around.pipedrive.gate.set()
    await around.keeper.drain()

    assert ("refresh-1", "edited") == (around.stored("refresh_token"), around.stored("note"))


async def test_a_consent_during_the_refresh_wins(around: Surroundings) -> None:
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


async def test_a_result_is_stored_even_if_the_grant_was_deleted(around: Surroundings) -> None:
    """A refreshed grant is never discarded."""
    around.pipedrive.gate = asyncio.Event()
    around.keeper.refresh(ORDER)
    for _ in range(5):
        await asyncio.sleep(0)
    del around.vault.documents[GRANT_LOCATION]
    around.pipedrive.gate.set()
    await around.keeper.drain()

    assert "refresh-1" == around.stored("refresh_token")


async def test_a_refused_grant_needs_a_person(around: Surroundings) -> None:
    """The grant stays unchanged, and our intent is removed."""
    around.pipedrive.alive.clear()

    flight = await around.refresh(replace(ORDER, lineage="known"))

    assert isinstance(flight, refresh_state.Refused)
    assert isinstance(flight.trouble, ConsentRequired)
    assert "known" == flight.lineage
    assert ("seed", None) == (around.stored("refresh_token"), around.stored("refresh_id"))


async def test_a_grant_that_was_replaced_during_a_refusal_is_refreshed(around: Surroundings) -> None:
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


async def test_a_wrong_client_leaves_the_grant_alive(around: Surroundings) -> None:
    """A person must fix the client; the grant is not declared dead."""
    around.pipedrive.breaks = ClientRejected("Pipedrive refused the client")

    flight = await around.refresh()

    assert isinstance(flight, refresh_state.Refused)
    assert ("seed", None) == (around.stored("refresh_token"), around.stored("refresh_id"))


async def test_a_temporary_failure_is_retried(around: Surroundings) -> None:
    """The pause grows with each failure."""
    around.pipedrive.breaks = PipedriveUnavailable("503")
    first = await around.refresh()
    second = await around.refresh()

    assert isinstance(first, refresh_state.Unavailable)
    assert isinstance(second, refresh_state.Unavailable)
    assert first.retry_at < second.retry_at


async def test_no_pause_is_longer_than_a_quarter_of_the_remaining_lifetime(around: Surroundings) -> None:
    """Even after many failures, the end of an outage is noticed before the access token expires."""
    around.pipedrive.breaks = PipedriveUnavailable("503")
    order = replace(ORDER, expires_at=around.clock.now() + timedelta(minutes=2))
    flight: refresh_state.RefreshState = refresh_state.IDLE
    for _ in range(9):
        flight = await around.refresh(order)

    assert isinstance(flight, refresh_state.Unavailable)
    assert timedelta(seconds=30) == flight.retry_at - around.clock.now()


async def test_a_watcher_of_a_refresh_is_woken_at_its_end(around: Surroundings) -> None:
    """Otherwise the status of a credential that did not order it would stay Pending until its next poll."""
    watcher = Key(namespace="crm", name="watcher")
    around.keeper.refresh(ORDER)

    assert isinstance(around.keeper.state(GRANT_SOURCE, watcher=watcher), refresh_state.Refreshing)
    await around.keeper.drain()

    keys, flight = around.reported_states[-1]
    assert {KEY, watcher} == keys
    assert isinstance(flight, refresh_state.Fresh)


async def test_a_woken_credential_may_order_the_next_refresh_at_once(around: Surroundings) -> None:
    """The refresh has ended by then; otherwise the order would join it without an effect."""
    asked: list[refresh_state.RefreshState] = []

    def ask_again(_: frozenset[Key], flight: refresh_state.RefreshState) -> None:
        if isinstance(flight, refresh_state.Fresh) and not asked:
            asked.append(flight)
            around.keeper.refresh(replace(ORDER, replaces=flight.grant.access_digest))

    around.keeper = build_keeper(around.vault, around.pipedrive, around.clock, ask_again)
    around.keeper.refresh(ORDER)
    await around.keeper.drain()

    assert ["seed", "refresh-1"] == around.pipedrive.spent


async def test_a_grant_of_another_client_is_not_sent(around: Surroundings) -> None:
    """Pipedrive would refuse it, and a person would be asked for a consent that is not needed."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", client_id="another")

    flight = await around.refresh()

    assert isinstance(flight, refresh_state.Refused | refresh_state.Unavailable)
    assert isinstance(flight.trouble, InvalidSpec)
    assert [] == around.pipedrive.spent


async def test_a_message_never_quotes_what_vault_holds_as_an_id(around: Surroundings) -> None:
    """A spec may name the key of a secret as that of the client id, and everyone with `view` reads the status."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", client_id="id-in-the-grant")
    around.vault.put(CLIENT_SOURCE.location, client_id="secret-by-mistake", client_secret="hush")

    state = await around.refresh()

    assert isinstance(state, refresh_state.Refused | refresh_state.Unavailable)
    assert "secret-by-mistake" not in state.trouble.message
    assert "id-in-the-grant" not in state.trouble.message


async def test_a_missing_client_is_named(around: Surroundings) -> None:
    """The path and the keys are in the message."""
    del around.vault.documents[CLIENT_SOURCE.location]

    flight = await around.refresh()

    assert isinstance(flight, refresh_state.Unavailable)
    assert isinstance(flight.trouble, SourceMissing)
    assert "secret/apps/crm-sync" in flight.trouble.message


async def test_a_defect_is_reported_and_not_repeated_at_once(around: Surroundings) -> None:
    """The request may have been sent before the error."""
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
    around.pipedrive.breaks = ZeroDivisionError("a defect")  # no port raises it

    flight = await around.refresh()

    assert ["the refresh of secret/pipedrive/crm/acme failed unexpectedly"] == reported
    assert isinstance(flight, refresh_state.Unavailable)
    assert flight.retry_at - around.clock.now() >= timedelta(minutes=1)


async def test_a_process_that_shuts_down_sends_nothing(around: Surroundings) -> None:
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


async def test_a_process_that_shuts_down_stops_at_the_fence(around: Surroundings) -> None:
    """A refresh that has written its intent but sent nothing withdraws the intent."""
    around.pipedrive.before_fence = around.keeper.stop_sending
    await around.refresh()

    assert [] == around.pipedrive.sent
    assert around.stored("refresh_id") is None


async def test_the_refusal_of_a_former_grant_is_not_shown_while_the_next_one_is_refreshed(
    around: Surroundings,
) -> None:
    """A person has consented since, or another cluster has stored its escrow: nobody must consent again."""
    around.pipedrive.alive = set()
    assert isinstance(await around.refresh(), refresh_state.Refused)

    around.keeper.refresh(replace(ORDER, lineage=SecretValue("another").digest()))

    assert refresh_state.Refreshing(last=None) == around.keeper.state(GRANT_SOURCE)
    await around.keeper.drain()


@pytest.mark.parametrize("trouble", [VaultDenied("not for you"), VaultUnavailable("the login fails")])
async def test_a_consent_whose_identity_cannot_read_the_grant_does_not_keep_others_from_it(
    around: Surroundings, trouble: Trouble
) -> None:
    """A tenant can name the path of any other for an identity of its own, and answer a consent for it."""
    hostile = replace(GRANT_SOURCE, identity=TenantIdentity(namespace="hostile", service_account="app", role="any"))
    read = around.vault.read

    async def refuse(location: VaultLocation, identity: VaultIdentity) -> Document | None:
        if identity == hostile.identity:
            raise trouble
        return await read(location, identity)

    around.vault.read = refuse  # type: ignore[method-assign]
    order = exchange_order(hostile, SecretValue("code"), began=around.clock.monotonic())
    exchange = asyncio.create_task(around.keeper.exchange(order, _never_claimed))
    await until_all_wait()
    around.keeper.refresh(ORDER)
    await until_all_wait()
    state = around.keeper.state(GRANT_SOURCE)
    around.clock.turn(timedelta(minutes=5))
    await exchange

    assert isinstance(state, refresh_state.Fresh)


async def test_a_consent_during_a_refresh_that_is_not_stored_yet_loses_nothing(around: Surroundings) -> None:
    """Vault is sealed between the two: both results are stored in the end, and the consent's grant is the last."""
    around.pipedrive.gate = asyncio.Event()
    around.keeper.refresh(ORDER)
    await until_all_wait()
    around.vault.breaks = VaultUnavailable("Vault is sealed")
    around.pipedrive.answer()
    await until_it_sleeps(around.clock)
    order = exchange_order(GRANT_SOURCE, around.pipedrive.accept(), began=around.clock.monotonic())
    exchange = asyncio.create_task(around.keeper.exchange(order, _claimed))
    await until_all_wait()
    sent_before = list(around.pipedrive.sent)

    around.vault.breaks = None
    while not exchange.done():
        around.clock.turn(timedelta(seconds=1))
        await until_all_wait()

    found = await exchange
    assert found is not None
    assert ConsentReason.CONNECTED is found.reason, found.message
    assert (["seed"], ["seed", order.code.reveal()]) == (sent_before, around.pipedrive.sent)
    assert ("uid", "theirs") == (around.stored("consent_uid"), around.stored("note"))
    assert {} == around.cluster.escrow


def exchange_order(source: GrantWithClient, code: SecretValue, *, began: float) -> ExchangeOrder:
    """Return the order to exchange a code."""
    return ExchangeOrder(
        source=source,
        consent="uid",
        code=code,
        redirect_uri="https://connect.example.com/callback",
        client_id="client",
        guard=None,
        pinned=None,
        allows_change=False,
        began=began,
    )


async def _claimed() -> bool:
    return True


async def until_all_wait() -> None:
    """Run all tasks until they wait for something other than the loop."""
    for _ in range(50):
        await asyncio.sleep(0)


async def _never_claimed() -> bool:
    raise AssertionError
