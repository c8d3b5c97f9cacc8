"""Runs the attacks one after the other, and then all of them together."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from attack import verdict
from attack.attack_environment import GRANT, AttackEnvironment, set_up_attack
from attack.attacks import ATTACKS, Attack, under_attack
from attack.monitor import Monitor
from attack.readable import readable
from attack.verdict import Outcome

PUBLISHED_SECONDS = 90.0
ALL = "all together"
CALM = "none"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many honest namespaces, how large the attacks are, and how long each lasts."""

    attacks: tuple[str, ...] = (*ATTACKS, ALL)
    tenants: int = 20
    size: int = 3000
    seconds: float = 120.0
    expires_in: int = 120
    probe_seconds: float = 2.0
    rest_seconds: float = 10.0
    """Between two attacks: the operator deals with what the first one has left."""
    source: Path | None = None
    """The folder of another version of the operator."""


def run(folder: Path, plan: Plan, say: Callable[[str], None]) -> Iterator[Outcome]:
    """Yield the outcome of each attack, after that of a time without one.

    Raises:
        ProcessError, BuildError, KubectlError, TimeoutError: the run could not be completed.
    """
    chosen = {name: _chosen(name) for name in (CALM, *plan.attacks)}
    with (
        set_up_attack(folder, tenants=plan.tenants, expires_in=plan.expires_in, source=plan.source) as environment,
        Monitor(environment, probe_seconds=plan.probe_seconds) as monitor,
    ):
        monitor.wait_until_published(timeout=PUBLISHED_SECONDS)
        say(f"{plan.tenants} honest namespaces have their tokens")
        for number, (name, attacks) in enumerate(chosen.items(), start=1):
            say(name)
            outcome = _one(environment, monitor, name, attacks, plan)
            found = verdict.leaks(
                _secrets(environment, monitor), readable(environment, everything=number == len(chosen))
            )
            yield replace(outcome, leaks=found)
            time.sleep(plan.rest_seconds if number < len(chosen) else 0)


def _one(
    environment: AttackEnvironment, monitor: Monitor, name: str, attacks: Mapping[str, Attack], plan: Plan
) -> Outcome:
    window = monitor.begin()
    with under_attack(environment, attacks, size=plan.size):
        time.sleep(plan.seconds)
        return monitor.end(window, name)


def _chosen(name: str) -> Mapping[str, Attack]:
    if name == CALM:
        return {}
    return ATTACKS if name == ALL else {name: ATTACKS[name]}


def _secrets(environment: AttackEnvironment, monitor: Monitor) -> dict[str, str]:
    """Return every secret value by what it is, including those that refreshes have issued since the start."""
    found = environment.secrets | monitor.tokens()
    for namespace in environment.honest:
        document = environment.parts.openbao.read_secret(f"pipedrive/{namespace}/{GRANT}") or {}
        found |= {f"{key} of {namespace}": value for key, value in document.items() if key.endswith("_token")}
    return found
