"""Draws what a terminal shows after commands of the kubectl plugin, as the pictures of docs/cli.md and the README.

The commands run on the namespace of `support/plugin_world.py`, with colours, and rich draws the terminal.
"""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from generated.cli_page import accepted, as_it_is
from support.plugin_world import PluginWorld

_FOLDER: Final = Path(__file__).parents[2] / "docs" / "images"
_WIDTH: Final = 112
_FONT: Final = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""A font of another site, which no browser loads into a picture."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a terminal."""

    name: str
    lines: Sequence[tuple[str, Callable[[PluginWorld], None]]]
    """What is typed after `kubectl pipedrive`, and how the world is prepared for it."""

    @property
    def PATH(self) -> Path:  # noqa: N802  the name that every generated file has
        """Where the picture is."""
        return _FOLDER / f"{self.name}.svg"

    def text(self) -> str:
        """Return the picture."""
        console = Console(record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True)
        for number, (line, prepare) in enumerate(self.lines):
            world = PluginWorld(width=_WIDTH, colour=True)
            prepare(world)
            typed = world(line)
            prompt = Text.assemble("" if number == 0 else "\n", ("$ ", "green"), (f"kubectl pipedrive {line}", "bold"))
            console.print(prompt, soft_wrap=True)
            console.print(Text.from_ansi((typed.out + typed.err).rstrip()), soft_wrap=True)
        return _FONT.sub("", console.export_svg(title="crm", theme=MONOKAI, unique_id=self.name))


PICTURES: Final = (
    Picture("cli-status", (("status", as_it_is), ("status globex", as_it_is))),
    Picture("cli-connect", (("connect acme -n crm", accepted),)),
)
