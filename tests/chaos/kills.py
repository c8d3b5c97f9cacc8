"""Operators are killed at random moments, and started again, in every kind of weather; at the end it is judged.

The moments are drawn from a seed, so that a run can be told by it; what the processes are doing then is not repeated.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chaos import judgement
from chaos.cell import PIPEDRIVE_SECONDS, VAULT_SECONDS, Cell, Replica, Sight
from chaos.evidence import Death, Evidence, read_publications, read_reads, read_refreshes, read_writes
from chaos.judgement import Limits, Loss, Moment, Told, Window
from chaos.person import Impatience, Person
from chaos.stage import Stage, set_up
from chaos.weather import KINDS, QUIET_CLUSTER, Weather
from testbed.api_client import ApiError
from testbed.pipedrive.tokens import digest_of
from testbed.processes import ProcessError

EXPIRES_IN: Final = 8
"""In seconds: every grant is refreshed each four, so that a random moment is likely to meet a refresh."""
LIMITS: Final = Limits(vault=VAULT_SECONDS, pipedrive=PIPEDRIVE_SECONDS - 0.1)
_LEADER_SECONDS: Final = 90.0
_SETTLE_SECONDS: Final = 150.0
_POLL_SECONDS: Final = 0.1
_SLOWNESS: Final = 0.06

Tell = Callable[[str], None]


class ChaosError(Exception):
    """The run cannot go on, or did not come to rest; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How much is to be done: cells of two replicas with an election, and cells of one without."""

    kills: int
    seed: int
    pairs: int = 2
    lone: int = 2
    grants: int = 6
    """In each cell."""
    kinds: Sequence[str] = tuple(KINDS)
    longest_life: float = 5.0
    """In seconds, from when a replica leads until it is killed."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a run came to."""

    seed: int
    seconds: float
    refreshes: int
    deaths: Mapping[Moment, int]
    troubles: Mapping[str, int]
    accepted_twice: Sequence[str]
    sent_again: int
    """Refresh tokens that were sent although their successor was in Vault or in escrow."""
    sent_at_once: int
    losses: Sequence[Loss]
    dead_for_nothing: Sequence[Told]
    uncertain: int
    """For how many grants a status has said `RefreshUncertain` while that was so."""
    windows: Sequence[Window]
    takeovers: Sequence[float]
    """In seconds, from a kill until the other replica said that it acts, where nothing hindered the election."""

    @property
    def breaches(self) -> list[str]:
        """Every way in which the promise was broken, in words."""
        found = [f"refresh token {token} was accepted twice" for token in self.accepted_twice]
        found += [f"{one.refresh.path}: {one.why}" for one in self.losses if not one.excused]
        found += [
            f"{one.refresh.path}: the status did not tell the truth: {one.told!r}"
            for one in self.losses
            if one.excused and not one.truthful
        ]
        found += [f"{one.path}: declared dead, and nothing was lost: {one.message!r}" for one in self.dead_for_nothing]
        found += [f"{self.sent_again} times a refresh token was sent whose successor was kept"] * bool(self.sent_again)
        return found + [f"{self.sent_at_once} times a refresh token was in flight twice at once"] * bool(
            self.sent_at_once
        )


@dataclass
class _Quota:
    """How many kills are left, for several threads."""

    left: int
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> bool:
        with self.lock:
            self.left -= 1
            return self.left >= 0


def run(folder: Path, plan: Plan, tell: Tell) -> Verdict:
    """Kill, and judge. Raises ChaosError, ProcessError, BuildError and KubectlError."""
    with set_up(folder, expires_in=EXPIRES_IN) as stage, running_cells(stage, plan) as cells:
        return play(stage, cells, plan, tell)


