"""How a picture of measurements looks: SVG that is the same for the same figures, and names neither a date nor a path.

The colours are those of Okabe and Ito, which people with any colour vision distinguish; each line has a marker or a
style of its own too. The background is white, so that a page in dark mode shows the picture as it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from testbed.hardware import Machine

BLUE: Final = "#0072B2"
ORANGE: Final = "#D55E00"
GREEN: Final = "#009E73"
GREY: Final = "#666666"
_METADATA: Final = {"Date": None, "Creator": None}
_WIDTH: Final = 9.0
_ROOM: Final = 1.35


def finish(axes: Axes) -> None:
    """Begin at zero, and leave room for the legend above the lines."""
    axes.set_ylim(min(0.0, axes.dataLim.y0), axes.dataLim.y1 * _ROOM)
    axes.legend(loc="upper left", fontsize=9)


@contextmanager
def picture(path: Path, machine: Machine, *, height: float) -> Iterator[Figure]:
    """Set up a picture that names the machine, and write it at the end of the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(
        {
            "svg.hashsalt": "pipedrive-operator",
            "font.size": 10,
            "axes.grid": True,
            "grid.color": "#DDDDDD",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
        }
    ):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained", facecolor="white")
        yield figure
        figure.supxlabel(str(machine), fontsize=8, color=GREY)
        figure.savefig(path, format="svg", metadata=_METADATA)
