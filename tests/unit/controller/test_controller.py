"""The workers: what becomes of a pass, when the next one follows, and what is logged and counted."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from fakes.clock import TurnedClock
from pipedrive_operator import metrics
from pipedrive_operator.controller.cache import Cache
from pipedrive_operator.controller.controller import Controller
from pipedrive_operator.controller.queue import WorkQueue
from pipedrive_operator.core.decision.sources import resolve
from pipedrive_operator.core.publication.target import data_digest
from pipedrive_operator.core.resource.names import ANNOTATION_DIGEST, LABEL_CREDENTIAL, Key
from pipedrive_operator.core.values.errors import ApiServerUnavailable, FenceClosed
from pipedrive_operator.core.values.times import format_time
from pipedrive_operator.reconcile.reconciler import Outcome, Reconciler
from support.builders import NOW, OAUTH2_SPEC, RULES, resource

ACME, OTHER = (Key(namespace="crm", name=name) for name in ("acme", "other"))
PUBLISHED = Outcome(reason="Published", ready=True)


@dataclass
class ScriptedReconciler:
    """Ends each pass as scripted; the last result is repeated."""

    results: list[Outcome | Exception | None] = field(default_factory=lambda: [PUBLISHED])
    passes: list[Key] = field(default_factory=list)
    forgets: int = 0
    gate: asyncio.Event | None = None

    def forget_all(self) -> None:
        """Count it."""
        self.forgets += 1

    async def reconcile(self, key: Key) -> Outcome | None:
        """Make a pass."""
        self.passes.append(key)
        if self.gate is not None:
            await self.gate.wait()
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result


@dataclass
class Workers:
    """A controller with a scripted reconciler."""

    clock: TurnedClock = field(default_factory=TurnedClock)
    reconciler: ScriptedReconciler = field(default_factory=ScriptedReconciler)

    def __post_init__(self) -> None:
        """Build the controller."""
        self.queue = WorkQueue(self.clock)
        reconciler = cast("Reconciler", self.reconciler)
        self.controller = Controller(reconciler=reconciler, queue=self.queue, clock=self.clock)

    async def settle(self) -> None:
        """Let the workers go on until they wait."""
        for _ in range(20):
            await asyncio.sleep(0)

    async def passes_after(self, seconds: float) -> int:
        """Advance the clock, and return how many passes follow."""
        before = len(self.reconciler.passes)
        self.clock.turn(timedelta(seconds=seconds))
        await self.settle()
        return len(self.reconciler.passes) - before


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    """Run one worker."""
    made = Workers()
    task = asyncio.create_task(made.controller.work(1))
    await made.settle()
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def value_of(series: str) -> float:
    """Return the value of an exported series, 0 if it does not exist."""
    for line in metrics.exposition().decode().splitlines():
        if line.startswith(f"pipedrive_operator_{series} "):
            return float(line.rpartition(" ")[2])
    return 0


async def test_workers_start_without_memory(workers: Workers) -> None:
    """What an earlier term as leader knew may be out of date."""
    assert 1 == workers.reconciler.forgets


async def test_keys_are_reconciled_in_a_reproducible_order(workers: Workers) -> None:
    """A set of keys has no order of its own."""
    workers.controller.enqueue({OTHER, ACME})
    await workers.settle()

    assert [ACME, OTHER] == workers.reconciler.passes


@pytest.mark.parametrize("delay", [0.0, 5.0], ids=["waits for a worker", "is planned"])
async def test_what_is_due_comes_before_what_is_only_read_again(workers: Workers, delay: float) -> None:
    """When Vault is back, thousands wait for it, each of which wanted to look for it soon. Few have to be refreshed."""
    cache = Cache(lambda credential: resolve(credential, RULES))
    for key, renewal in ((ACME, NOW + timedelta(minutes=1)), (OTHER, NOW + timedelta(seconds=30))):
        ready = {"type": "Ready", "status": "True", "reason": "Published", "message": "", "observedGeneration": 1}
        status = {
            "observedGeneration": 1,
            "conditions": [ready | {"lastTransitionTime": "2026-03-01T00:00:00Z"}],
            "renewalTime": format_time(renewal),
        }
        body = resource(OAUTH2_SPEC)
        names = {"name": key.name, "namespace": key.namespace, "uid": key.name}
        cache.see_credential(None, body | {"metadata": body["metadata"] | names, "status": status})
        marks = {"labels": {LABEL_CREDENTIAL: key.name}, "annotations": {ANNOTATION_DIGEST: data_digest({})}}
        cache.see_secret(None, {"metadata": names | marks | {"resourceVersion": "1"}})

    busy = replace(ACME, name="busy")
    gate = workers.reconciler.gate = asyncio.Event()
    workers.queue.add(busy)
    workers.queue.add(ACME, delay=delay)
    await workers.passes_after(1)

    workers.controller.enqueue_by_urgency([ACME, OTHER], cache)
    gate.set()
    await workers.settle()

    assert [busy, OTHER, ACME] == workers.reconciler.passes


@pytest.mark.parametrize(
    ("until", "seconds"), [(NOW + timedelta(minutes=1), 60.0), (NOW - timedelta(minutes=1), 0.0)], ids=["later", "past"]
)
async def test_the_next_pass_follows_when_the_outcome_says(workers: Workers, until: Any, seconds: float) -> None:
    """A time in the past means at once, not never."""
    workers.reconciler.results = [replace(PUBLISHED, until=until, decided_at=NOW), PUBLISHED]
    workers.controller.enqueue([ACME])
    await workers.settle()
    if seconds:
        assert 0 == await workers.passes_after(seconds - 1)
        await workers.passes_after(1)

    assert [ACME, ACME] == workers.reconciler.passes


async def test_the_next_pass_is_not_late_if_the_wall_clock_was_turned_back_since(workers: Workers) -> None:
    """It was turned between the decision and the end of the pass."""
    decided_at = NOW + timedelta(hours=1)
    workers.reconciler.results = [
        replace(PUBLISHED, until=decided_at + timedelta(minutes=1), decided_at=decided_at),
        PUBLISHED,
    ]
    workers.controller.enqueue([ACME])
    await workers.settle()

    assert 1 == await workers.passes_after(60)


async def test_without_a_time_only_an_event_starts_a_pass(workers: Workers) -> None:
    """Nothing is polled."""
    workers.controller.enqueue([ACME])
    await workers.settle()

    assert 0 == await workers.passes_after(24 * 3600)


@pytest.mark.parametrize(
    "error", [ApiServerUnavailable("no answer"), FenceClosed("lost the Lease"), KeyError("defect")]
)
async def test_a_failed_pass_is_repeated_with_growing_pauses(workers: Workers, error: Exception) -> None:
    """It is neither dropped nor repeated in a tight loop."""
    workers.reconciler.results = [error]
    workers.controller.enqueue([ACME])
    await workers.settle()
    assert 1 == len(workers.reconciler.passes)

    early = sum([await workers.passes_after(1) for _ in range(60)])
    late = sum([await workers.passes_after(1) for _ in range(60)])

    assert early > late > 0


async def test_a_pass_that_succeeds_ends_the_back_off(workers: Workers) -> None:
    """The next failure starts with the shortest pause again."""
    down = ApiServerUnavailable("no answer")
    workers.reconciler.results = [down, down, down, down, PUBLISHED]
    workers.controller.enqueue([ACME])
    await workers.settle()
    while len(workers.reconciler.passes) < 5:
        await workers.passes_after(1)
    workers.reconciler.results = [down]
    workers.controller.enqueue([ACME])
    await workers.settle()

    assert 1 <= await workers.passes_after(2)


async def test_a_defect_is_logged_and_counted_and_does_not_stop_the_others(workers: Workers) -> None:
    """The log has the traceback, and the metric raises the platform's alert."""
    before = value_of('passes_total{reason="defect"}')
    workers.reconciler.results = [ZeroDivisionError("a defect"), PUBLISHED]
    with capture_logs() as logs:
        workers.controller.enqueue([ACME, OTHER])
        await workers.settle()

    assert [ACME, OTHER] == workers.reconciler.passes
    assert [("pass failed", str(ACME))] == [
        (log["event"], log["credential"]) for log in logs if log["log_level"] == "error"
    ]
    assert before + 1 == value_of('passes_total{reason="defect"}')


