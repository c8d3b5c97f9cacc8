"""The command line of `make scale`: `python -m benchmarks.scale --help`."""

import tempfile
from pathlib import Path
from typing import Final

import click

from benchmarks.command import Say, carry_out
from benchmarks.parts import Parts, running
from benchmarks.pictures import draw_scale
from benchmarks.scale import growth, repairs, windows
from benchmarks.scale.plan import PARTS, Plan
from benchmarks.scale.report import Edits, Failover, Growth, ScaleReport
from testbed.hardware import describe

HELP: Final = """Measure the operator with thousands of credentials, and with a fleet of grants.

Starts a Kubernetes API server on etcd (with fsync), OpenBao and a simulated Pipedrive on free ports, and runs operators
as separate processes. Everything ends with the command, and nothing is left behind.

\b
Parts:
  growth     time and memory for 1,000, 5,000, 10,000 ... API tokens, with the floor beside
  edits      50 Secrets edited at once, with all credentials published
  failover   the leader is stopped, and killed, until another replica works
  refreshes  grants with short tokens: CPU time, waits, a restart
  outages    Vault, and then Pipedrive, does not answer for a while

The tokens of the grants are so short that the grants refresh as often as 10,000 grants with tokens of an hour: 1,000
grants have tokens of six minutes. Polls, verifications and outages are shortened in the same proportion. So the share
of a core is that of 10,000 grants, and their memory is not.

\b
Examples:
  make scale                                           everything (25 min)
  python -m benchmarks.scale --credentials 300 --parts "growth edits"       a first look (1 min)
  python -m benchmarks.scale --grants 200 --parts "refreshes outages"       a first look (6 min)
  python -m benchmarks.scale --credentials 50000 --parts growth             more
  python -m benchmarks.scale --grants 10000            an hour's tokens, not shortened (3 h)
  python -m benchmarks.scale -o json > figures.json    every figure, for programs
  python -m benchmarks.scale --check                   fail if a goal is missed

\b
Exit codes: 0 success, 1 a goal was missed (with --check),
2 the measurement failed, 130 interrupted.
"""


@click.command(help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--parts", default=" ".join(PARTS), show_default=True, help="The parts to run, separated by spaces.")
@click.option(
    "--credentials",
    default=10_000,
    show_default=True,
    type=click.IntRange(1),
    help="The largest number of API tokens to publish.",
)
@click.option("--grants", default=1_000, show_default=True, type=click.IntRange(1), help="The grants of the fleet.")
@click.option(
    "--lifetime",
    default=None,
    type=click.FloatRange(60),
    help="How long access tokens live, in seconds. Default: 0.36 s for each grant, but at least 60 s.",
)
@click.option(
    "--away",
    default=None,
    type=click.FloatRange(1),
    help="How long an outage takes, in seconds. Default: a sixth of the lifetime, as ten minutes are of an hour.",
)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("--check", is_flag=True, help="Exit with 1 if a goal is missed.")
@click.option(
    "--pictures", type=click.Path(file_okay=False, path_type=Path), help="Draw SVG pictures into this folder."
)
def main(
    *,
    parts: str,
    credentials: int,
    grants: int,
    lifetime: float | None,
    away: float | None,
    output: str,
    check: bool,
    pictures: Path | None,
) -> None:
    """Measure, and exit with the matching code."""
    wanted = tuple(parts.replace(",", " ").split())
    if unknown := sorted(set(wanted) - set(PARTS)) or ["none"] * (not wanted):
        message = f"No such part: {', '.join(unknown)}. The parts are {', '.join(PARTS)}."
        raise click.UsageError(message)
    plan = Plan(parts=wanted, credentials=credentials, grants=grants, lifetime=lifetime, away=away)
    carry_out(lambda say: _run(plan, say), output=output, check=check, pictures=pictures, draw=draw_scale)


def _run(plan: Plan, say: Say) -> ScaleReport:
    machine = describe()
    with tempfile.TemporaryDirectory(prefix="pipedrive-scale-") as folder:
        say("starting an API server, OpenBao and a simulated Pipedrive")
        with running(Path(folder), size=plan.credentials if plan.needs_tokens else 0) as parts:
            grown, edited, moved = _tokens(parts, plan, say) if plan.needs_tokens else (None, None, None)
            fleet = windows.measure(parts, plan, say) if plan.needs_grants else None
            say("ending all that was started")
    return ScaleReport(machine=machine, growth=grown, edits=edited, failover=moved, fleet=fleet)


def _tokens(parts: Parts, plan: Plan, say: Say) -> tuple[Growth | None, Edits | None, Failover | None]:
    account = parts.account("scale")
    grown = growth.measure(parts, account, plan.steps, say) if "growth" in plan.parts else None
    if not {"edits", "failover"} & set(plan.parts):
        return grown, None, None
    if grown is None:
        growth.publish(parts, account, plan.credentials, say)
    with repairs.pair(parts, account, plan.credentials) as pair:
        edited = repairs.edits(pair, say) if "edits" in plan.parts else None
        return grown, edited, repairs.failover(pair, say) if "failover" in plan.parts else None


if __name__ == "__main__":
    main()
