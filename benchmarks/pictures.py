"""Draws what the benchmarks have measured. How every picture looks is decided in `testbed.picture`."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.report import Report
from benchmarks.scale.report import FleetFigures, Growth, ScaleReport
from testbed.picture import BLUE, GREEN, GREY, ORANGE, finish, picture


def draw_rounds(report: Report, folder: Path) -> Sequence[Path]:
    """Draw the times of each round of `make bench`, with the floor before and after it."""
    numbers = range(1, len(report.rounds) + 1)
    size = report.rounds[0].requests.credentials
    with picture(folder / "bench-rounds.svg", report.machine, height=3.4) as figure:
        axes = figure.subplots()
        for offset, marker in ((0, "v"), (1, "^")):
            times = [one.floor_seconds[offset] for one in report.rounds]
            label = f"the floor, {('before', 'after')[offset]} the operator"
            axes.plot(numbers, times, marker, color=GREY, label=label)
        axes.plot(numbers, [one.work_seconds for one in report.rounds], "o", color=BLUE, label="the operator")
        kubectl = [one.lone_apply_seconds for one in report.rounds]
        axes.plot(numbers, kubectl, "s", color=ORANGE, label="kubectl apply alone")
        axes.set(xlabel="round", ylabel="seconds", xticks=list(numbers), title=f"{size:,} credentials")
        axes.set_xlim(0.5, len(report.rounds) + 0.5)
        finish(axes)
    return [folder / "bench-rounds.svg"]


def draw_scale(report: ScaleReport, folder: Path) -> Sequence[Path]:
    """Draw what `make scale` has measured: growth, and the outages of a fleet."""
    drawn: list[Path] = []
    if report.growth is not None:
        drawn.append(folder / "scale-growth.svg")
        with picture(drawn[-1], report.machine, height=3.8) as figure:
            _growth(figure, report.growth)
    if report.fleet is not None and report.fleet.moments:
        drawn.append(folder / "scale-outages.svg")
        with picture(drawn[-1], report.machine, height=7.0) as figure:
            _outages(figure, report.fleet)
    return drawn


def _growth(figure: Figure, growth: Growth) -> None:
    time, memory = figure.subplots(1, 2)
    numbers = [0, *(step.credentials for step in growth.steps)]
    operator = [0.0, *accumulate(step.work_seconds for step in growth.steps)]
    floor = [0.0, *accumulate(step.floor_seconds for step in growth.steps)]
    time.plot(numbers, operator, "o-", color=BLUE, label="the operator")
    time.plot(numbers, floor, "^--", color=GREY, label="the floor: the same requests, nothing else")
    time.set(xlabel="API tokens", ylabel="seconds until the last Secret", title="Time of the first publications")
    resident = [growth.empty.resident_mib, *(step.memory.resident_mib for step in growth.steps)]
    memory.plot(numbers, resident, "o-", color=BLUE, label="the operator")
    memory.axhline(resident[0], color=GREY, linestyle="--", label="without a credential")
    _, libraries = growth.starts.medians
    memory.axhline(libraries.mib, color=GREY, linestyle=":", label="its libraries, only imported")
    memory.set(xlabel="API tokens", ylabel="MiB resident", title="Memory")
    for axes in (time, memory):
        axes.xaxis.set_major_formatter("{x:,.0f}")
        finish(axes)


def _outages(figure: Figure, fleet: FleetFigures) -> None:
    left, waiting, requests = figure.subplots(3, 1, sharex=True)
    minutes = [one.at / 60 for one in fleet.moments]
    worst = [float("nan") if one.shortest_left is None else one.shortest_left for one in fleet.moments]
    left.plot(minutes, worst, color=BLUE, label="of the worst published token")
    left.axhline(fleet.lifetime / 3, color=GREY, linestyle="--", label="a third of the lifetime: the renewal time")
    left.set(ylabel="seconds left", title=f"{fleet.grants:,} grants with tokens of {fleet.lifetime:.0f} s")
    waiting.plot(
        minutes,
        [one.waiting for one in fleet.moments],
        color=BLUE,
        label="the queue: renewals that are due and not served",
    )
    waiting.set(ylabel="renewals")
    vault = [one.vault_requests for one in fleet.moments]
    requests.plot(minutes, vault, color=ORANGE, linestyle="--", label="answered requests to Vault")
    requests.plot(minutes, [one.refreshes for one in fleet.moments], color=GREEN, label="refreshes")
    requests.set(ylabel="in each second", xlabel="minutes")
    for axes in (left, waiting, requests):
        _shade(axes, fleet.outages, named=axes is left)
        finish(axes)


def _shade(axes: Axes, outages: Sequence[tuple[str, float, float]], *, named: bool) -> None:
    for what, began, ended in outages:
        axes.axvspan(began / 60, ended / 60, color="#F0E442", alpha=0.4, linewidth=0)
        if named:
            middle = (began + ended) / 120
            axes.annotate(f"{what}\naway", (middle, 0.02), xycoords=("data", "axes fraction"), ha="center", va="bottom")
