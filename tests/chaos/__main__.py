"""The command line of the chaos tests: `python -m chaos --help`."""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from typing import Final

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from chaos import fleet, kills, scenarios
from chaos.conclusion import Verdict
from chaos.pictures import draw
from chaos.report import Report
from testbed.api_client import ApiError
from testbed.go_build import BuildError
from testbed.hardware import describe
from testbed.kubectl import KubectlError
from testbed.processes import ProcessError

TEACHING: Final = """Kill, stop and cut off operators on real parts, and check that no refresh token is lost
or spent twice.

Starts a Kubernetes API server on etcd, an OpenBao with durable storage and a simulated Pipedrive whose refresh tokens
work once, and runs operators as separate processes. Everything listens on loopback, stops with the command, and leaves
nothing behind.

\b
Parts:
  scenarios   one fault at a time: sealed, killed, stopped, frozen, late, cut off, hand-over, shared grants (7 min)
  kills       SIGKILL at random moments, in eight kinds of weather, while accounts are connected (200 kills: 20 min)
  fleet       100 grants with one-minute tokens, with Vault sealed once and Pipedrive down once (32 min)

\b
Examples:
  make chaos                                   all of it (about an hour)
  make chaos PARTS=kills KILLS=20              a first look (4 min)
  make chaos PARTS="kills fleet" MINUTES=3
  python -m chaos --parts fleet --minutes 3 -o json

\b
Exit codes: 0 every promise was kept, 1 one was broken, 2 the run could not be completed, 130 interrupted.
"""
PARTS: Final = ("scenarios", "kills", "fleet")
_BROKEN, _NOT_PLAYED, _INTERRUPTED = 1, 2, 130
_SHOWN: Final = 10
_VERDICTS: Final = {True: "[green]kept[/]", False: "[red]BROKEN[/]", None: ""}


@click.command(help=TEACHING, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--parts", default=" ".join(PARTS), show_default=True, help="The parts to run, separated by spaces.")
@click.option("--kills", "count", default=200, show_default=True, type=click.IntRange(1), help="The number of kills.")
@click.option(
    "--grants", default=100, show_default=True, type=click.IntRange(1), help="The number of grants in the fleet."
)
@click.option(
    "--minutes", default=30.0, show_default=True, type=click.FloatRange(2), help="How long the fleet runs, in minutes."
)
@click.option("--seed", default=None, type=int, help="Chooses the random moments. Default: a new one.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    help="If a promise was broken under kills, keep each grant's history and the processes' logs in this folder.",
)
@click.option(
    "--pictures", type=click.Path(file_okay=False, path_type=Path), help="Draw an SVG picture into this folder."
)
def main(
    *,
    parts: str,
    count: int,
    grants: int,
    minutes: float,
    seed: int | None,
    output: str,
    keep: Path | None,
    pictures: Path | None,
) -> None:
    """Run the chaos tests, and exit with the matching code."""
    wanted = parts.replace(",", " ").split()
    if unknown := sorted(set(wanted) - set(PARTS)) or ["none"] * (not wanted):
        message = f"No such part: {', '.join(unknown)}. The parts are {', '.join(PARTS)}."
        raise click.UsageError(message)
    plan = kills.Plan(kills=count, seed=int(time.time()) if seed is None else seed)
    console = Console(stderr=True, highlight=False)
    machine = describe()
    try:
        report = _play(wanted, plan, fleet.Plan(grants=grants, minutes=minutes), console, keep)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except (kills.ChaosError, ProcessError, KubectlError, BuildError, ApiError) as failure:
        console.print(f"The run could not be completed (seed {plan.seed}): {failure}", markup=False)
        sys.exit(_NOT_PLAYED)
    if output == "json":
        click.echo(json.dumps(report.document(), indent=2))
    else:
        _show(report, Console(highlight=False))
    for picture in draw(report, machine, pictures) if pictures is not None else ():
        console.print(f"drawn: {picture}", markup=False)
    sys.exit(0 if report.kept else _BROKEN)


def _play(parts: Sequence[str], plan: kills.Plan, size: fleet.Plan, console: Console, keep: Path | None) -> Report:
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:6.0f} s  {text}", markup=False)

    with tempfile.TemporaryDirectory(prefix="pipedrive-chaos-") as name:
        folders = {part: _made(Path(name) / part) for part in PARTS}
        say(f"{', '.join(parts)}; seed {plan.seed}")
        lone = scenarios.run(folders["scenarios"], say) if "scenarios" in parts else ()
        verdict = kills.run(folders["kills"], plan, say) if "kills" in parts else None
        if keep is not None and verdict is not None and verdict.breaches:
            _keep(verdict, folders["kills"], keep / f"seed-{plan.seed}")
            say(f"a promise was broken; the histories and logs are in {keep / f'seed-{plan.seed}'}")
        figures = fleet.run(folders["fleet"], size, say) if "fleet" in parts else None
        return Report(scenarios=lone, kills=verdict, fleet=figures)


def _keep(verdict: Verdict, folder: Path, into: Path) -> None:
    """Write each grant's history, and copy the logs of all processes."""
    files = {f"{path.replace('/', '.')}.history": "\n".join(lines) for path, lines in verdict.histories.items()}
    logs = {".".join(log.relative_to(folder).parts): log for log in folder.rglob("*.log")}
    into.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (into / name).write_text(f"{text}\n")
    for name, log in logs.items():
        copyfile(log, into / name)


def _show(report: Report, console: Console) -> None:
    table = Table("What", "Measured", "Expected", "", box=SIMPLE_HEAD)
    for line in report.lines:
        table.add_row(line.what, line.measured, line.expected, _VERDICTS[line.met])
    console.print(table)
    for breach in (report.kills.breaches if report.kills is not None else [])[:_SHOWN]:
        console.print(f"BROKEN: {breach}", markup=False)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
