"""One seed: operators in one or two clusters on one Vault, a storm of faults, then calm, and the final checks."""

import asyncio
import logging
import random
from base64 import b64decode
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from fakes.pipedrive import Send
from pipedrive_operator.core.grant.candidate import read_candidate
from pipedrive_operator.core.resource.credential import read_credential
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.conditions import ConditionType
from simulation import window
from simulation.faulty_network import Weather
from simulation.history import History
from simulation.loop import Process, SeededLoop, run
from simulation.models import CLIENT_SECRET, LONGEST_LAG, ClusterModel, PipedriveModel, SimulatedClock, VaultModel
from simulation.operators import CALL_TIMEOUT, LEASE, Build, Operator
from simulation.people import People
from simulation.promises import Promises
from simulation.rare_weather import Kinds, RareWeather
from simulation.storm import Storm
from support.builders import ACCOUNT, CLIENT_SOURCE, GRANT_LOCATION, OAUTH2_SPEC, resource

STORM = 360.0
"""In seconds: two or three renewals of a four-minute token."""
CALM = 260.0
"""In seconds: longer than any pause, so that all retries have ended."""
SETTLED = 180.0
"""In seconds of calm, after which every write belongs to a refresh: a dead process's intent lasts for 70 of them."""
PATIENCE = 90
"""In seconds: longer than any refresh, and shorter than the time between two."""
DELAYS_TO_SETTLE = 45
"""One-way delays until several copies in escrow, each of which is tried and refused, are settled one after another."""

STORY_LINES = 60
"""How many lines of its history a failing seed prints."""


class BrokenPromiseError(AssertionError):
    """A promise was broken."""

    def __init__(self, promise: str, message: str = "") -> None:
        """Say which one it was; the message may say more."""
        super().__init__(message or promise)
        self.promise = promise


