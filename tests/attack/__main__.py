"""The command line of the attacks: `python -m attack --help`."""

import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from attack.attacks import ATTACKS
from attack.campaign import ALL, Plan, run
from attack.verdict import Outcome
from testbed.api_client import ApiError
from testbed.go_build import BuildError
from testbed.kubectl import KubectlError
from testbed.openbao_api import OpenBaoError
from testbed.processes import ProcessError

TEACHING: Final = f"""Attack one operator from a hostile namespace, and check that no honest one notices.

Starts a Kubernetes API server, an OpenBao and a simulated Pipedrive, and an operator as a separate process. Honest
namespaces have access tokens that live for two minutes. Each attack runs for itself, and then all of them run together.
Everything listens on loopback, stops with the command, and leaves nothing behind.

\b
Expected of each attack: no honest Secret holds an expired token, damaged Secrets are repaired within two
seconds, the operator stays within the chart's memory limit and keeps its Lease, and no secret value is found
in what the ClusterRole `view` shows, in the log or in the metrics.

\b
Attacks:
  {chr(10).join(["", *(f"  {name}" for name in (*ATTACKS, ALL))]).strip()}

\b
Examples:
  make attack                                        all of them (30 min)
  make attack ATTACKS="slow users me" SECONDS=150
  python -m attack --attacks "one absent path,all together" --tenants 5 --size 500 -o json

\b
Exit codes: 0 every promise was kept, 1 one was broken, 2 the run could not be completed, 130 interrupted.
"""
_BROKEN, _NOT_COMPLETED, _INTERRUPTED = 1, 2, 130
_HARM: Final = (ProcessError, KubectlError, BuildError, ApiError, OpenBaoError, TimeoutError)


@click.command(help=TEACHING, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--attacks", default=",".join((*ATTACKS, ALL)), help="The attacks, separated by commas. Default: all.")
@click.option("--tenants", default=20, show_default=True, type=click.IntRange(1), help="The honest namespaces.")
@click.option("--size", default=3000, show_default=True, type=click.IntRange(1), help="Credentials of the largest.")
@click.option("--seconds", default=120.0, show_default=True, type=click.FloatRange(10), help="Of each attack.")
@click.option("--expires-in", default=120, show_default=True, type=click.IntRange(20), help="Lifetime of a token.")
@click.option(
    "--source", type=click.Path(exists=True, path_type=Path), help="Attack the operator of another checkout instead."
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def main(
    *, attacks: str, tenants: int, size: int, seconds: float, expires_in: int, source: Path | None, output: str
) -> None:
    """Run the attacks, and exit with the matching code."""
    wanted = tuple(name.strip() for name in attacks.split(",") if name.strip())
    if unknown := sorted(set(wanted) - {*ATTACKS, ALL}) or ["none"] * (not wanted):
        message = f"No such attack: {', '.join(unknown)}. The attacks are {', '.join((*ATTACKS, ALL))}."
        raise click.UsageError(message)
    plan = Plan(attacks=wanted, tenants=tenants, size=size, seconds=seconds, expires_in=expires_in, source=source)
    console = Console(stderr=True, highlight=False)
    outcomes: list[Outcome] = []
    try:
        _run(plan, outcomes, console)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except _HARM as failure:
        console.print(f"The run could not be completed: {failure}", markup=False)
        sys.exit(_NOT_COMPLETED)
    if output == "json":
        click.echo(json.dumps([asdict(one) | {"failures": one.failures} for one in outcomes], indent=2))
    else:
        _show(outcomes, Console(highlight=False))
    sys.exit(_BROKEN if any(one.failures for one in outcomes) else 0)


def _run(plan: Plan, outcomes: list[Outcome], console: Console) -> None:
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:6.0f} s  {text}", markup=False)

    with tempfile.TemporaryDirectory(prefix="pipedrive-attack-") as name:
        for outcome in run(Path(name), plan, say):
            outcomes.append(outcome)
            for failure in outcome.failures:
                say(f"    {failure}")


def _show(outcomes: list[Outcome], console: Console) -> None:
    table = Table("Attack", "Expired", "Renewals", "Slowest repair", "Repairs", "Peak memory", "", box=SIMPLE_HEAD)
    for one in outcomes:
        table.add_row(
            one.attack,
            f"{one.expired_seconds:.1f} s",
            str(one.renewals),
            f"{one.slowest_repair:.2f} s",
            str(len(one.repairs)),
            f"{one.peak_mib:.0f} MiB",
            "[red]HARMED[/]" if one.failures else "[green]harmless[/]",
        )
    console.print(table)
    for one in outcomes:
        for failure in one.failures:
            console.print(f"{one.attack}: {failure}", markup=False)


if __name__ == "__main__":
    main()
