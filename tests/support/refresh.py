"""One grant, its client, and the refresh protocol on the fakes."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import pytest

from fakes.clock import TurnedClock
from fakes.cluster import FakeCluster
from fakes.escrow import build_escrow
from fakes.pipedrive import FakePipedrive
from fakes.process import FakeLeadership, FakeProcess
from fakes.vault import FakeVault
from pipedrive_operator.core.grant import refresh_state
from pipedrive_operator.core.grant.grant import Grant, read_grant
from pipedrive_operator.core.values.errors import RefreshUncertain
from pipedrive_operator.grants import RefreshOrder, RefreshProtocol
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, GRANT_SOURCE, KEY

ORDER = RefreshOrder(
    source=GRANT_SOURCE,
    requester=KEY,
    lineage="",
    access_digest=None,
    replaces=None,
    slow=timedelta(hours=1),
    poll=timedelta(minutes=5),
)

LONGEST_WORK = 3600
"""In seconds of the turned clock."""

T = TypeVar("T")


@dataclass
class Surroundings:
    """The refresh protocol, and the fakes that it uses."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    cluster: FakeCluster = field(default_factory=FakeCluster)
    leadership: FakeLeadership = field(default_factory=FakeLeadership)
    states: list[refresh_state.RefreshState] = field(default_factory=list)
    holder: str = "us"
    """The name of the process."""

    def __post_init__(self) -> None:
        """Write a grant and its client to Vault."""
        self.vault = FakeVault(self.clock)
        self.escrow = build_escrow(self.cluster)
        self.pipedrive = FakePipedrive(self.clock, alive={"seed"})
        self.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="hush")
        self.vault.put(GRANT_LOCATION, refresh_token="seed")
        self.start()

    def start(self) -> None:
        """Start the process, or restart it without its memory."""
        self.protocol = RefreshProtocol(
            vault=self.vault,
            pipedrive=self.pipedrive,
            escrow=self.escrow,
            leadership=self.leadership,
            clock=self.clock,
            process=FakeProcess(self.holder),
        )

    async def run(self, order: RefreshOrder = ORDER) -> Grant:
        """Refresh once."""
        return (await self.protocol.run(order, self.states.append)).grant

    async def lose_an_answer(self) -> RefreshUncertain:
        """Refresh, with an answer that is lost, and return the trouble."""
        self.pipedrive.network.loses_answers = 1
        with pytest.raises(RefreshUncertain) as caught:
            await self.run()
        self.pipedrive.network.loses_answers = 0
        return caught.value

    async def begin(self) -> asyncio.Task[Grant]:
        """Start a refresh, and return once Pipedrive has received it; `pipedrive.answer` lets it continue."""
        self.pipedrive.gate = asyncio.Event()
        task = asyncio.create_task(self.run())
        while not self.pipedrive.waits:  # noqa: ASYNC110  a turn of the loop, not a time
            await asyncio.sleep(0)
        return task

    async def in_time(self, work: Awaitable[T]) -> T:
        """Let time pass for as long as the work sleeps, an hour at most, and return its result."""
        return await in_time(self.clock, work)

    @property
    def stored(self) -> Grant:
        """The grant that Vault holds."""
        found = read_grant(self.vault.documents[GRANT_LOCATION])
        assert found is not None
        return found


async def in_time(clock: TurnedClock, work: Awaitable[T]) -> T:
    """Let time pass for as long as the work sleeps, an hour at most, and return its result."""
    task = asyncio.ensure_future(work)
    for _ in range(LONGEST_WORK):
        for _ in range(20):
            await asyncio.sleep(0)
        if task.done():
            return task.result()
        clock.turn(timedelta(seconds=1))
    task.cancel()
    raise TimeoutError("the work has not ended after an hour")
