"""A keeper of grants on the fakes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from fakes.clock import TurnedClock
from fakes.cluster import FakeCluster
from fakes.escrow import build_escrow
from fakes.pipedrive import FakePipedrive
from fakes.process import FakeLeadership, FakeProcess
from fakes.vault import FakeVault
from pipedrive_operator.core.grant.refresh_state import RefreshState
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.grants import GrantKeeper, RefreshOrder, RefreshProtocol
from pipedrive_operator.ports import Clock, Escrow, Pipedrive, Vault
from support.builders import CLIENT_SOURCE, GRANT_LOCATION, GRANT_SOURCE
from support.refresh import ORDER


def build_keeper(
    vault: Vault,
    pipedrive: Pipedrive,
    clock: Clock,
    on_change: Callable[[frozenset[Key], RefreshState], None],
    *,
    escrow: Escrow | None = None,
) -> GrantKeeper:
    """Build a keeper in a process that is always the leader."""
    protocol = RefreshProtocol(
        vault=vault,
        pipedrive=pipedrive,
        clock=clock,
        escrow=escrow or build_escrow(FakeCluster()),
        leadership=FakeLeadership(),
        process=FakeProcess(),
    )
    return GrantKeeper(protocol=protocol, clock=clock, on_change=on_change)


@dataclass
class KeeperSurroundings:
    """A keeper, and the fakes that it uses."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    reported_states: list[tuple[frozenset[Key], RefreshState]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Store a grant and its client in Vault."""
        self.vault = FakeVault(self.clock)
        self.pipedrive = FakePipedrive(self.clock, alive={"seed"})
        self.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret="hush")
        self.vault.put(GRANT_LOCATION, refresh_token="seed", note="theirs", nested={"a": 1})
        self.cluster = FakeCluster()
        self.escrow = build_escrow(self.cluster)
        self.keeper = build_keeper(
            self.vault,
            self.pipedrive,
            self.clock,
            lambda keys, state: self.reported_states.append((keys, state)),
            escrow=self.escrow,
        )

    async def refresh(self, order: RefreshOrder = ORDER) -> RefreshState:
        """Refresh, and return the final state."""
        self.keeper.refresh(order)
        await self.keeper.drain()
        return self.keeper.state(GRANT_SOURCE)

    def stored(self, key: str) -> object:
        """Return the grant in Vault."""
        return self.vault.documents[GRANT_LOCATION].values.get(key)


async def until_it_sleeps(clock: TurnedClock) -> None:
    """Run all tasks until they wait for the clock."""
    async with asyncio.timeout(5):
        await clock.somebody_sleeps.wait()
