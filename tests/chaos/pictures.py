"""Draws the window in which a grant can be lost: how many refreshes had a copy of their result how soon."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chaos.judgement import Window
from chaos.report import Report
from testbed.hardware import Machine
from testbed.picture import BLUE, GREY, ORANGE, picture

_MILLISECONDS: Final = 1000


def draw(report: Report, machine: Machine, folder: Path) -> Sequence[Path]:
    """Draw the windows of the parts that were run; nothing if none of them has a window."""
    fleet = report.fleet.windows if report.fleet is not None else ()
    kills = report.kills.windows if report.kills is not None else ()
    if not fleet and not kills:
        return []
    path = folder / "chaos-window.svg"
    with picture(path, machine, height=3.8) as figure:
        axes = figure.subplots()
        for windows, label, color, style in (
            (fleet, "the fleet", BLUE, "-"),
            (kills, "under kills and faults", ORANGE, "--"),
        ):
            if windows:
                axes.ecdf(_since_answered(windows), color=color, linestyle=style, label=f"{label}: {len(windows):,}")
        axes.axhline(0.99, color=GREY, linestyle=":", label="99 %")
        axes.set(xscale="log", xlabel="milliseconds from Pipedrive's answer to the first acknowledged copy")
        axes.set(ylabel="share of the refreshes", ylim=(0, 1.02), title="The window in which a grant can be lost")
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.legend(loc="lower right", fontsize=9)
    return [path]


def _since_answered(windows: Sequence[Window]) -> list[float]:
    return [_MILLISECONDS * one.since_answered for one in windows]
