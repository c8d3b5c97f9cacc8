"""Shows the demo to a person: a line for each step, and below them on a terminal a table that is kept up to date.

Elsewhere, such as in a file, it prints plain lines. Nothing is decided here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Column, Table
from rich.text import Text

from testbed.demo.sight import Credential, Sight

_COLUMNS = ("Name", "Ready", "Reason", "Company", "Expires in", "Last event", "Digest")
_COLOURS = {"True": "green", "False": "red"}


class Screen:
    """Tells of steps and shows sights."""

    def __init__(self, console: Console) -> None:
        """Write to a console."""
        self._console = console
        unicode = console.encoding.startswith("utf")
        self._good, self._bad = ("✓", "✗") if unicode else ("ok", "FAIL")
        self._spinner = Spinner("dots" if unicode else "line")
        self._sight: Sight | None = None
        self._told: dict[str, Credential] = {}
        self._resting = ""
        self._live = Live(get_renderable=self._below, console=console, refresh_per_second=8, transient=True)

    @contextmanager
    def kept_up(self) -> Iterator[None]:
        """Keep what moves below the lines, where the console is a terminal."""
        if not self._console.is_interactive:
            yield
            return
        with self._live:
            yield

    def say(self, text: str = "", style: str = "") -> None:
        """Print one line, which is never broken, so that it can be copied."""
        self._console.print(Text(text, style), soft_wrap=True)

    def begun(self, name: str, sees: str) -> None:
        """Tell what is about to be seen."""
        self._spinner.update(text=Text(f"{name}: {sees}"))
        if not self._live.is_started:
            self.say(f"... {name}: {sees}")

    def done(self, name: str, seen: str, seconds: float) -> None:
        """Tell what was seen."""
        line = Text.assemble((f"{self._good} {name}", "bold green"), f": {seen} ", (f"({seconds:.1f} s)", "dim"))
        self._console.print(line, soft_wrap=not self._live.is_started)

    def failed(self, text: str) -> None:
        """Tell what failed."""
        self.say(f"{self._bad} {text}", "bold red")

    def shown(self, sight: Sight) -> Sight:
        """Show a sight on a terminal, and return it."""
        self._sight = sight
        return sight

    def rest(self, text: str) -> None:
        """Say what goes on while no step is under way."""
        if not self._live.is_started and text != self._resting:
            self.say(text)
        self._resting = text
        self._spinner.update(text=Text(text))

    def tell_changes(self, sight: Sight) -> None:
        """Show a sight: by the table, or by a line for each credential that changed since it was told last."""
        self.shown(sight)
        for credential in [] if self._live.is_started else sight.credentials.values():
            told = replace(credential, message="")
            if self._told.get(credential.name) != told:
                self._told[credential.name] = told
                self.say(_line(credential, sight))

    def tell_sight(self) -> None:
        """Print what was seen last."""
        if self._sight is not None:
            for credential in self._sight.credentials.values():
                self.say(_line(credential, self._sight))

    def _below(self) -> RenderableType:
        return Group(self._spinner, *([] if self._sight is None else [_table(self._sight)]))


def _table(sight: Sight) -> Table:
    table = Table(*(Column(name, no_wrap=True) for name in _COLUMNS), box=SIMPLE_HEAD)
    for _, credential in sorted(sight.credentials.items()):
        style = _COLOURS.get(credential.ready, "yellow")
        table.add_row(*_row(credential, sight, now=datetime.now(UTC)), style=style)
    return table


def _line(credential: Credential, sight: Sight) -> str:
    cells = zip(_COLUMNS, _row(credential, sight, now=sight.at), strict=True)
    return f"{sight.at:%H:%M:%S} " + ", ".join(f"{column} {cell}" for column, cell in cells)


def _row(credential: Credential, sight: Sight, *, now: datetime) -> tuple[str, ...]:
    expires, event, secret = credential.expires_at, credential.last_event, sight.secrets.get(credential.name)
    return (
        credential.name,
        credential.ready or "-",
        credential.reason or "-",
        credential.company or "-",
        "-" if expires is None else f"{max(0, (expires - now).total_seconds()):.0f} s",
        "-" if event is None else f"{event[0]} {max(0, (now - event[1]).total_seconds()):.0f} s ago",
        "-" if secret is None else secret.digest,
    )
