"""Lays out tables as kubectl does: columns separated by three spaces, without lines."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kubectl_pipedrive.terminal import Style, Terminal
from pipedrive_operator.core.values.text import shorten

_GAP: Final = "   "
_SHORTEST_LAST: Final = 24
"""Below this width the last column is not cut: the line wraps instead."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A text and its style."""

    text: str
    style: Style | None = None


Row = Sequence[Cell]


class Table:
    """Rows below a heading. Rows that are added later use the same widths, as `kubectl get --watch` does."""

    def __init__(self, heads: Sequence[str], rows: Iterable[Row]) -> None:
        """Measure the columns."""
        self._heads, self._rows = heads, list(rows)
        columns = zip(heads, *([cell.text for cell in row] for row in self._rows), strict=True)
        self._widths = [max(len(text) for text in column) for column in columns]

    def lines(self, terminal: Terminal) -> list[str]:
        """Return the lines of the whole table."""
        heads = [Cell(head, Style.STRONG) for head in self._heads]
        return [self.line(row, terminal) for row in (heads, *self._rows)]

    def line(self, row: Row, terminal: Terminal) -> str:
        """Return one row; on a terminal, the last column is cut where the line would wrap."""
        *first, last = row
        padded = [
            terminal.paint(cell.text, *_styles(cell)) + " " * (width - len(cell.text))
            for cell, width in zip(first, self._widths, strict=False)
        ]
        used = sum(width + len(_GAP) for width in self._widths[:-1])
        room = None if terminal.width is None else terminal.width - used
        text = last.text if room is None or room < _SHORTEST_LAST else shorten(last.text, room)
        return _GAP.join((*padded, terminal.paint(text, *_styles(last)))).rstrip()


def _styles(cell: Cell) -> tuple[Style, ...]:
    return () if cell.style is None else (cell.style,)
