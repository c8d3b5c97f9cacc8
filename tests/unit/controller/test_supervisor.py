"""The operator's life cycle: prerequisites, maintenance, the probes, and the end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, cast
from unittest.mock import patch

import pytest
from structlog.testing import capture_logs

from fakes.clock import TurnedClock
from fakes.cluster import FakeCluster, Page
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.controller.queue import WorkQueue
from pipedrive_operator.controller.supervisor import DEAD_PERIODS, SHARERS_DELAY, SILENT_PERIODS, Supervisor
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable
from support.builders import API_TOKEN_SPEC, KEY, OAUTH2_SPEC, RULES, resource

if TYPE_CHECKING:
    from pipedrive_operator.reconcile.reconciler import Reconciler

INTERVAL = timedelta(minutes=10)
PERIOD = 80.0


@dataclass
class ScriptedWatch:
    """A watch whose age a test sets."""

    silent_for: float = 0.0
    calls: list[str] = field(default_factory=list)
    period: float = PERIOD

    def age(self) -> float:
        """Return it."""
        return self.silent_for

    def start(self) -> None:
        """Start."""
        self.calls.append("start")

    def restart(self) -> None:
        """Restart."""
        self.calls.append("restart")

    async def stop(self) -> None:
        """Stop."""
        self.calls.append("stop")


@dataclass
class Supervised:
    """A supervisor and everything that it supervises."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    cluster: FakeCluster = field(default_factory=FakeCluster)
    watch: ScriptedWatch = field(default_factory=ScriptedWatch)
    schema: list[str | Exception | None] = field(default_factory=lambda: [None])
    """The results of the checks of the CRD; the last one is repeated."""
    schema_checks: int = 0
    works: bool = False
    leads: bool = True
    task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        """Build the supervisor."""
        self.cache = Cache(lambda credential: resolve(credential, RULES))
        self.queue = WorkQueue(self.clock)
        self.controller = Controller(reconciler=cast("Reconciler", None), queue=self.queue, clock=self.clock)
        self.supervisor = Supervisor(
            controller=self.controller,
            cache=self.cache,
            lister=self.cluster,
            clock=self.clock,
            check_schema=self._check_schema,
            resync_interval=INTERVAL,
        )
        self.cluster.apply(resource(API_TOKEN_SPEC))

    async def _check_schema(self) -> str | None:
        self.schema_checks += 1
        result = self.schema.pop(0) if len(self.schema) > 1 else self.schema[0]
        if isinstance(result, Exception):
            raise result
        return result

    async def work(self) -> None:
        """Work until cancelled, and look at all credentials as a leader does."""
        self.works = True
        if self.leads:
            self.controller.enqueue_all(self.cache)
        try:
            await asyncio.Event().wait()
        finally:
            self.works = False

    async def advance(self, seconds: float = 0) -> None:
        """Let time pass, and everything that is due happen."""
        self.clock.turn(timedelta(seconds=seconds))
        for _ in range(30):
            await asyncio.sleep(0)

    async def queued(self) -> Key:
        """Return the next key of the work queue."""
        async with asyncio.timeout(5):
            return await self.queue.get()


@pytest.fixture
async def supervised() -> AsyncIterator[Supervised]:
    """Build everything, and end what a test starts."""
    made = Supervised()
    yield made
    if made.task is not None:
        made.task.cancel()
        await asyncio.gather(made.task, return_exceptions=True)


async def start(supervised: Supervised) -> asyncio.Task[None]:
    """Run the supervisor."""
    supervised.task = asyncio.create_task(supervised.supervisor.run(supervised.watch, supervised.work))
    await supervised.advance()
    return supervised.task


async def test_the_operator_is_not_ready_before_the_first_check(supervised: Supervised) -> None:
    """A process without a watch is alive, because it waits for its prerequisites."""
    assert {"crd": "not checked yet", "caches": "not filled yet", "watch": None} == supervised.supervisor.readiness()
    assert {"event loop": None, "watch": None} == supervised.supervisor.liveness()


