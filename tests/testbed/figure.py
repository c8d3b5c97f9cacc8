"""A measured figure in a report, with what was expected of it. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure; `met` is None if there is no expectation."""

    what: str
    measured: str
    expected: str = ""
    met: bool | None = None