def play(stage: Stage, cells: Sequence[Cell], plan: Plan, tell: Tell) -> Verdict:
    """Kill the operators of running cells, and judge. Raises ChaosError and ProcessError."""
    began = time.time()
    chance = random.Random(plan.seed)  # noqa: S311  no secret
    weather = Weather(stage=stage, cells=cells, chance=chance)
    takeovers: list[float] = []
    with Person(cells) as person, Impatience(cells, random.Random(chance.random())):  # noqa: S311
        settle(stage, cells)
        for number, kind in enumerate(plan.kinds):
            quota = plan.kills * (number + 1) // len(plan.kinds) - plan.kills * number // len(plan.kinds)
            taken = _phase(weather, kind, plan, quota)
            takeovers += taken if kind in QUIET_CLUSTER else []
            _mend(weather)
            settle(stage, cells)
            lost = len(person.told)
            tell(f"{kind}: {quota} kills; {lost} grants needed a new consent so far; all credentials are ready again")
    for cell in cells:
        cell.stop()
    return _verdict(weather, person, plan, seconds=time.time() - began, takeovers=takeovers)


@contextmanager
def running_cells(stage: Stage, plan: Plan) -> Iterator[list[Cell]]:
    """Run the cells of a plan while the block lasts, with their grants. Raises ProcessError and KubectlError."""
    with ExitStack() as stack:
        sizes = [("pair", 2)] * plan.pairs + [("lone", 1)] * plan.lone
        cells = [
            stack.enter_context(Cell(stage, f"{kind}-{number}", replicas=replicas))
            for number, (kind, replicas) in enumerate(sizes)
        ]
        for cell in cells:
            names = [f"grant-{number}" for number in range(plan.grants)]
            cell.apply({(cell.name, name): cell.add_grant(name) for name in names}, renewBefore="1h")
            cell.start()
        yield cells


def settle(stage: Stage, cells: Sequence[Cell], *, within: float = _SETTLE_SECONDS) -> None:
    """Wait until every credential was once ready with a new token, and that the one in Vault. Raises ChaosError."""
    before: dict[tuple[str, str], str | None] | None = None
    awaited = {(cell.name, name) for cell in cells for name in cell.grants}
    deadline = time.monotonic() + within
    while awaited:
        if time.monotonic() > deadline:
            raise ChaosError("not everything was refreshed again:\n" + "\n".join(_complaints(cells, awaited)))
        time.sleep(_POLL_SECONDS * 3)
        with suppress(ApiError):
            sights = list(_sights(cells))
            # Not before: a moment after its start an API server still refuses.
            before = before or {(cell.name, name): sight.secret.get("access_token") for cell, name, sight in sights}
            for cell, name, sight in sights:
                held = stage.openbao.read_secret(cell.grants[name].path) or {}
                token = sight.secret.get("access_token")
                if (
                    sight.ready
                    and token not in {before.get((cell.name, name)), None}
                    and token == held.get("access_token")
                ):
                    awaited.discard((cell.name, name))


def _complaints(cells: Sequence[Cell], awaited: set[tuple[str, str]]) -> list[str]:
    return [
        f"{cell.name}/{name}: {sight.conditions}"
        for cell, name, sight in _sights(cells)
        if (cell.name, name) in awaited
    ]


def gather(stage: Stage, cells: Sequence[Cell]) -> Evidence:
    """Read what the others have logged."""
    paths = {consent: grant.path for cell in cells for grant in cell.grants.values() for consent in grant.consents}
    answers = stage.openbao.kv_answers()
    requests = {replica.name: cell.cluster.requests(replica.name) for cell in cells for replica in cell.replicas}
    return Evidence(
        refreshes=read_refreshes(stage.pipedrive.ledger().calls, paths),
        writes=read_writes(answers),
        reads=read_reads(answers),
        publications=read_publications(requests),
    )


def _phase(weather: Weather, kind: str, plan: Plan, quota: int) -> list[float]:
    """Kill so many in one kind of weather, and return the take-overs."""
    left = _Quota(quota)
    if kind not in QUIET_CLUSTER:
        # Somewhat slow, so that a random moment still meets a refresh where they are rarer.
        weather.stage.pipedrive.add_fault("slow", endpoint="token", delay=_SLOWNESS)
    with ThreadPoolExecutor(len(weather.cells)) as pool:
        killing = [pool.submit(_kill_on, cell, left, _lives(plan, f"{kind} {cell.name}")) for cell in weather.cells]
        while not all(one.done() for one in killing):
            KINDS[kind](weather)
        return [seconds for one in killing for seconds in one.result()]


