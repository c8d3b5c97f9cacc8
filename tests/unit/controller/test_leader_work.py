"""The work of a leader: the escrow is loaded before the first refresh, and again at an interval."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from fakes.clock import TurnedClock
from pipedrive_operator import metrics
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.controller.leader_work import LeaderWork
from pipedrive_operator.controller.queue import WorkQueue
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.publication.target import data_digest
from pipedrive_operator.core.resource.names import ANNOTATION_DIGEST, ANNOTATION_MANAGED, LABEL_CREDENTIAL, Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from pipedrive_operator.core.values.times import format_time
from support.builders import API_TOKEN_SPEC, KEY, NOW, OAUTH2_SPEC, RULES, resource
from support.faked_operator import FakedOperator
from support.manifests import published_secret

ESCROW_INTERVAL = timedelta(minutes=10)


@dataclass
class EscrowLists:
    """An escrow that returns these results, one per call, and nothing new after the last."""

    results: list[list[str] | ApiServerUnavailable] = field(default_factory=list)
    calls: int = 0

    async def load(self) -> list[str]:
        """Return the next result."""
        self.calls += 1
        result = self.results.pop(0) if self.results else []
        if isinstance(result, ApiServerUnavailable):
            raise result
        return result


@dataclass
class Leader:
    """A replica that leads, with one credential in its cache and no workers."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    escrow: EscrowLists = field(default_factory=EscrowLists)
    ended_pauses: int = 0

    def __post_init__(self) -> None:
        """Build the parts."""
        self.queue = WorkQueue(self.clock)
        self.cache = Cache(lambda credential: resolve(credential, RULES))
        self.cache.see_credential(None, resource(API_TOKEN_SPEC))
        self.controller = Controller(reconciler=FakedOperator().reconciler, queue=self.queue, clock=self.clock)
        self.work = LeaderWork(
            controller=self.controller,
            escrow=self.escrow,
            refreshes=self,
            cache=self.cache,
            clock=self.clock,
            workers=0,
            escrow_interval=ESCROW_INTERVAL,
        )

    def start(self) -> None:
        """Become the leader."""
        self.task = asyncio.create_task(self.work.run())

    def escrow_appeared(self) -> None:
        """Count how often pauses end."""
        self.ended_pauses += 1


@pytest.fixture
async def leader() -> AsyncIterator[Leader]:
    """Yield a replica, and cancel its work at the end."""
    made = Leader()
    yield made
    made.task.cancel()


async def test_no_pass_runs_before_the_escrow_is_loaded(leader: Leader) -> None:
    """It may hold the only refresh token that is still valid."""
    leader.escrow.results = [ApiServerUnavailable("no answer")]
    leader.start()
    await leader.clock.next_sleep()
    assert 0 == leader.queue.depth

    leader.clock.turn(timedelta(seconds=2))

    assert KEY == await leader.queue.get()


async def test_a_grant_that_a_former_leader_puts_in_escrow_later_is_found(leader: Leader) -> None:
    """All credentials are then reconciled again, and the pauses of that grant end."""
    leader.start()
    leader.queue.done(await leader.queue.get())
    await leader.clock.next_sleep()
    leader.escrow.results = [["secret/pipedrive/crm/acme"]]

    leader.clock.turn(ESCROW_INTERVAL)

    assert KEY == await leader.queue.get()
    assert (1, 2) == (leader.ended_pauses, leader.escrow.calls)


async def test_an_escrow_without_new_grants_causes_no_pass(leader: Leader) -> None:
    """It was loaded all the same."""
    leader.start()
    leader.queue.done(await leader.queue.get())
    await leader.clock.next_sleep()

    leader.clock.turn(ESCROW_INTERVAL)
    await leader.clock.next_sleep()

    assert (0, 0, 2) == (leader.ended_pauses, leader.queue.depth, leader.escrow.calls)


