"""Runs a fleet of grants with one-minute access tokens, seals Vault once, stops Pipedrive once, and counts the cost.

It also measures the window in which a grant can be lost: from Pipedrive's answer to the first acknowledged copy.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Final

from chaos import counts, judgement
from chaos.attribution import first_copy
from chaos.cell import Cell, Way, decoded
from chaos.conclusion import LIMITS, gather
from chaos.counts import Cycle, Place, Value
from chaos.evidence import Evidence, Trouble
from chaos.judgement import Window
from chaos.kills import ChaosError, Say
from chaos.sent_again import sent_again, sent_at_once
from chaos.surroundings import Environment, Json, set_up

EXPIRES_IN: Final = 60
SEALED_SECONDS: Final = 20.0
DOWN_SECONDS: Final = 15.0
SHORTEST_CYCLE: Final = 25.0
"""In seconds: `renewBefore` is clamped to half a minute, and spread by up to a tenth of it."""
_BATCHES: Final = 10
_BATCH_SECONDS: Final = 3.0
_AFTERMATH: Final = 35.0
"""In seconds: until the refreshes that a fault delayed are evenly spread again."""
_READY_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many grants, and for how long."""

    grants: int = 100
    minutes: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Figures:
    """The figures of a run."""

    grants: int
    seconds: float
    refreshes: int
    expired_seconds: float
    shortest_left: float
    """In seconds: the shortest remaining lifetime of a value when it was replaced."""
    accepted_twice: Sequence[str]
    sent_again: int
    sent_unseen: int
    """The refresh tokens that were sent again in the moment after the last check."""
    sent_at_once: int
    calm: Mapping[str, int]
    """The highest counts of a cycle without a fault."""
    troubled: Mapping[str, int]
    """The highest counts of the other cycles."""
    cycles: int
    calm_cycles: int
    shortest_calm_cycle: float
    odd_cycles: int
    """Cycles without exactly one successful refresh and one Secret write."""
    lost: int
    """Refreshes without an acknowledged copy."""
    windows: Sequence[Window]


@dataclass
class _Seen:
    """The values of the Secrets, as a watch saw them."""

    values: dict[str, list[Value]] = field(default_factory=lambda: defaultdict(list))
    tokens: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def see(self, at: float, _: str, secret: Json) -> None:
        """Record an event of the watch."""
        name, data = secret["metadata"]["name"], decoded(secret)
        if "access_token" not in data:
            return
        with self.lock:
            if self.tokens.get(name) != data["access_token"]:
                self.tokens[name] = data["access_token"]
                expires_at = datetime.fromisoformat(data["expires_at"]).timestamp()
                self.values[name].append(Value(seen_at=at, expires_at=expires_at))


def run(folder: Path, plan: Plan, say: Say) -> Figures:
    """Run a fleet, and count. Raises ChaosError, ProcessError, BuildError and KubectlError."""
    settings = {"controller": {"pollInterval": "12h"}}  # so that polls do not count as reads of a refresh
    with set_up(folder, expires_in=EXPIRES_IN) as environment, Cell(environment, "fleet", settings=settings) as cell:
        seen = _Seen()
        path = f"/api/v1/namespaces/{cell.name}/secrets"
        with cell.cluster.client().watch(path, seen.see):
            places = _populate(cell, plan)
            _wait_until_ready(cell, plan)
            say(f"{plan.grants} credentials are ready")
            began = time.time()
            troubles = _hinder(environment, cell, minutes=plan.minutes, say=say)
            ended = time.time()
            cell.stop()
        return _figures(gather(environment, [cell]), seen, places, troubles, times=(began, ended))


def _populate(cell: Cell, plan: Plan) -> list[Place]:
    """Start the replicas, and add the grants in batches, so that they are not all due at the same time."""
    cell.start()
    places: list[Place] = []
    for batch in range(_BATCHES):
        due = time.monotonic() + _BATCH_SECONDS
        grants = {
            (cell.name, name): cell.add_grant(name)
            for number in range(batch, plan.grants, _BATCHES)
            if (name := f"grant-{number:03}")
        }
        places += [
            Place(path=grant.path, client_path=cell.own_client(grant), target=key) for key, grant in grants.items()
        ]
        cell.apply(grants, renewBefore="40s")
        time.sleep(max(0.0, due - time.monotonic()))
    return places