async def test_the_caches_are_filled_before_the_watch_and_the_work_start(supervised: Supervised) -> None:
    """Work on an empty cache would take every credential for a deleted one."""
    await start(supervised)

    assert {"crd": None, "caches": None, "watch": None} == supervised.supervisor.readiness()
    assert (["start"], True) == (supervised.watch.calls, supervised.works)
    assert KEY == await supervised.queued()


async def test_a_missing_crd_is_waited_for(supervised: Supervised) -> None:
    """Each new problem is logged once, and no restart is needed when a person has installed it."""
    supervised.schema = ["no CRD", "no CRD", "an older CRD", None]
    with capture_logs() as logs:
        await start(supervised)
        assert "no CRD" == supervised.supervisor.readiness()["crd"]
        assert not supervised.works
        for _ in range(3):
            await supervised.advance(15)

    assert ["no CRD", "an older CRD"] == [log["problem"] for log in logs]
    assert supervised.works


async def test_a_prerequisite_is_checked_every_few_seconds(supervised: Supervised) -> None:
    """A person is usually waiting: the pauses do not grow beyond ten seconds."""
    supervised.schema = ["no CRD"]
    await start(supervised)
    for _ in range(60):
        await supervised.advance(1)
    checks = supervised.schema_checks

    for _ in range(60):
        await supervised.advance(1)

    assert supervised.schema_checks - checks >= 5


@pytest.mark.parametrize("part", ["crd", "caches"])
async def test_an_unavailable_api_server_is_a_problem_and_no_crash(supervised: Supervised, part: str) -> None:
    """Readiness has the CRD's error; the caches stay unfilled."""
    if part == "crd":
        supervised.schema = [ApiServerUnavailable("connection refused"), None]
    else:
        supervised.cluster.network.is_away = True
    await start(supervised)
    assert supervised.supervisor.readiness()[part] is not None
    supervised.cluster.network.is_away = False

    await supervised.advance(15)

    assert {"crd": None, "caches": None, "watch": None} == supervised.supervisor.readiness()


async def test_the_first_list_leaves_the_order_of_the_first_passes_to_the_leader(supervised: Supervised) -> None:
    """It would request all of them at once, in the order of their names."""
    supervised.leads = False

    await start(supervised)

    assert (1, 0) == (len(supervised.cache.keys), supervised.queue.depth)


async def test_a_resync_follows_at_each_interval(supervised: Supervised) -> None:
    """It finds what the watch missed; while the API server is down, the caches stay as they are."""
    await start(supervised)
    assert KEY == await supervised.queued()
    supervised.queue.done(KEY)
    supervised.cluster.apply(resource(API_TOKEN_SPEC, name="missed"))
    supervised.cluster.network.is_away = True
    await supervised.advance(INTERVAL.total_seconds())
    assert supervised.supervisor.readiness()["caches"] is None
    supervised.cluster.network.is_away = False

    await supervised.advance(15)

    assert "missed" == (await supervised.queued()).name


@pytest.mark.parametrize(("age", "restarts"), [(SILENT_PERIODS - 0.1, 0), (SILENT_PERIODS + 0.1, 1)])
async def test_a_silent_watch_is_restarted(supervised: Supervised, age: float, restarts: int) -> None:
    """Kopf can lose a watch without an error."""
    await start(supervised)
    supervised.watch.silent_for = age * PERIOD

    await supervised.advance(PERIOD / 8)

    assert restarts == supervised.watch.calls.count("restart")


@pytest.mark.parametrize(("age", "is_alive"), [(DEAD_PERIODS - 0.1, True), (DEAD_PERIODS + 0.1, False)])
async def test_a_watch_that_restarts_do_not_help_ends_the_process(
    supervised: Supervised, age: float, *, is_alive: bool
) -> None:
    """Liveness fails, and the message has the seconds."""
    await start(supervised)
    supervised.watch.silent_for = age * PERIOD

    problem = supervised.supervisor.liveness()["watch"]

    assert is_alive == (problem is None)
    assert is_alive or f"{age * PERIOD:.0f} s" in str(problem)


