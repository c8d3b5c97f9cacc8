"""The refresh protocol, step by step: what Vault holds, and what is sent, in what a crash can leave behind."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from pipedrive_operator.core import flight as flights
from pipedrive_operator.core.errors import (
    ConsentRequired,
    FenceClosed,
    GrantUnstored,
    PipedriveUnavailable,
    RateLimited,
    RefreshUncertain,
    VaultUnavailable,
)
from pipedrive_operator.core.grant import Grant, read_grant, write_grant
from pipedrive_operator.core.intent import LONGEST_TIMEOUT
from pipedrive_operator.core.secret_value import SecretValue
from pipedrive_operator.grants import RefreshOrder, RefreshProtocol
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, GRANT_SOURCE, KEY, access_token
from support.fakes import (
    CALL_TIMEOUT,
    FakeEscrow,
    FakeIdentities,
    FakeLeadership,
    FakePipedrive,
    FakeVault,
    TurnedClock,
)

ORDER = RefreshOrder(
    source=GRANT_SOURCE,
    requester=KEY,
    lineage="",
    replaces=None,
    slow=timedelta(hours=1),
)
ANOTHERS = {
    "refresh_id": "them-1",
    "refresh_holder": "them",
    "refresh_started_at": "2026-03-04T11:59:00Z",
    "refresh_timeout": "32s",
}


@dataclass
class Surroundings:
    """The protocol, and what it stands on."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    escrow: FakeEscrow = field(default_factory=FakeEscrow)
    leadership: FakeLeadership = field(default_factory=FakeLeadership)
    told: list[flights.Flight] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Seed a grant and its client."""
        self.vault = FakeVault(self.clock)
        self.pipedrive = FakePipedrive(alive={"seed"})
        self.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="hush")
        self.vault.put(GRANT_LOCATION, refresh_token="seed")
        self.start()

    def start(self) -> None:
        """Start the process, or start it again with nothing remembered."""
        self.protocol = RefreshProtocol(
            vault=self.vault,
            pipedrive=self.pipedrive,
            escrow=self.escrow,
            leadership=self.leadership,
            clock=self.clock,
            identities=FakeIdentities(),
            call_timeout=CALL_TIMEOUT,
        )

    async def run(self) -> Grant:
        """Refresh once."""
        return await self.protocol.run(ORDER, self.told.append)

    @property
    def stored(self) -> Grant:
        """What Vault holds."""
        found = read_grant(self.vault.documents[GRANT_LOCATION])
        assert found is not None
        return found


@pytest.fixture
def around() -> Surroundings:
    """Give a protocol with everything in order."""
    return Surroundings()


async def test_the_intent_stands_in_vault_before_the_token_leaves(around: Surroundings) -> None:
    """It proves that Vault can be written, and makes the next version ours."""
    seen: list[Grant] = []
    around.pipedrive.gate = asyncio.Event()
    task = asyncio.create_task(around.run())
    while not around.pipedrive.waits:  # noqa: ASYNC110  a turn of the loop, not a time
        await asyncio.sleep(0)
    seen.append(around.stored)
    around.pipedrive.gate.set()
    await task

    assert seen[0].intent is not None
    assert ("us", "us-1") == (seen[0].intent.holder, seen[0].intent.refresh_id)
    assert around.stored.intent is None


async def test_a_vault_that_cannot_be_written_costs_no_token(around: Surroundings) -> None:
    """Nothing is sent."""
    around.vault.breaks_after = 0

    with pytest.raises(VaultUnavailable):
        await around.run()

    assert [] == around.pipedrive.sent


async def test_an_intent_whose_acknowledgement_was_lost_is_ours(around: Surroundings) -> None:
    """It is found by its id, and the refresh goes on."""
    around.vault.breaks_after = 0
    around.vault.loses_acknowledgements = True
    around.vault.mends_after = 1

    await around.run()

    assert ["seed"] == around.pipedrive.sent
    assert SecretValue("refresh-1") == around.stored.refresh_token


async def test_anothers_intent_is_waited_for(around: Surroundings) -> None:
    """Its holder finishes, and what he won is used."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **ANOTHERS)
    task = asyncio.create_task(around.run())
    await around.clock.somebody_sleeps.wait()
    assert [] == around.pipedrive.sent

    around.vault.put(GRANT_LOCATION, refresh_token="theirs", access_token="theirs", expires_at="2026-03-04T13:00:00Z")
    around.clock.turn(timedelta(seconds=2))

    assert SecretValue("theirs") == (await task).refresh_token
    assert [] == around.pipedrive.sent