def _lives(plan: Plan, where: str) -> Iterator[float]:
    """Draw how long one leader after another may live."""
    chance = random.Random(f"{plan.seed} {where}")  # noqa: S311  no secret
    while True:
        yield chance.uniform(0, plan.longest_life)


def _kill_on(cell: Cell, quota: _Quota, lives: Iterator[float]) -> list[float]:
    """Kill whoever leads a cell, again and again, and return how long the other replica took to take over."""
    takeovers: list[float] = []
    death: Death | None = None
    while quota.take():
        leader = _wait_for_leader(cell)
        if death is not None and leader.name != death.replica:
            takeovers.append(time.time() - death.at)
        time.sleep(next(lives))
        leader.kill()
        leader.process.start()
        death = leader.deaths[-1]
    return takeovers


def _wait_for_leader(cell: Cell) -> Replica:
    deadline = time.monotonic() + _LEADER_SECONDS
    while (leader := cell.leader()) is None:
        for replica in cell.replicas:
            if replica.process.has_ended():
                message = f"{replica.name} has ended by itself; its log is {replica.process.log}"
                raise ChaosError(message)
        if time.monotonic() > deadline:
            message = f"nobody leads {cell.name} after {_LEADER_SECONDS:.0f} s"
            raise ChaosError(message)
        time.sleep(_POLL_SECONDS)
    return leader


def _mend(weather: Weather) -> None:
    weather.stage.pipedrive.clear_faults()
    for cell in weather.cells:
        cell.mend()
        for replica in cell.replicas:
            with suppress(ProcessError):
                replica.process.thaw()


def _sights(cells: Sequence[Cell]) -> Iterator[tuple[Cell, str, Sight]]:
    for cell in cells:
        for name, sight in cell.look().items():
            yield cell, name, sight


def _verdict(weather: Weather, person: Person, plan: Plan, *, seconds: float, takeovers: Sequence[float]) -> Verdict:
    stage, cells = weather.stage, weather.cells
    evidence = gather(stage, cells)
    grants = [(cell, grant) for cell in cells for grant in cell.grants.values()]
    held = {grant.path: stage.openbao.read_secret(grant.path) or {} for _, grant in grants}
    lost = judgement.lost(
        evidence.refreshes, {path: digest_of(values["refresh_token"]) for path, values in held.items()}, person.told
    )
    deaths = [death for cell in cells for replica in cell.replicas for death in replica.deaths]
    fallen = [judgement.moment(death, evidence, _targets(cells, death)) for death in deaths]
    return Verdict(
        seed=plan.seed,
        seconds=seconds,
        refreshes=sum(one.accepted for one in evidence.refreshes),
        deaths={moment: fallen.count(moment) for moment in Moment},
        troubles={
            what: sum(one.what == what for one in weather.troubles) for what in {one.what for one in weather.troubles}
        },
        accepted_twice=judgement.accepted_twice(evidence.refreshes),
        sent_again=len(judgement.sent_again(evidence)),
        sent_at_once=len(judgement.sent_at_once(evidence.refreshes)),
        losses=[
            judgement.judge(one, evidence, deaths=deaths, troubles=weather.troubles, told=person.told, limits=LIMITS)
            for one in lost
        ],
        dead_for_nothing=judgement.declared_dead_for_nothing(evidence.refreshes, person.told),
        uncertain=len(person.uncertain),
        windows=judgement.windows(evidence),
        takeovers=takeovers,
    )


def _targets(cells: Sequence[Cell], death: Death) -> Mapping[str, tuple[str, str]]:
    mine = next(cell for cell in cells if any(one.name == death.replica for one in cell.replicas))
    return {grant.path: grant.credentials[0] for grant in mine.grants.values()}
