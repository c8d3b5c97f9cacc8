"""Runs seeds from the command line: `python -m simulation --help`."""

import json
import sys
from dataclasses import asdict

import click

from simulation.seeds import play_many
from simulation.simulated_world import BrokenPromiseError, play

TEACHING = """Run the deterministic simulation of operators, Vault, Pipedrive and API servers.

\b
Examples:
  python -m simulation 17                   one seed, with its history
  python -m simulation --seeds 100000       many, on all processors (make soak SEEDS=100000)
  python -m simulation --seeds 500 --first 2000 -o json

\b
Exit codes: 0 every promise was kept, 1 one was broken; its seed and history are printed.
"""
SHOWN = 3
"""How many broken seeds are printed."""


@click.command(help=TEACHING, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("seed", type=int, required=False)
@click.option("--seeds", type=int, help="How many seeds to play.")
@click.option("--first", type=int, default=0, show_default=True, help="The first of them.")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="For people, or for machines."
)
def main(*, seed: int | None, seeds: int | None, first: int, output: str) -> None:
    """Run one seed, or many."""
    if (seed is None) == (seeds is None):
        raise click.UsageError("Name one SEED, or say how many with --seeds.")
    sys.exit(_play_one(seed) if seed is not None else _play_many(range(first, first + (seeds or 0)), output))


def _play_one(seed: int) -> int:
    sys.unraisablehook = lambda _: None  # abandoned coroutines warn when they are collected
    try:
        click.echo("\n".join(play(seed).history.lines))
    except BrokenPromiseError as error:
        click.echo(error)
        return 1
    return 0


def _play_many(seeds: range, output: str) -> int:
    def report(done: int) -> None:
        click.echo(f"\r{done} of {len(seeds)} seeds", nl=False, err=True)

    figures = play_many(seeds, report=report if sys.stderr.isatty() else lambda _: None)
    if output == "json":
        click.echo(json.dumps(asdict(figures) | {"hours": figures.hours}))
    else:
        click.echo("\n\n".join(figures.broken[:SHOWN]))
        click.echo(
            f"{figures.seeds} seeds, {figures.hours:.0f} simulated hours, {figures.refreshes} refreshes, "
            f"{len(figures.broken)} promises broken"
        )
        for kind, count in sorted(figures.excuses.items()):
            click.echo(f"exception: {kind}: {count}")
    return 1 if figures.broken else 0


if __name__ == "__main__":
    main()
