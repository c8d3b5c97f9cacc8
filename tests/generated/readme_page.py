"""Writes the table of reasons into the README, between its two marks."""

from pathlib import Path

from generated.markdown import replaced, table
from pipedrive_operator.core.values.conditions import EFFECTS

PATH = Path(__file__).parents[2] / "README.md"


def text() -> str:
    """Return what the README has to hold: itself, with the table as the code has it."""
    rows = ((f"`{reason}`", effect.meaning, effect.remedy) for reason, effect in EFFECTS.items())
    return replaced(PATH.read_text(), "reasons", table(("reason", "what it means", "what you do"), rows))