async def test_a_replica_that_lost_the_lease_exports_no_credential(leader: Leader) -> None:
    """The new leader exports it, and two values would contradict each other."""
    leader.start()
    await leader.clock.next_sleep()
    times = {"expires_at": NOW, "renewal_at": NOW, "refreshed_at": NOW, "verified_at": NOW}
    metrics.show_credential("crm", "led", reason="Published", ready=True, stalled=False, **times)
    assert 'name="led"' in metrics.exposition().decode()

    leader.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leader.task

    assert 'name="led"' not in metrics.exposition().decode()


async def test_a_leader_looks_first_at_what_is_not_ready(leader: Leader) -> None:
    """The names of the credentials that are ready come first."""
    for name, minutes in (("a-late-one", 9), ("an-early-one", 5)):
        leader.cache.see_credential(None, ready_credential(name, NOW + timedelta(minutes=minutes)))
        leader.cache.see_secret(None, labelled_secret(name))

    leader.start()
    await leader.clock.next_sleep()

    assert [KEY.name, "an-early-one", "a-late-one"] == [(await leader.queue.get()).name for _ in range(3)]


async def test_a_leader_looks_first_at_a_credential_whose_secret_is_gone(leader: Leader) -> None:
    """Nobody has led since the Secret was deleted, so the status still says that it is ready."""
    for name in ("a-well-one", "b-deprived-one"):
        leader.cache.see_credential(None, ready_credential(name, NOW + timedelta(minutes=5)))
    leader.cache.see_secret(None, labelled_secret("a-well-one"))

    leader.start()
    await leader.clock.next_sleep()

    assert [KEY.name, "b-deprived-one", "a-well-one"] == [(await leader.queue.get()).name for _ in range(3)]


async def test_a_leader_looks_first_at_a_secret_that_was_edited(leader: Leader) -> None:
    """It may hold a wrong value since nobody led."""
    for name in ("a-well-one", "b-edited-one"):
        leader.cache.see_credential(None, ready_credential(name, NOW + timedelta(minutes=5)))
    edited = labelled_secret("b-edited-one")
    leader.cache.see_secret(None, labelled_secret("a-well-one"))
    leader.cache.see_secret(None, edited | {"data": dict.fromkeys(edited["data"], "ZWRpdGVk")})

    leader.start()
    await leader.clock.next_sleep()

    assert [KEY.name, "b-edited-one", "a-well-one"] == [(await leader.queue.get()).name for _ in range(3)]


async def test_a_new_leader_keeps_the_order_of_the_latest_events_only(leader: Leader) -> None:
    """Nobody may have led in the last minute. Another leader has handled what happened before it."""
    for name in ("long-ago", "just-now"):
        leader.cache.see_credential(None, ready_credential(name, NOW + timedelta(minutes=9)))
        leader.cache.see_secret(None, labelled_secret(name))
    leader.controller.enqueue([Key(namespace=KEY.namespace, name="long-ago")])
    leader.clock.turn(timedelta(minutes=2))
    leader.controller.enqueue([Key(namespace=KEY.namespace, name="just-now")])

    leader.start()
    await leader.clock.next_sleep()

    assert ["just-now", KEY.name, "long-ago"] == [(await leader.queue.get()).name for _ in range(3)]


def ready_credential(name: str, renewal: datetime) -> dict[str, Any]:
    """Build a credential that is ready until its renewal."""
    ready = {"type": "Ready", "status": "True", "reason": "Published", "message": "", "observedGeneration": 1}
    conditions = [ready | {"lastTransitionTime": "2026-03-01T00:00:00Z"}]
    status = {"observedGeneration": 1, "conditions": conditions, "renewalTime": format_time(renewal)}
    return resource(OAUTH2_SPEC, name=name) | {"status": status}


def labelled_secret(name: str) -> dict[str, Any]:
    """Build the Secret of a credential as it was published, and as the API server serves it."""
    body = published_secret(KEY.namespace, name)
    published = {
        "labels": {LABEL_CREDENTIAL: name},
        "annotations": {
            ANNOTATION_MANAGED: json.dumps({"data": list(body["data"])}),
            ANNOTATION_DIGEST: data_digest(body["data"]),
        },
    }
    return body | {"metadata": body["metadata"] | published | {"uid": name, "resourceVersion": "200"}}