async def test_a_dead_holders_intent_is_taken_over_after_we_watched_it(around: Surroundings) -> None:
    """For longer than it says, on our own clock; what he may have done counts as unanswered."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **ANOTHERS)
    task = asyncio.create_task(around.run())
    for _ in range(16):
        await around.clock.next_sleep()
        assert not task.done()
        around.clock.turn(timedelta(seconds=2))
    await around.clock.next_sleep()
    around.clock.turn(timedelta(seconds=2))

    await task

    assert ["seed"] == around.pipedrive.sent
    assert around.stored.unanswered is None


async def test_a_spoilt_intent_does_not_stop_refreshing_for_ever(around: Surroundings) -> None:
    """Whatever it says of its time-out."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **(ANOTHERS | {"refresh_timeout": "for ever"}))

    assert around.stored.intent is not None
    assert LONGEST_TIMEOUT == around.stored.intent.timeout


async def test_a_refusal_after_a_dead_holder_tells_the_story(around: Surroundings) -> None:
    """The person reads that a refresh went unanswered, by whom and when."""
    around.vault.put(GRANT_LOCATION, refresh_token="spent", **ANOTHERS)
    task = asyncio.create_task(around.run())
    for _ in range(17):
        await around.clock.next_sleep()
        around.clock.turn(timedelta(seconds=2))

    with pytest.raises(ConsentRequired, match="2026-03-04T11:59:00Z by them, went unanswered"):
        await task


async def test_our_own_intent_of_a_former_refresh_is_not_waited_for(around: Surroundings) -> None:
    """We know that nobody else holds it; what happened under it is not known."""
    around.vault.put(GRANT_LOCATION, refresh_token="seed", **(ANOTHERS | {"refresh_holder": "us"}))

    await around.run()

    assert ["seed"] == around.pipedrive.sent


@pytest.mark.parametrize("trouble", [PipedriveUnavailable("refused"), RateLimited("429")])
async def test_an_intent_is_given_back_when_nothing_was_sent(around: Surroundings, trouble: Exception) -> None:
    """Nobody has to wait for it."""
    around.pipedrive.breaks = trouble  # type: ignore[assignment]

    with pytest.raises(type(trouble)):
        await around.run()

    assert (None, None) == (around.stored.intent, around.stored.unanswered)


async def test_an_unknown_outcome_is_marked_and_the_same_token_tried_again(around: Surroundings) -> None:
    """If it is then refused, the message says that a refresh went unanswered."""
    around.pipedrive.loses_answers = True
    with pytest.raises(RefreshUncertain):
        await around.run()
    assert around.stored.unanswered is not None
    assert (1, "us", None) == (around.stored.unanswered.count, around.stored.unanswered.by, around.stored.intent)

    around.pipedrive.loses_answers = False
    with pytest.raises(ConsentRequired, match="went unanswered"):
        await around.run()

    assert ["seed", "seed"] == around.pipedrive.sent


@pytest.mark.parametrize("seconds", [0.0, 14.0])
async def test_nothing_is_sent_without_leadership_for_the_whole_call(around: Surroundings, seconds: float) -> None:
    """The fence is closed, and the intent given back."""
    around.leadership.seconds = seconds

    with pytest.raises(FenceClosed):
        await around.run()

    assert [] == around.pipedrive.sent
    assert around.stored.intent is None


