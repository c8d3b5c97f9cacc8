"""The command line of the benchmarks: `python -m benchmarks --help`."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.arrivals import MissingError
from benchmarks.machine import describe
from benchmarks.parts import WORKERS, running
from benchmarks.report import Report
from benchmarks.rounds import Plan, measure
from testbed.figure import Figure
from testbed.go_build import BuildError
from testbed.kubectl import KubectlError
from testbed.processes import ProcessError

HELP: Final = """Measure the speed and the memory of the operator on this machine.

Starts a Kubernetes API server, OpenBao and a simulated Pipedrive on free ports, runs the operator as a separate
process, and measures how long it takes to publish API tokens, how many requests that needs, and how much memory. Each
time is compared with a floor that is measured in the same round: a minimal client that sends the same requests and
does nothing else. Everything ends with the command, and nothing is left behind.

Ratios to the floor can be compared between machines; times cannot. docs/benchmarks.md explains each figure.

\b
Examples:
  make bench                                      everything (5 min)
  python -m benchmarks --credentials 100 --rounds 1    a first look (30 s)
  python -m benchmarks -o json > figures.json     every round, for programs
  python -m benchmarks --check                    fail if an expectation is missed

\b
Exit codes: 0 success, 1 an expectation was missed (with --check),
2 the measurement failed, 130 interrupted.
"""
_MISSED, _NOT_MEASURED, _INTERRUPTED = 1, 2, 130
_VERDICTS: Final = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}


@click.command(help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--credentials",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="Credentials to apply at the same time.",
)
@click.option(
    "--rounds",
    default=3,
    show_default=True,
    type=click.IntRange(1),
    help="Number of rounds; the report has their medians.",
)
@click.option(
    "--singles", default=5, show_default=True, type=click.IntRange(1), help="Single credentials in each round."
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--check", is_flag=True, help="Exit with 1 if an expectation is missed.")
def main(*, credentials: int, rounds: int, singles: int, output: str, check: bool) -> None:
    """Run the benchmarks, and exit with their exit code."""
    plan = Plan(credentials=credentials, rounds=rounds, singles=singles)
    progress = Console(stderr=True, highlight=False)
    try:
        report = _run(plan, progress)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except (ProcessError, KubectlError, BuildError, MissingError) as failure:
        progress.print(f"It could not be measured: {failure}", markup=False)
        sys.exit(_NOT_MEASURED)
    if output == "json":
        click.echo(json.dumps(report.document(), indent=2))
    else:
        _show(report, plan, Console(highlight=False))
    sys.exit(_MISSED if check and not report.as_expected else 0)


def _run(plan: Plan, progress: Console) -> Report:
    machine = describe()
    with tempfile.TemporaryDirectory(prefix="pipedrive-benchmarks-") as folder:
        progress.print("starting an API server, OpenBao and a simulated Pipedrive ...")
        with running(Path(folder), size=max(plan.credentials, plan.singles)) as parts:
            rounds = measure(parts, plan, lambda text: progress.print(f"{text} ..."))
            progress.print("ending all that was started ...")
    return Report(machine=machine, workers=WORKERS, rounds=tuple(rounds))


def _show(report: Report, plan: Plan, console: Console) -> None:
    console.print(f"{report.machine}", markup=False)
    console.print(
        f"{plan.rounds} rounds, {report.workers} credentials at once; medians, and the lowest and highest in brackets"
    )
    table = Table("What", "Measured", "Expected", "", box=SIMPLE_HEAD)
    for line in report.lines:
        table.add_row(line.what, line.measured, line.expected, _verdict(line))
    console.print(table)


def _verdict(line: Figure) -> str:
    return _VERDICTS[line.met]


if __name__ == "__main__":
    main()
