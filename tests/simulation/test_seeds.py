"""A thousand seeds keep every promise, and a seed has the same history in every interpreter."""

import os
import subprocess
import sys

import pytest

from simulation import seeds
from simulation.mutants import MUTANTS, Mutant
from simulation.operators import Build
from simulation.seeds import play_many
from simulation.simulated_world import BrokenPromiseError

SEEDS = 1000
"""`make trials` runs those that follow."""
PART = 250
"""How many of them a test runs, so that one that hangs ends with its time-out."""
FROZEN_FOR_LONG = (334212190, 334217927, 334227874)
REPLAYED = 77
"""A seed with two clusters, kills and freezes, and a long history."""


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
def test_every_seed_keeps_every_promise(first: int, capsys: pytest.CaptureFixture[str]) -> None:
    """No seed loses a grant or spends a token twice, except in the window that no protocol closes."""
    figures = play_many(range(first, first + PART))

    with capsys.disabled():
        sys.stdout.write(f"\n{figures} ")
    assert figures.broken == ()
    assert figures.seeds == PART
    assert figures.refreshes > 2 * PART
    assert 0 < sum(figures.excuses.values()) < figures.refreshes


def test_the_calm_begins_when_no_process_is_frozen_any_more() -> None:
    """A process goes on late in these seeds, and its pauses end late: the final checks must not come before."""
    assert play_many(FROZEN_FOR_LONG).broken == ()


@pytest.mark.parametrize(("promise", "is_noticed"), [("(a) sent twice", True), ("(d) refreshed early", False)])
def test_a_mutant_is_noticed_only_by_a_promise_that_it_attacks(
    promise: str, monkeypatch: pytest.MonkeyPatch, *, is_noticed: bool
) -> None:
    """Another promise that breaks proves nothing about its rule."""

    def play(*_: object) -> None:
        raise BrokenPromiseError(promise)

    mutant = Mutant(Build(), "A rule.", ("(a)", "(b)"))
    monkeypatch.setitem(MUTANTS, "Mutant", mutant)
    monkeypatch.setattr(seeds, "play", play)

    assert (seeds.first_broken("Mutant", 3) is not None) is is_noticed


def test_a_seed_is_the_same_history_in_two_interpreters() -> None:
    """Otherwise a failing seed could not be replayed; sets and hashes differ from one interpreter to the next."""
    first, second = (_history(hash_seed) for hash_seed in ("1", "2"))

    assert len(first.splitlines()) > 50
    assert first == second


def _history(hash_seed: str) -> str:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "simulation", str(REPLAYED)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
