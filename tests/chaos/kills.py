"""Kills operators at random moments under every kind of fault, restarts them, and judges the result at the end.

A seed chooses the moments and identifies the run. It does not reproduce what the processes are doing at these moments.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chaos.cell import Cell, CredentialState, Replica
from chaos.conclusion import Verdict, conclude
from chaos.connecting import Consents
from chaos.disturbances import KINDS, QUIET_CLUSTER, Weather
from chaos.person import Impatience, Person
from chaos.surroundings import Environment, set_up
from testbed.api_client import ApiError
from testbed.processes import ProcessError

EXPIRES_IN: Final = 8
"""In seconds. Each grant is then refreshed every four seconds, so that a random moment is likely to hit a refresh."""
_LEADER_SECONDS: Final = 90.0
_SETTLE_SECONDS: Final = 150.0
_POLL_SECONDS: Final = 0.1
_SLOWNESS: Final = 0.06

Say = Callable[[str], None]


class ChaosError(Exception):
    """The run cannot continue, or the operators did not recover; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The size of a run: pairs of replicas with leader election, and single replicas without."""

    kills: int
    seed: int
    pairs: int = 2
    lone: int = 2
    grants: int = 6
    """In each cell."""
    kinds: Sequence[str] = tuple(KINDS)
    longest_life: float = 5.0
    """In seconds, from the moment that a replica leads until it is killed."""


@dataclass
class _Quota:
    """The number of kills left, shared by several threads."""

    left: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> bool:
        with self.lock:
            self.left -= 1
            return self.left >= 0


def run(folder: Path, plan: Plan, say: Say) -> Verdict:
    """Start the operators, kill them, and judge. Raises ChaosError, ProcessError, BuildError and KubectlError."""
    with set_up(folder, expires_in=EXPIRES_IN) as environment, running_cells(environment, plan) as cells:
        return play(environment, cells, plan, say)


def play(environment: Environment, cells: Sequence[Cell], plan: Plan, say: Say) -> Verdict:
    """Kill the operators of running cells, and judge. Raises ChaosError and ProcessError."""
    began = time.time()
    chance = random.Random(plan.seed)  # noqa: S311  no secret
    weather = Weather(environment=environment, cells=cells, chance=chance)
    takeovers: list[float] = []
    with (
        Person(cells) as person,
        Impatience(cells, random.Random(chance.random())),  # noqa: S311
        Consents(environment, cells, random.Random(chance.random())) as consents,  # noqa: S311
    ):
        settle(environment, cells)
        for number, kind in enumerate(plan.kinds):
            quota = plan.kills * (number + 1) // len(plan.kinds) - plan.kills * number // len(plan.kinds)
            with consents.created():
                taken = _phase(weather, kind, plan, quota)
            takeovers += taken if kind in QUIET_CLUSTER else []
            _mend(weather)
            _settle_consents(consents)
            settle(environment, cells)
            lost = len(person.complaints)
            say(f"{kind}: {quota} kills; {lost} grants needed a new consent so far; all credentials are ready again")
    for cell in cells:
        cell.stop()
    return conclude(weather, person, consents, seed=plan.seed, seconds=time.time() - began, takeovers=takeovers)


@contextmanager
def running_cells(environment: Environment, plan: Plan) -> Iterator[list[Cell]]:
    """Run the deployments of a plan with their grants during the block. Raises ProcessError and KubectlError."""
    with ExitStack() as stack:
        sizes = [("pair", 2)] * plan.pairs + [("lone", 1)] * plan.lone
        cells = [
            stack.enter_context(Cell(environment, f"{kind}-{number}", replicas=replicas))
            for number, (kind, replicas) in enumerate(sizes)
        ]
        for cell in cells:
            names = [f"grant-{number}" for number in range(plan.grants)]
            cell.apply({(cell.name, name): cell.add_grant(name) for name in names}, renewBefore="1h")
            cell.start()
        yield cells


def settle(environment: Environment, cells: Sequence[Cell], *, within: float = _SETTLE_SECONDS) -> None:
    """Wait until every credential has been ready with a new token that equals the one in Vault. Raises ChaosError."""
    before: dict[tuple[str, str], str | None] | None = None
    awaited = {(cell.name, name) for cell in cells for name in cell.grants}
    deadline = time.monotonic() + within
    while awaited:
        if time.monotonic() > deadline:
            raise ChaosError("some credentials were not refreshed again:\n" + "\n".join(_complaints(cells, awaited)))
        time.sleep(_POLL_SECONDS * 3)
        with suppress(ApiError):
            states = list(_states(cells))
            # Read inside the loop: an API server refuses requests for a moment after its start.
            before = before or {(cell.name, name): state.secret.get("access_token") for cell, name, state in states}
            for cell, name, state in states:
                held = environment.openbao.read_secret(cell.grants[name].path) or {}
                token = state.secret.get("access_token")
                if (
                    state.ready
                    and token not in {before.get((cell.name, name)), None}
                    and token == held.get("access_token")
                ):
                    awaited.discard((cell.name, name))


def _settle_consents(consents: Consents) -> None:
    """Wait until every consent has ended. Raises ChaosError."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while unfinished := consents.unfinished:
        if time.monotonic() > deadline:
            raise ChaosError("some consents did not end:\n" + "\n".join(unfinished))
        time.sleep(_POLL_SECONDS)