async def test_nothing_is_sent_when_the_intent_may_be_taken_over_meanwhile(around: Surroundings) -> None:
    """A process that was stopped between the intent and the call finds the fence closed."""
    around.pipedrive.before_fence = lambda: around.clock.turn(timedelta(seconds=18))

    with pytest.raises(FenceClosed):
        await around.run()

    assert [] == around.pipedrive.sent


async def test_what_was_won_goes_to_escrow_and_the_next_process_stores_it(around: Surroundings) -> None:
    """The process dies while Vault is sealed; the refresh token that Vault holds is spent, and nothing is lost."""
    around.vault.breaks_after = 1
    task = asyncio.create_task(around.run())
    await around.clock.somebody_sleeps.wait()
    task.cancel()
    assert GRANT_LOCATION in around.escrow.kept
    around.vault.breaks_after = None
    around.start()

    grant = await around.run()

    assert SecretValue("refresh-1") == grant.refresh_token == around.stored.refresh_token
    assert ["seed"] == around.pipedrive.sent
    assert {} == around.escrow.kept


async def test_an_old_escrow_is_dropped_and_never_written_over_something_newer(around: Surroundings) -> None:
    """Vault holds no longer the token that it was won with."""
    old = Grant(refresh_token=SecretValue("old"), token=access_token("old"), refreshed_from="of another")
    await around.escrow.keep(GRANT_LOCATION, old, "us-0", SecretValue("hush"))

    await around.run()

    assert SecretValue("refresh-1") == around.stored.refresh_token
    assert {} == around.escrow.kept


async def test_an_escrow_that_cannot_be_opened_stops_the_refresh(around: Surroundings) -> None:
    """It may hold the only living token: the person is told, and nothing is sent."""
    kept = Grant(refresh_token=SecretValue("won"), refreshed_from=SecretValue("seed").digest())
    await around.escrow.keep(GRANT_LOCATION, kept, "us-0", SecretValue("another secret"))

    with pytest.raises(GrantUnstored):
        await around.run()

    assert [] == around.pipedrive.sent


async def test_two_writes_and_two_reads_make_a_refresh(around: Surroundings) -> None:
    """The grant and the client are read, the intent and the new grant are written."""
    await around.run()

    assert [GRANT_LOCATION, CLIENT_SOURCE.location] == around.vault.reads
    assert [GRANT_LOCATION, GRANT_LOCATION] == around.vault.writes


async def test_a_leftover_escrow_is_settled_without_a_refresh(around: Surroundings) -> None:
    """Vault took what was won, and the process died before it could say so: the next one drops the copy."""
    around.vault.put(GRANT_LOCATION, **write_grant(Grant(refresh_token=SecretValue("won"), token=access_token()), {}))
    kept = Grant(refresh_token=SecretValue("won"), token=access_token(), refreshed_from=SecretValue("seed").digest())
    await around.escrow.keep(GRANT_LOCATION, kept, "us-0", SecretValue("hush"))

    await around.run()

    assert ({}, []) == (around.escrow.kept, around.pipedrive.sent)


async def test_without_rotation_an_old_escrow_does_not_put_an_older_access_token_back(around: Surroundings) -> None:
    """The refresh token tells nothing then, and none can be lost."""
    newer = Grant(refresh_token=SecretValue("seed"), token=access_token("newer"))
    around.vault.put(GRANT_LOCATION, **write_grant(newer, {}))
    older = replace(newer, token=access_token("older"), refreshed_from=newer.lineage)
    await around.escrow.keep(GRANT_LOCATION, older, "us-0", SecretValue("hush"))

    grant = await around.run()

    assert newer.access_digest == grant.access_digest == around.stored.access_digest
    assert {} == around.escrow.kept


def test_without_rotation_another_holders_access_token_stays(around: Surroundings) -> None:
    """We were stopped after our refresh, and another holder has refreshed and stored since."""
    spent = Grant(refresh_token=SecretValue("seed"), token=access_token("old"))
    ours, theirs = (replace(spent, token=access_token(name)) for name in ("ours", "theirs"))

    assert around.protocol.supersedes(theirs, ours, spent=spent)
    assert not around.protocol.supersedes(spent, ours, spent=spent)
