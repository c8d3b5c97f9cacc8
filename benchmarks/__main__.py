"""The command line of the benchmarks: `python -m benchmarks --help`."""

import tempfile
from pathlib import Path
from typing import Final

import click

from benchmarks.command import Say, carry_out
from benchmarks.parts import WORKERS, running
from benchmarks.pictures import draw_rounds
from benchmarks.report import Report
from benchmarks.rounds import Plan, measure
from testbed.hardware import describe

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
@click.option(
    "--pictures", type=click.Path(file_okay=False, path_type=Path), help="Draw SVG pictures into this folder."
)
def main(*, credentials: int, rounds: int, singles: int, output: str, check: bool, pictures: Path | None) -> None:
    """Run the benchmarks, and exit with their exit code."""
    plan = Plan(credentials=credentials, rounds=rounds, singles=singles)
    carry_out(lambda say: _run(plan, say), output=output, check=check, pictures=pictures, draw=draw_rounds)


def _run(plan: Plan, say: Say) -> Report:
    machine = describe()
    with tempfile.TemporaryDirectory(prefix="pipedrive-benchmarks-") as folder:
        say("starting an API server, OpenBao and a simulated Pipedrive")
        with running(Path(folder), size=max(plan.credentials, plan.singles)) as parts:
            rounds = measure(parts, plan, say)
            say("ending all that was started")
    return Report(machine=machine, workers=WORKERS, rounds=tuple(rounds))


if __name__ == "__main__":
    main()
