"""Runs a fleet through calm times, a restart, two outages and the end of its leader, and measures each."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from benchmarks.command import Say
from benchmarks.parts import Parts
from benchmarks.process import cpu_seconds, memory
from benchmarks.scale import fleet, logs
from benchmarks.scale.judgement import Calm, Outage, judge
from benchmarks.scale.plan import LEASE, MODEL_AWAY, Plan
from benchmarks.scale.report import FleetFigures
from testbed.operator_process import OperatorProcess

_DOWN: Final = MODEL_AWAY / 2
_LEAST_SETTLING: Final = 75.0
"""Longer than the recovery may take."""
_TAKEOVER: Final = LEASE + 15.0


@dataclass(kw_only=True)
class _Run:
    """A run in progress: the fleet, and what has been measured so far."""

    fleet: fleet.Fleet
    plan: Plan
    say: Say
    alone: Calm | None = None
    steady: Calm | None = None
    outages: list[Outage] = field(default_factory=list)
    killed_at: float | None = None


def measure(parts: Parts, plan: Plan, say: Say) -> FleetFigures:
    """Run the fleet, and return its figures. Raises MissingError, ProcessError and KubectlError."""
    with fleet.running(parts, plan) as running:
        run = _Run(fleet=running, plan=plan, say=say)
        running.start(quiet="refreshes" in plan.parts)
        running.populate(say)
        if "refreshes" in plan.parts:
            _refreshes(run)
        if "outages" in plan.parts:
            _outages(run)
        if "failover" in plan.parts:
            _failover(run)
        ended, used = time.time(), memory(running.leader())
        running.stop()
        say("reading the simulator's ledger and OpenBao's audit log")
        log = Path(parts.openbao.folder) / "audit.log"
        records = logs.read(running.pipedrive.ledger(), running.names, log, fleet.OPERATOR)
    figures = judge(
        plan,
        published=running.watched.published,
        records=records,
        windows=(run.alone, run.steady),
        outages=run.outages,
        killed_at=run.killed_at,
        ended=ended,
        verifications_per_second=fleet.VERIFICATIONS_PER_SECOND,
    )
    return replace(figures, memory=used)


def _refreshes(run: _Run) -> None:
    plan = run.plan
    run.say(f"refreshes: {plan.period / 2:.0f} s of refreshes, without polls and verifications by interval")
    run.alone = _window(run, plan.period / 2)
    down = plan.in_proportion(_DOWN)
    run.say(f"refreshes: all replicas are stopped for {down:.0f} s, and started again")
    with _away(run, "operator", down) as outage:
        run.fleet.stop()
        time.sleep(down)
        outage.back = run.fleet.start(quiet=False)
    run.say(f"refreshes: {plan.period:.0f} s, with polls and verifications in proportion")
    run.steady = _window(run, plan.period)


def _outages(run: _Run) -> None:
    away = run.plan.time_away
    run.say(f"outages: Vault is sealed for {away:.0f} s")
    vault = run.fleet.parts.openbao
    with _away(run, "Vault", away, tries=logs.vault_requests) as outage:
        vault.seal()
        time.sleep(away)
        vault.unseal()
        outage.back = time.time()
    run.say(f"outages: Pipedrive answers every request with status 503 for {away:.0f} s")
    with _away(run, "Pipedrive", away) as outage:
        run.fleet.pipedrive.add_fault("status", status=503)
        time.sleep(away)
        run.fleet.pipedrive.clear_faults()
        outage.back = time.time()


def _failover(run: _Run) -> None:
    run.say("failover: the leader of the grants is killed")
    leader = run.fleet.leader()
    run.killed_at = time.time()
    leader.kill()
    run.fleet.replicas.remove(leader)
    time.sleep(_TAKEOVER)


@contextmanager
def _away(
    run: _Run, what: str, seconds: float, *, tries: Callable[[OperatorProcess], int] | None = None
) -> Iterator[Outage]:
    """Record an outage, and let the fleet settle after it."""
    leader = run.fleet.leader()
    before = tries(leader) if tries else 0
    outage = Outage(what=what, began=time.time(), seconds=seconds)
    yield outage
    outage.tries = tries(leader) - before if tries else 0
    time.sleep(max(_LEAST_SETTLING, run.plan.in_proportion(MODEL_AWAY)))
    outage.ended = time.time()
    run.outages.append(outage)


def _window(run: _Run, seconds: float) -> Calm:
    """Let the fleet work, and return the time with the processor time of the leader and of the others."""
    leader = run.fleet.leader()
    others = [one for one in run.fleet.replicas if one is not leader]
    began, spent, idle = time.time(), cpu_seconds(leader), sum(map(cpu_seconds, others))
    time.sleep(seconds)
    return Calm(
        began=began,
        ended=time.time(),
        cpu_seconds=cpu_seconds(leader) - spent,
        standby_cpu_seconds=sum(map(cpu_seconds, others)) - idle,
    )
