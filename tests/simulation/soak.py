"""Decides which seeds a long run plays, and keeps its results in a file, so that an interrupted run can go on.

The results belong to the code that they were obtained with: after a change of the code, a run starts again.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Final

from simulation.seeds import Played

ROOT: Final = Path(__file__).parents[2]
CODE: Final = ("operator", "tests/fakes", "tests/simulation", "tests/support")
"""The folders that decide how a seed goes."""
FIRST_DAY: Final = date(2026, 1, 1)
FIRST_SEED: Final = 1_000_000
SEEDS_OF_A_DAY: Final = 1_000_000
"""Seeds below the first one are those of the tests; each day has a range that no other day has."""


def first_of_day(today: date) -> int:
    """Return the first of the seeds that belong to a day."""
    return FIRST_SEED + (today - FIRST_DAY).days * SEEDS_OF_A_DAY


def fingerprint(root: Path = ROOT) -> str:
    """Return a digest of the code that decides how a seed goes."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in CODE for path in (root / folder).rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Results:
    """The file with the results of a range of seeds, one line for each seed."""

    path: Path

    @classmethod
    def of(cls, seeds: range, folder: Path, *, code: str) -> "Results":
        """Return the file for a range of seeds, played with certain code."""
        return cls(folder / f"{seeds.start}-{seeds.stop - 1}-{code}.jsonl")

    def read(self) -> Sequence[Played]:
        """Return the results so far. A line that was cut off when a run was killed is removed."""
        if not self.path.exists():
            return []
        text = self.path.read_bytes()
        complete = text[: text.rfind(b"\n") + 1]
        self.path.write_bytes(complete)
        return [Played(**json.loads(line)) for line in complete.splitlines()]

    def add(self, played: Iterable[Played]) -> None:
        """Append results."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write("".join(f"{json.dumps(asdict(one))}\n" for one in played))
