"""More seeds of the simulation than `make test` runs: fixed ones, and some that nobody has run before."""

import secrets
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from simulation.seeds import play_many
from simulation.soak import SEEDS_OF_A_DAY, first_of_day
from simulation.test_seeds import SEEDS

MORE = 2000
FRESH = 300
BEGUN_BY_SOAK = 100_000
"""`make soak` runs the first seeds of each day."""


def test_more_seeds_keep_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """They follow those of `make test`."""
    _keep_every_promise(range(SEEDS, SEEDS + MORE), capsys)


def test_fresh_seeds_keep_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """Fixed seeds find only what their schedules contain; a failure prints the seed, which can be replayed."""
    offset = BEGUN_BY_SOAK + secrets.randbelow(SEEDS_OF_A_DAY - BEGUN_BY_SOAK - FRESH)
    first = first_of_day(datetime.now(UTC).date()) + offset

    _keep_every_promise(range(first, first + FRESH), capsys)


def _keep_every_promise(seeds: Sequence[int], capsys: pytest.CaptureFixture[str]) -> None:
    figures = play_many(seeds)

    with capsys.disabled():  # to stderr, because pytest-xdist discards the stdout of its workers
        print(f"\nseeds {seeds[0]} to {seeds[-1]}: {figures} ", file=sys.stderr)  # noqa: T201  for people
    assert figures.broken == ()
    assert figures.seeds == len(seeds)
