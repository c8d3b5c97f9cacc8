"""The order in which pytest runs files: those that take longest begin first.

Each process takes one file at a time, so a long file at the end would keep one process busy after
the others have ended.
"""

from collections.abc import Sequence

import pytest


def run_first(items: list[pytest.Item], longest: Sequence[str]) -> None:
    """Sort the tests of these files to the beginning, and keep the order of the others."""
    items.sort(key=lambda item: longest.index(item.path.stem) if item.path.stem in longest else len(longest))
