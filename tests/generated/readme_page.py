"""Generates the table of reasons in the README, between its two markers."""

from pathlib import Path

from generated.markdown import replaced, table
from pipedrive_operator.core.values.conditions import EFFECTS

PATH = Path(__file__).parents[2] / "README.md"


def text() -> str:
    """Return the README with its table up to date."""
    rows = ((f"`{reason}`", effect.meaning, effect.remedy) for reason, effect in EFFECTS.items())
    return replaced(PATH.read_text(), "reasons", table(("reason", "meaning", "what to do"), rows))
