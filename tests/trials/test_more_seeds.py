"""More seeds of the simulation than `make test` runs."""

import pytest

from simulation.seeds import play_many
from simulation.test_seeds import SEEDS

MORE = 2000


def test_more_seeds_keep_every_promise(capsys: pytest.CaptureFixture[str]) -> None:
    """They follow those of `make test`."""
    figures = play_many(range(SEEDS, SEEDS + MORE))

    with capsys.disabled():
        print(f"\n{figures} ")  # noqa: T201  for people
    assert figures.broken == ()
    assert figures.seeds == MORE
