"""The time for which a replica leads: the escrow is known before the first refresh, and looked at again."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from pipedrive_operator import metrics
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.controller.leader_work import LeaderWork
from pipedrive_operator.controller.queue import WorkQueue
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from support.builders import API_TOKEN_SPEC, KEY, NOW, RULES, resource
from support.turned_clock import TurnedClock
from support.world import World

LOOK = timedelta(minutes=10)


@dataclass
class Left:
    """What others leave in escrow, told at each look."""

    answers: list[list[str] | ApiServerUnavailable] = field(default_factory=list)
    looks: int = 0

    async def load(self) -> list[str]:
        """Tell the next answer, and nothing after the last."""
        self.looks += 1
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, ApiServerUnavailable):
            raise answer
        return answer


@dataclass
class Reign:
    """A replica that leads."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    left: Left = field(default_factory=Left)
    found: int = 0

    def __post_init__(self) -> None:
        """Know one credential."""
        self.queue = WorkQueue(self.clock)
        cache = Cache(lambda credential: resolve(credential, RULES))
        cache.see_credential(None, resource(API_TOKEN_SPEC))
        controller = Controller(reconciler=World().reconciler, queue=self.queue, clock=self.clock)
        self.tenure = LeaderWork(
            controller=controller,
            escrow=self.left,
            on_escrow=self._count,
            cache=cache,
            clock=self.clock,
            workers=0,
            look_interval=LOOK,
        )

    def begin(self) -> None:
        """Lead."""
        self.serving = asyncio.create_task(self.tenure.serve())

    def _count(self) -> None:
        self.found += 1


@pytest.fixture
async def reign() -> AsyncIterator[Reign]:
    """Give a replica, and end what it began."""
    made = Reign()
    yield made
    made.serving.cancel()


async def test_nothing_is_worked_on_before_the_escrow_is_known(reign: Reign) -> None:
    """It may hold the only living refresh token."""
    reign.left.answers = [ApiServerUnavailable("no answer")]
    reign.begin()
    await reign.clock.next_sleep()
    assert 0 == reign.queue.depth

    reign.clock.turn(timedelta(seconds=2))

    assert KEY == await reign.queue.get()


async def test_what_a_former_leader_leaves_later_is_found(reign: Reign) -> None:
    """And everything is looked at again."""
    reign.begin()
    reign.queue.done(await reign.queue.get())
    await reign.clock.next_sleep()
    reign.left.answers = [["secret/pipedrive/crm/acme"]]

    reign.clock.turn(LOOK)

    assert KEY == await reign.queue.get()
    assert (1, 2) == (reign.found, reign.left.looks)


async def test_an_escrow_in_which_nothing_is_new_wakes_nobody(reign: Reign) -> None:
    """Quiet."""
    reign.begin()
    reign.queue.done(await reign.queue.get())
    await reign.clock.next_sleep()

    reign.clock.turn(LOOK)
    await reign.clock.next_sleep()

    assert (0, 0, 2) == (reign.found, reign.queue.depth, reign.left.looks)


async def test_a_replica_that_lost_the_lease_tells_of_no_credential(reign: Reign) -> None:
    """Whoever leads since tells of them, and two answers would contradict each other."""
    reign.begin()
    await reign.clock.next_sleep()
    times = {"expires_at": NOW, "renewal_at": NOW, "refreshed_at": NOW, "verified_at": NOW}
    metrics.credential_reported("crm", "led", reason="Published", ready=True, stalled=False, **times)
    assert 'name="led"' in metrics.exposition().decode()

    reign.serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reign.serving

    assert 'name="led"' not in metrics.exposition().decode()