def _wait_until_ready(cell: Cell, plan: Plan) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while (ready := sum(state.ready for state in cell.look().values())) < plan.grants:
        if time.monotonic() > deadline:
            message = f"{ready} of {plan.grants} credentials are ready after {_READY_SECONDS:.0f} s"
            raise ChaosError(message)
        time.sleep(_POLL_SECONDS)


def _hinder(environment: Environment, cell: Cell, *, minutes: float, say: Say) -> list[Trouble]:
    """Seal Vault after a third of the time, and stop Pipedrive after two thirds."""
    began = time.monotonic()
    troubles: list[Trouble] = []
    _pass(began + 20 * minutes, say)
    say(f"Vault is sealed for {SEALED_SECONDS:.0f} s")
    with _noted(troubles, Way.VAULT):
        environment.openbao.seal()
        time.sleep(SEALED_SECONDS)
        environment.openbao.unseal()
    _pass(began + 40 * minutes, say)
    say(f"Pipedrive is down for {DOWN_SECONDS:.0f} s")
    with _noted(troubles, Way.PIPEDRIVE):
        for replica in cell.replicas:
            replica.links[Way.PIPEDRIVE].refuse()
        time.sleep(DOWN_SECONDS)
        for replica in cell.replicas:
            replica.links[Way.PIPEDRIVE].mend()
    _pass(began + 60 * minutes, say)
    return troubles


@contextmanager
def _noted(troubles: list[Trouble], what: str) -> Iterator[None]:
    began = time.time()
    yield
    troubles.append(Trouble(what=what, began=began, ended=time.time()))


def _pass(until: float, say: Callable[[str], None]) -> None:
    """Wait, and report each minute how much time is left until the next event."""
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(60.0, left))
        if left > 60:
            say(f"{(left - 60) / 60:.0f} min until the next event")


def _figures(
    evidence: Evidence, seen: _Seen, places: Sequence[Place], troubles: Sequence[Trouble], *, times: tuple[float, float]
) -> Figures:
    began, ended = times
    cycles = counts.cycles(evidence, places, troubles, slack=0.0)
    calm = [one for one in cycles if one.began >= began and one.calm and not _in_aftermath(one, troubles)]
    troubled = [one for one in cycles if one.began >= began and one not in calm]
    values = {name: list(held) for name, held in seen.values.items()}
    accepted = [one for one in evidence.refreshes if one.accepted]
    again = sent_again(evidence)
    left = [old.expires_at - new.seen_at for held in values.values() for old, new in pairwise(held)]
    return Figures(
        grants=len(places),
        seconds=ended - began,
        refreshes=len(accepted),
        expired_seconds=sum(counts.expired_seconds(held, end=ended) for held in values.values()),
        shortest_left=min(left, default=0.0),
        accepted_twice=judgement.accepted_twice(evidence.refreshes),
        sent_again=len(again.known),
        sent_unseen=len(again.unseen),
        sent_at_once=len(sent_at_once(evidence.refreshes, patience=LIMITS.answer).early),
        calm=counts.worst(calm),
        troubled=counts.worst(troubled),
        cycles=len(calm) + len(troubled),
        calm_cycles=len(calm),
        shortest_calm_cycle=min((one.seconds for one in calm), default=0.0),
        odd_cycles=sum((one.refreshes, one.secret_writes) != (1, 1) for one in [*calm, *troubled]),
        lost=sum(first_copy(one, evidence) is None for one in accepted),
        windows=judgement.windows(evidence),
    )


def _in_aftermath(cycle: Cycle, troubles: Sequence[Trouble]) -> bool:
    return any(one.ended <= cycle.began <= one.ended + _AFTERMATH for one in troubles)
