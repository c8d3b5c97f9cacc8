"""Shows the demo: a line for each step and, on a terminal, a live table below them. Elsewhere, only plain lines."""

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

from testbed.demo.snapshot import Credential, Snapshot

_COLUMNS = ("Name", "Ready", "Reason", "Company", "Expires in", "Last event", "Digest")
_COLOURS = {"True": "green", "False": "red"}


class Screen:
    """Prints steps and shows snapshots."""

    def __init__(self, console: Console) -> None:
        """Write to a console."""
        self._console = console
        unicode = console.encoding.startswith("utf")
        self._good, self._bad = ("✓", "✗") if unicode else ("ok", "FAIL")
        self._spinner = Spinner("dots" if unicode else "line")
        self._snapshot: Snapshot | None = None
        self._printed: dict[str, Credential] = {}
        self._resting = ""
        self._live = Live(get_renderable=self._below, console=console, refresh_per_second=8, transient=True)

    @contextmanager
    def kept_up(self) -> Iterator[None]:
        """Show the live table below the lines, if the console is a terminal."""
        if not self._console.is_interactive:
            yield
            return
        with self._live:
            yield

    def say(self, text: str = "", style: str = "") -> None:
        """Print one line without wrapping it, so that it can be copied."""
        self._console.print(Text(text, style), soft_wrap=True)

    def begun(self, name: str, sees: str) -> None:
        """Show what is about to happen."""
        self._spinner.update(text=Text(f"{name}: {sees}"))
        if not self._live.is_started:
            self.say(f"... {name}: {sees}")

    def done(self, name: str, seen: str, seconds: float) -> None:
        """Print what happened."""
        line = Text.assemble((f"{self._good} {name}", "bold green"), f": {seen} ", (f"({seconds:.1f} s)", "dim"))
        self._console.print(line, soft_wrap=not self._live.is_started)

    def failed(self, text: str) -> None:
        """Print what failed."""
        self.say(f"{self._bad} {text}", "bold red")

    def shown(self, snapshot: Snapshot) -> Snapshot:
        """Show a snapshot in the live table, and return it."""
        self._snapshot = snapshot
        return snapshot

    def rest(self, text: str) -> None:
        """Show what happens between the steps."""
        if not self._live.is_started and text != self._resting:
            self.say(text)
        self._resting = text
        self._spinner.update(text=Text(text))

    def print_changes(self, snapshot: Snapshot) -> None:
        """Show a snapshot in the table, or else print a line for each credential that changed since its last line."""
        self.shown(snapshot)
        for credential in [] if self._live.is_started else snapshot.credentials.values():
            current = replace(credential, message="")
            if self._printed.get(credential.name) != current:
                self._printed[credential.name] = current
                self.say(_line(credential, snapshot))

    def print_snapshot(self) -> None:
        """Print the last snapshot."""
        if self._snapshot is not None:
            for credential in self._snapshot.credentials.values():
                self.say(_line(credential, self._snapshot))

    def _below(self) -> RenderableType:
        return Group(self._spinner, *([] if self._snapshot is None else [_table(self._snapshot)]))


def _table(snapshot: Snapshot) -> Table:
    table = Table(*(Column(name, no_wrap=True) for name in _COLUMNS), box=SIMPLE_HEAD)
    for _, credential in sorted(snapshot.credentials.items()):
        style = _COLOURS.get(credential.ready, "yellow")
        table.add_row(*_row(credential, snapshot, now=datetime.now(UTC)), style=style)
    return table


def _line(credential: Credential, snapshot: Snapshot) -> str:
    cells = zip(_COLUMNS, _row(credential, snapshot, now=snapshot.at), strict=True)
    return f"{snapshot.at:%H:%M:%S} " + ", ".join(f"{column} {cell}" for column, cell in cells)


def _row(credential: Credential, snapshot: Snapshot, *, now: datetime) -> tuple[str, ...]:
    expires, event, secret = credential.expires_at, credential.last_event, snapshot.secrets.get(credential.name)
    return (
        credential.name,
        credential.ready or "-",
        credential.reason or "-",
        credential.company or "-",
        "-" if expires is None else f"{max(0, (expires - now).total_seconds()):.0f} s",
        "-" if event is None else f"{event[0]} {max(0, (now - event[1]).total_seconds()):.0f} s ago",
        "-" if secret is None else secret.digest,
    )
