"""What the command lines of all benchmarks share: progress, errors, the table, the exit codes."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol, TypeVar

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.arrivals import MissingError
from testbed.api_client import ApiError
from testbed.figure import Figure
from testbed.go_build import BuildError
from testbed.kubectl import KubectlError
from testbed.openbao_api import OpenBaoError
from testbed.processes import ProcessError

_MISSED, _NOT_MEASURED, _INTERRUPTED = 1, 2, 130
_VERDICTS: Final = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}
_FAILURES: Final = (ProcessError, KubectlError, BuildError, MissingError, ApiError, OpenBaoError)

Say = Callable[[str], None]
"""Reports progress on stderr."""


class Result(Protocol):
    """The result of a benchmark."""

    @property
    def heading(self) -> Sequence[str]:
        """The lines above the table: which machine, and what was measured."""

    @property
    def lines(self) -> list[Figure]:
        """The figures, each with its expectation."""

    @property
    def as_expected(self) -> bool:
        """Whether every expectation is met."""

    def document(self) -> dict[str, Any]:
        """Return everything in types that JSON supports."""


R = TypeVar("R", bound=Result)


def carry_out(
    run: Callable[[Say], R],
    *,
    output: str,
    check: bool,
    pictures: Path | None,
    draw: Callable[[R, Path], Sequence[Path]],
) -> NoReturn:
    """Run a benchmark, show its result as a table or JSON, draw it, and exit with its exit code."""
    progress = Console(stderr=True, highlight=False)
    try:
        result = run(lambda text: progress.print(f"{text} ...", markup=False))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except _FAILURES as failure:
        progress.print(f"It could not be measured: {failure}", markup=False)
        sys.exit(_NOT_MEASURED)
    if output == "json":
        click.echo(json.dumps(result.document(), indent=2))
    else:
        _show(result, Console(highlight=False))
    for picture in draw(result, pictures) if pictures is not None else ():
        progress.print(f"drawn: {picture}", markup=False)
    sys.exit(_MISSED if check and not result.as_expected else 0)


def _show(result: Result, console: Console) -> None:
    for text in result.heading:
        console.print(text, markup=False)
    table = Table("What", "Measured", "Expected", "", box=SIMPLE_HEAD)
    for line in result.lines:
        table.add_row(line.what, line.measured, line.expected, _VERDICTS[line.met])
    console.print(table)