def _complaints(cells: Sequence[Cell], awaited: set[tuple[str, str]]) -> list[str]:
    return [
        f"{cell.name}/{name}: {state.conditions}"
        for cell, name, state in _states(cells)
        if (cell.name, name) in awaited
    ]


def _phase(weather: Weather, kind: str, plan: Plan, quota: int) -> list[float]:
    """Make `quota` kills under one kind of fault, and return the take-over times."""
    left = _Quota(quota)
    if kind not in QUIET_CLUSTER:
        # Refreshes are rarer here; slow ones are still likely to be hit by a random moment.
        for endpoint in ("token", "users_me"):
            weather.environment.pipedrive.add_fault("slow", endpoint=endpoint, delay=_SLOWNESS)
    with ThreadPoolExecutor(len(weather.cells)) as pool:
        killing = [pool.submit(_kill_on, cell, left, _lives(plan, f"{kind} {cell.name}")) for cell in weather.cells]
        while not all(one.done() for one in killing):
            KINDS[kind](weather)
        return [seconds for one in killing for seconds in one.result()]


def _lives(plan: Plan, where: str) -> Iterator[float]:
    """Yield random lifetimes for one leader after another."""
    chance = random.Random(f"{plan.seed} {where}")  # noqa: S311  no secret
    while True:
        yield chance.uniform(0, plan.longest_life)


def _kill_on(cell: Cell, quota: _Quota, lives: Iterator[float]) -> list[float]:
    """Kill the leader of a deployment repeatedly, and return how long each take-over took."""
    takeovers: list[float] = []
    killed: Replica | None = None
    while quota.take():
        leader = _wait_for_leader(cell)
        if killed is not None and leader is not killed:
            takeovers.append(time.time() - killed.deaths[-1].at)
        time.sleep(next(lives))
        leader.kill()
        leader.process.start()
        killed = leader
    return takeovers


def _wait_for_leader(cell: Cell) -> Replica:
    deadline = time.monotonic() + _LEADER_SECONDS
    while (leader := cell.leader()) is None:
        for replica in cell.replicas:
            if replica.process.has_ended():
                message = f"{replica.name} exited unexpectedly; see its log {replica.process.log}"
                raise ChaosError(message)
        if time.monotonic() > deadline:
            message = f"no replica of {cell.name} leads after {_LEADER_SECONDS:.0f} s"
            raise ChaosError(message)
        time.sleep(_POLL_SECONDS)
    return leader


def _mend(weather: Weather) -> None:
    weather.environment.pipedrive.clear_faults()
    for cell in weather.cells:
        cell.mend()
        for replica in cell.replicas:
            with suppress(ProcessError):
                replica.process.thaw()


def _states(cells: Sequence[Cell]) -> Iterator[tuple[Cell, str, CredentialState]]:
    for cell in cells:
        for name, state in cell.look().items():
            yield cell, name, state
