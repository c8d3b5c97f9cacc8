"""Writes to the terminal or to a pipe. Colour and the width of the screen matter only on a terminal."""

import os
import shutil
import sys
import textwrap
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TextIO


class Style(StrEnum):
    """The colours and the weight that are used, as ANSI codes."""

    GOOD = "32"
    WAIT = "33"
    BAD = "31"
    STRONG = "1"
    FAINT = "2"


@dataclass(frozen=True, slots=True)
class Terminal:
    """The two output streams of a command."""

    out: TextIO
    err: TextIO
    width: int | None = None
    """The columns of the terminal; None in a pipe, where no line is wrapped or cut."""
    colour: bool = False

    def line(self, text: str = "") -> None:
        """Write a line to the standard output, at once, so that someone who waits can follow."""
        print(self._encodable(text), file=self.out, flush=True)

    def part(self, text: str) -> None:
        """Continue a line on a terminal; in a pipe, write a line."""
        if self.width is None:
            self.line(text.strip())
        else:
            print(self._encodable(text), file=self.out, end="", flush=True)

    def error(self, text: str) -> None:
        """Write a line to the standard error."""
        print(text, file=self.err, flush=True)

    def paint(self, text: str, *styles: Style) -> str:
        """Return a text in a style, on a terminal that has colours."""
        return f"\x1b[{';'.join(styles)}m{text}\x1b[0m" if self.colour and styles and text else text

    def wrap(self, text: str, indent: str) -> str:
        """Return a text with its lines folded to the width of the terminal, each but the first one indented."""
        if self.width is None:
            return text
        room = max(self.width - len(indent), 40)
        folded = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False)
        return f"\n{indent}".join(folded)

    def narrower(self, columns: int) -> "Terminal":
        """Return the part of the terminal to the right of an indent."""
        return self if self.width is None else replace(self, width=self.width - columns)

    def mark(self, *, ok: bool) -> str:
        """Return the mark before a result; without Unicode, a word."""
        symbol = ("✓" if ok else "✗") if self._is_unicode else ("ok" if ok else "failed")
        return self.paint(symbol, Style.GOOD if ok else Style.BAD)

    @property
    def _is_unicode(self) -> bool:
        return (self.out.encoding or "utf-8").lower().startswith("utf")

    def _encodable(self, text: str) -> str:
        """Return a text that the terminal can show: LANG=C knows ASCII alone."""
        if self._is_unicode:
            return text
        return text.replace("…", "...").encode(self.out.encoding, errors="replace").decode(self.out.encoding)


def terminal() -> Terminal:
    """Return the terminal of this process. `NO_COLOR` (https://no-color.org) and `TERM=dumb` switch colour off."""
    is_terminal = sys.stdout.isatty()
    colour = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = shutil.get_terminal_size().columns if is_terminal else None
    return Terminal(sys.stdout, sys.stderr, width=width, colour=colour)
