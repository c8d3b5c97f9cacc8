"""Runs seeds from the command line: `python -m simulation --help`."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from simulation.seeds import Figures, play_batches
from simulation.simulated_world import BrokenPromiseError, play
from simulation.soak import Results, fingerprint, first_of_day

TEACHING = """Run the deterministic simulation of operators, Vault, Pipedrive and API servers.

\b
Examples:
  python -m simulation 17                   one seed, with its history
  python -m simulation --seeds 500 --first 2000 -o json
  python -m simulation --seeds 100000       seeds of today, which no other day has, on all processors
  python -m simulation --seeds 100000 --keep .soak
                                            the same; the results are kept, and a second run goes on (make soak)

\b
Exit codes: 0 every promise was kept, 1 one was broken; its seed and history are printed.
"""
SHOWN = 3
"""How many broken seeds are printed."""


@click.command(help=TEACHING, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("seed", type=int, required=False)
@click.option("--seeds", type=int, help="How many seeds to run.")
@click.option("--first", type=int, help="The first of them.  [default: the first one of today's date]")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for the results. A run that was interrupted goes on there, unless the code has changed. "
    "To resume a run on a later day (UTC), pass the --first that it began with.",
)
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="For people, or for machines."
)
def main(*, seed: int | None, seeds: int | None, first: int | None, keep: Path | None, output: str) -> None:
    """Run one seed, or many."""
    if (seed is None) == (seeds is None):
        raise click.UsageError("Name one SEED, or say how many with --seeds.")
    if seed is not None:
        sys.exit(_play_one(seed))
    start = first if first is not None else first_of_day(datetime.now(UTC).date())
    sys.exit(_play_many(range(start, start + (seeds or 0)), keep, output))


def _play_one(seed: int) -> int:
    sys.unraisablehook = lambda _: None  # abandoned coroutines warn when they are collected
    try:
        click.echo("\n".join(play(seed).history.lines))
    except BrokenPromiseError as error:
        click.echo(error)
        return 1
    return 0


def _play_many(seeds: range, keep: Path | None, output: str) -> int:
    results = Results.of(seeds, keep, code=fingerprint()) if keep is not None else None
    played = list(results.read()) if results is not None else []
    click.echo(f"seeds {seeds.start} to {seeds.stop - 1}, of which {len(played)} were run before", err=True)
    done = {one.seed for one in played}
    for batch in play_batches(seed for seed in seeds if seed not in done):
        played += batch
        if results is not None:
            results.add(batch)
        if sys.stderr.isatty():
            click.echo(f"\r{len(played)} of {len(seeds)} seeds", nl=False, err=True)
    figures = Figures.of(played)
    click.echo(json.dumps(asdict(figures) | {"hours": figures.hours}) if output == "json" else _summary(figures))
    return 1 if figures.broken else 0


def _summary(figures: Figures) -> str:
    totals = (
        f"{figures.seeds} seeds, {figures.hours:.0f} simulated hours, {figures.refreshes} refreshes, "
        f"{len(figures.broken)} promises broken"
    )
    excuses = (f"exception: {kind}: {count}" for kind, count in sorted(figures.excuses.items()))
    return "\n".join(["\n\n".join(figures.broken[:SHOWN]), totals, *excuses])


if __name__ == "__main__":
    main()