async def test_an_unavailable_api_server_is_no_defect(workers: Workers) -> None:
    """It is a warning, and counts as no pass."""
    before = value_of('passes_total{reason="defect"}')
    workers.reconciler.results = [ApiServerUnavailable("connection refused")]
    with capture_logs() as logs:
        workers.controller.enqueue([ACME])
        await workers.settle()

    assert [("warning", "connection refused")] == [(log["log_level"], log["error"]) for log in logs]
    assert before == value_of('passes_total{reason="defect"}')


@pytest.mark.parametrize("end", [None, Outcome(reason=None)], ids=["deleted", "being deleted"])
async def test_a_deleted_credential_has_no_series(workers: Workers, end: Outcome | None) -> None:
    """No alert is raised about it any more."""
    series = 'credential_ready{name="acme",namespace="crm"}'
    workers.controller.enqueue([ACME])
    await workers.settle()
    assert 1 == value_of(series)
    workers.reconciler.results = [end]

    workers.controller.enqueue([ACME])
    await workers.settle()

    assert 0 == value_of(series)


@pytest.mark.parametrize(
    ("second", "lines"),
    [
        (PUBLISHED, 1),
        (replace(PUBLISHED, actions=("verify",)), 1),
        (replace(PUBLISHED, actions=("verify", "publish")), 2),
        (replace(PUBLISHED, reason="Suspended"), 2),
    ],
    ids=["nothing", "verified only", "published", "another reason"],
)
async def test_a_pass_is_logged_if_it_changed_something(workers: Workers, second: Outcome, lines: int) -> None:
    """A log with a line for each poll would hide what matters."""
    workers.reconciler.results = [PUBLISHED, second]
    with capture_logs() as logs:
        for _ in range(2):
            workers.controller.enqueue([ACME])
            await workers.settle()

    assert ["reconciled"] * lines == [log["event"] for log in logs]


async def test_restarts_and_undone_repairs_are_counted(workers: Workers) -> None:
    """Each workload counts by its result."""
    names = ('workload_restarts_total{outcome="denied"}', "secret_repairs_undone_total")
    before = [value_of(name) for name in names]
    workers.reconciler.results = [replace(PUBLISHED, restarts=("denied", "denied"), has_undone_repair=True)]
    workers.controller.enqueue([ACME])
    await workers.settle()

    assert [2, 1] == [value_of(name) - old for name, old in zip(names, before, strict=True)]


async def test_a_key_is_never_reconciled_by_two_workers_at_once() -> None:
    """The second request is a second pass, after the first."""
    workers = Workers()
    gate = workers.reconciler.gate = asyncio.Event()
    task = asyncio.create_task(workers.controller.work(3))
    for _ in range(2):
        workers.controller.enqueue([ACME])
        await workers.settle()
    assert [ACME] == workers.reconciler.passes

    gate.set()
    await workers.settle()

    assert [ACME, ACME] == workers.reconciler.passes
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