@dataclass
class World:
    """The operators and the models of one seed."""

    seed: int
    build: Build = field(default_factory=Build)
    history: History = field(default_factory=History)
    operators: dict[str, Operator] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Choose the circumstances by the seed."""
        self.chance = random.Random(self.seed)  # noqa: S311  a simulation
        slowest = self.chance.choice([0.05, 0.5, 2.0])
        self.skew = timedelta(seconds=self.chance.choice([0, 1, 30]))
        rotates = self.chance.random() < 0.8
        names = ["a", "b"] if self.chance.random() < 0.3 else ["a"]
        vault, pipedrive = (Weather(chance=self.chance, slowest=slowest) for _ in range(2))
        clusters = [Weather(chance=self.chance, slowest=min(slowest, 0.5)) for _ in names]
        self.weathers = [vault, pipedrive, *clusters]
        self.promises = Promises(self.history, rotates)
        self.vault = VaultModel(network=vault, history=self.history, promises=self.promises)
        self.vault.lags = self.chance.choice([0.0, 0.0, 0.03, 0.2])
        self.promises.lag = LONGEST_LAG if self.vault.lags else 0.0
        self.vault.delays_writes = self.chance.choice([0.0, 0.0, 0.05, 0.15])
        self.pipedrive = PipedriveModel(
            network=pipedrive, history=self.history, promises=self.promises, rotates=rotates
        )
        self.pipedrive.call_timeout = CALL_TIMEOUT
        self.pipedrive.slows = self.chance.choice([0.0, 0.0, 0.03, 0.3])
        self.pipedrive.begins_late = self.chance.choice([0.0, 0.0, 0.0, 0.1])
        self.pipedrive.breaks_off = self.chance.choice([0.0, 0.0, 0.0, 0.1])
        self.pipedrive.spoils_answers = self.chance.choice([0.0, 0.0, 0.0, 0.2])
        self.pipedrive.detects_reuse = self.chance.random() < 0.2
        self.pipedrive.consent_ends_others = self.chance.random() < 0.7
        self.clusters = [
            ClusterModel(
                name=name,
                network=weather,
                history=self.history,
                promises=self.promises,
                version=1000 + 100_000 * number,
            )
            for number, (name, weather) in enumerate(zip(names, clusters, strict=True))
        ]
        self.people = People(self)
        self.rare_weather = RareWeather(self, Kinds.of(self.seed))
        self.storm_is_over = False
        self._inform_promises()

    def _inform_promises(self) -> None:
        """Let the promises ask what only the world knows."""
        self.pipedrive.clock_of = lambda by: self.operators[by].clock if by in self.operators else SimulatedClock()
        self.promises.patience = self.pipedrive.answer_timeout
        self.promises.unfinished = self.unfinished
        self.promises.kept_since = self.kept_since
        self.promises.escrowed = self.escrowed
        self.promises.escrow_of = lambda by: self.operators[by].cluster.tokens()
        self.promises.may_lose_lease = self._may_lose_lease
        self.promises.ran = lambda by, since, until: self.operators[by].process.ran(since, until)
        self.promises.is_excusable = lambda by: bool(self.uncopied(self.operators[by]))
        self.promises.in_escrow = lambda by, since: self.operators[by].cluster.had_escrow(since)
        self.promises.is_alive = lambda token: token in self.pipedrive.alive
        self.promises.is_right = lambda token: self.pipedrive.owner(token) == ACCOUNT

    @property
    def loop(self) -> SeededLoop:
        """The simulated event loop."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SeededLoop)
        return loop

    async def play(self) -> None:
        """Run the storm and the calm, and make the final checks."""
        self.begin()
        storm = Storm(self)
        await self._watched(storm.rage(STORM))
        storm.clear()
        self.storm_is_over = True
        await self._watched(self._all_run())
        settled = self.loop.time() + SETTLED
        await self._watched(asyncio.sleep(CALM))
        await self.come_to_rest()
        self._refuse(self.promises.wrote_for_nothing(settled))

    async def _all_run(self) -> None:
        """Wait for the processes that are frozen still: their pauses and polls begin when they go on."""
        while any(one.process.frozen and not one.process.crashed for one in self.operators.values()):  # noqa: ASYNC110
            await asyncio.sleep(1)

    def begin(self) -> None:
        """Create the grant, the credentials and the operators."""
        self.vault.put(CLIENT_SOURCE.location, client_id="client", client_secret=CLIENT_SECRET)
        self.vault.put(GRANT_LOCATION, refresh_token=self.pipedrive.consent())
        for cluster in self.clusters:
            for name in ("one", "two")[: self.chance.choice([1, 1, 2])]:
                cluster.apply(resource(OAUTH2_SPEC, name=name))
            for _ in range(self.chance.choice([1, 2, 2])):
                self.start(cluster)

    def start(self, cluster: ClusterModel) -> Operator:
        """Start a process in a cluster."""
        process = Process(f"{cluster.name}{len(self.operators)}")
        clock = SimulatedClock(self.skew * self.chance.uniform(-1, 1))
        operator = Operator(process, cluster, self.vault, self.pipedrive, clock, self.build)
        self.operators[process.name] = operator
        self.loop.spawn(process, operator.run()).add_done_callback(lambda task: self._ended(operator, task))
        self.history.note("world", f"starts {process.name}")
        return operator

    def crash(self, operator: Operator) -> None:
        """Kill a process."""
        self.history.note("world", f"kills {operator.process.name}")
        self.loop.crash(operator.process)
        self.promises.dead.add(operator.process.name)

    def stop(self, operator: Operator) -> None:
        """Ask a process to end, as SIGTERM does."""
        self.history.note("world", f"stops {operator.process.name}")
        self.promises.stopping[operator.process.name] = self.loop.time()
        operator.stop_requested.set()

    def _ended(self, operator: Operator, task: asyncio.Task[None]) -> None:
        name = operator.process.name
        if task.cancelled():
            return
        if task.exception() is not None or name not in self.promises.stopping:
            self.promises.defect(f"an operator ended: {task.exception()!r}")
            return
        self.history.note("world", f"{name} has ended")
        self.promises.stopped(name)
        self.loop.crash(operator.process)
        self.promises.dead.add(name)

    def unfinished(self, by: str) -> str | None:
        """Return what a process has sent and neither stored nor lost; None if there is nothing."""
        sent = (send for send in self.promises.sends if send.by == by and not send.is_lost)
        waited_for = next((send for send in sent if send.ended is None and send.delivered is None), None)
        return self.unkept(by) if waited_for is None else f"the result of {waited_for.token}"

    def unkept(self, by: str) -> str | None:
        """Return a living refresh token that only one process holds; None if there is none."""
        results = (send.successor for send in self.promises.sends if send.by == by and not send.is_lost)
        return next((one for one in results if one in self.needed() and not self.is_kept(one)), None)

    def needed(self) -> set[str]:
        """Return the living refresh tokens that no consent has replaced, of the account of the credentials."""
        return {token for token in self.pipedrive.alive - self.promises.replaced if self.promises.is_right(token)}

    def uncopied(self, operator: Operator) -> list[str]:
        """Return the living refresh tokens that only a process holds, and that it could not have copied yet."""
        sent = (send for send in self.promises.sends if send.by == operator.process.name and send.ended is not None)
        results = [send for send in sent if send.successor in self.needed() and not self.is_kept(send.successor)]
        return [str(send.successor) for send in results if self._may_be_uncopied(send, operator)]

    def _may_be_uncopied(self, send: Send, operator: Operator) -> bool:
        return window.is_open(
            send,
            operator.process,
            vault=self.vault.network,
            cluster=operator.cluster.network,
            conflicts=any(by != send.by and at >= send.began for at, by in self.vault.written),
            now=self.loop.time(),
        )

    def _may_lose_lease(self, by: str) -> bool:
        operator = self.operators[by]
        since = self.promises.stopping[by] - LEASE.lease_duration.total_seconds()
        return operator.process.was_frozen_since(since) or operator.cluster.network.was_bad_since(since)

    def is_kept(self, token: str | None) -> bool:
        """Return whether a refresh token or a successor of it is in Vault or in escrow."""
        kept = {self.promises.newest, self.candidate()} | self.escrowed()
        successors = {send.token: send.successor for send in self.promises.sends if send.successor}
        while token is not None and token not in kept:
            successor = successors.get(token)
            token = None if successor == token else successor
        return token is not None

    def kept_since(self, by: str, token: str) -> float | None:
        """Return since when a refresh token is in the escrow of a process's own cluster; None if it is not there."""
        return self.operators[by].cluster.kept_since(token)

    def candidate(self) -> str | None:
        """Return the refresh token of the candidate in Vault."""
        found = read_candidate(self.vault.documents.get(GRANT_LOCATION))
        return found.refresh_token.reveal() if found is not None else None

    def escrowed(self) -> set[str]:
        """Return the refresh tokens in escrow, of all clusters."""
        return set().union(*(cluster.kept() for cluster in self.clusters))

    async def _watched(self, course: Any) -> None:
        """Run a coroutine until it ends or a promise is broken."""
        running = asyncio.ensure_future(course)
        while not running.done():
            await asyncio.wait({running}, timeout=5)
            self._refuse(self.promises.broken)
        running.result()

    async def come_to_rest(self) -> None:
        """Check that everything is well in the end; a refresh may be in progress, so wait for it."""
        for _ in range(PATIENCE + round(DELAYS_TO_SETTLE * self.vault.network.slowest)):
            if self._what_is_wrong() is None:
                break
            await asyncio.sleep(1)
        self._refuse(self.promises.broken)
        self._refuse(self._what_is_wrong())

    def _refuse(self, wrong: str | None) -> None:
        if wrong is not None:
            raise BrokenPromiseError(wrong)

    def _what_is_wrong(self) -> str | None:
        held = self.promises.newest
        is_alive = held in self.pipedrive.alive
        if not is_alive and not self.needed() <= self.history.lost:
            return f"(b) Vault holds {held}, but alive is {sorted(self.needed())}"
        beside = f"(h) the candidate {self.candidate()} is left" if self.candidate() is not None else None
        if (wrong := beside or self.promises.unconnected()) is not None:
            return wrong
        for cluster in self.clusters:
            if cluster.escrow:
                return "(b) something is left in escrow"
            if (busy := _busy_consent(cluster)) is not None:
                return f"(h) {cluster.name}/{busy}"
            for key, body in cluster.credentials.items():
                wrong = self._wrong_credential(cluster, key, body) if is_alive else self._untruth(body)
                if wrong is not None:
                    return f"{wrong}: {cluster.name}/{key}"
        return None

    def _untruth(self, body: dict[str, Any]) -> str | None:
        """Return what is wrong with the status of a credential whose grant is dead; None if it names the cause.

        The cause is an unanswered refresh only if Pipedrive has spent the token in Vault for one of which no copy was
        ever made. Otherwise a consent has ended the grant, or Pipedrive, or a token was written over or put back.
        """
        authorized = read_credential(body).status.condition(ConditionType.AUTHORIZED)
        if authorized is None or authorized.reason != "ConsentRequired":
            return f"(c) it is {authorized.reason if authorized else 'not reported'}, but its grant is dead"
        spending = [send for send in self.promises.sends if send.token == self.promises.newest]
        unanswered = (send for send in spending if send.successor and send.successor not in self.promises.copied)
        is_unanswered = any(not self.promises.is_undone(send) for send in unanswered)
        is_named = "went unanswered" in authorized.message
        return "(e) the status does not name the unanswered refresh" if is_unanswered and not is_named else None

    def _wrong_credential(self, cluster: ClusterModel, key: Key, body: dict[str, Any]) -> str | None:
        authorized = read_credential(body).status.condition(ConditionType.AUTHORIZED)
        if authorized is None or authorized.reason != "Accepted":
            return f"(c) it is {authorized.reason if authorized else 'not reported'}, but its grant is alive"
        secret = cluster.secrets.get(key)
        value = b64decode(secret["data"]["access_token"]).decode() if secret else None
        if value != self.promises.newest_access:
            return f"(c) it publishes {value}, but Vault holds {self.promises.newest_access}"
        return None


def _busy_consent(cluster: ClusterModel) -> str | None:
    """Return a consent whose code is being exchanged; None if there is none."""
    for key, body in cluster.consents.items():
        for one in body["status"].get("conditions", ()):
            if one["type"] == "Complete" and one["reason"] in {"CodeReceived", "Verifying"}:
                return f"{key} is {one['reason']}"
    return None


def play(seed: int, build: Build | None = None) -> World:
    """Run a seed; raise a broken promise with its history."""
    world = World(seed, build or Build())

    def defect(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        if "exception" in event:  # other errors are about the world, such as a Vault that is down for too long
            world.promises.defect(f"{event['event']}: {event['exception'].splitlines()[-1]}")
        raise structlog.DropEvent

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        processors=[structlog.processors.ExceptionRenderer(), defect],
    )
    try:
        run(seed, world.play(), on_defect=world.promises.defect)
    except BrokenPromiseError as error:
        story = "\n".join(world.history.lines[-STORY_LINES:])
        message = f"seed {seed}: {error}\n{story}\nreplay: python -m simulation {seed}"
        raise BrokenPromiseError(error.promise, message) from None
    return world