async def test_a_requested_check_of_the_crd_is_made_once_for_many_requests(supervised: Supervised) -> None:
    """All watches end at about the same time when the CRD is replaced; an older one makes the operator not ready."""
    await start(supervised)
    supervised.schema = ["an older CRD"]
    checks = supervised.schema_checks
    for _ in range(5):
        supervised.supervisor.request_schema_check()

    await supervised.advance(0)
    await supervised.advance(1)

    assert checks + 1 == supervised.schema_checks
    assert "an older CRD" == supervised.supervisor.readiness()["crd"]


@pytest.mark.parametrize(
    ("kind", "body", "keys"),
    [
        ("credential", resource(API_TOKEN_SPEC), [KEY]),
        ("secret", {"metadata": {"namespace": "crm", "name": "x", "resourceVersion": "5", "uid": "u"}, "data": {}}, []),
    ],
    ids=["a credential", "a Secret of nobody"],
)
async def test_an_event_reaches_the_cache_and_the_queue(
    supervised: Supervised, kind: str, body: dict[str, object], keys: list[Key]
) -> None:
    """Only affected credentials are reconciled."""
    supervised.supervisor.handle_event("credential" if kind == "credential" else "secret", "ADDED", body)

    assert len(keys) == supervised.queue.depth


def depth(supervised: Supervised) -> int:
    """Return how many keys wait for a worker."""
    return supervised.queue.depth


async def test_sharers_of_a_grant_are_reconciled_once_for_many_changes(supervised: Supervised) -> None:
    """A second after the first of the changes; the changed ones themselves are reconciled at once."""
    await start(supervised)
    younger = resource(OAUTH2_SPEC, name="younger", uid="2")
    supervised.supervisor.handle_event("credential", "ADDED", younger)
    await supervised.advance()
    await supervised.advance(SHARERS_DELAY)
    while depth(supervised):
        supervised.queue.done(await supervised.queued())

    for number in range(5):
        older = resource(OAUTH2_SPEC, name=f"older-{number}", uid=f"1-{number}")
        supervised.supervisor.handle_event("credential", "ADDED", older)
    await supervised.advance()
    assert 5 == depth(supervised)
    await supervised.advance(SHARERS_DELAY)

    assert 6 == depth(supervised)


@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_the_watch_is_stopped_however_the_work_ends(supervised: Supervised, how: str) -> None:
    """Nothing is delivered to a process that has ended."""
    if how == "failed":

        async def work() -> None:
            raise ZeroDivisionError

        with pytest.raises(ExceptionGroup):
            await supervised.supervisor.run(supervised.watch, work)
    else:
        task = await start(supervised)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert ["start", "stop"] == supervised.watch.calls
    assert not supervised.works


async def test_everything_is_listed_when_a_watch_asks_for_it(supervised: Supervised) -> None:
    """Once for all watches that begin at about the same time."""
    await start(supervised)
    await supervised.queued()
    other = Key(namespace=KEY.namespace, name="missed")
    supervised.cluster.apply(resource(API_TOKEN_SPEC, name="missed"))

    supervised.supervisor.request_resync()
    supervised.supervisor.request_resync()
    await supervised.advance()
    await supervised.advance(1)

    assert other == await supervised.queued()


async def test_what_a_failed_resync_has_found_is_reconciled(supervised: Supervised) -> None:
    """The next resync finds nothing new about it, so a new credential would wait for its next edit."""
    await start(supervised)
    supervised.queue.done(await supervised.queued())
    created = resource(API_TOKEN_SPEC, name="created")

    async def first_page() -> AsyncIterator[Page]:
        yield Page([created], 5000)
        raise ApiServerUnavailable("503 Service Unavailable")

    with patch.object(supervised.cluster, "list_credentials", first_page):
        supervised.supervisor.request_resync()
        await supervised.advance()
        await supervised.advance(1)

    assert "created" == (await supervised.queued()).name
