"""Writes Markdown tables. It knows nothing of what they hold."""

from collections.abc import Iterable, Sequence

GENERATED = "<!-- Generated: run `python -m generated --write`. -->"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; bars in cells are escaped."""
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
