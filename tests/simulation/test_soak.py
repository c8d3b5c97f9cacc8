"""A long run has seeds of its own each day, and goes on where it was interrupted."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from simulation import __main__ as command
from simulation.seeds import Played
from simulation.soak import FIRST_SEED, SEEDS_OF_A_DAY, Results, fingerprint, first_of_day

TODAY = date(2026, 11, 29)
ONE = Played(seed=7, broken=None, excuses={"died before the answer": 2}, refreshes=3)
OTHER = Played(seed=8, broken="(b) lost\nreplay: ...", excuses={}, refreshes=0)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Return the results of a range that nobody has run yet."""
    return Results.of(range(7, 107), tmp_path / "soak", code="abc")


def test_each_day_has_seeds_that_no_other_day_and_no_test_has() -> None:
    """A range of a day does not reach into that of the next."""
    tomorrow = TODAY + timedelta(days=1)

    assert first_of_day(TODAY) + SEEDS_OF_A_DAY == first_of_day(tomorrow)
    assert first_of_day(date(2026, 1, 1)) == FIRST_SEED


def test_a_run_that_was_interrupted_finds_its_results(results: Results) -> None:
    """They are the same as before, in their order."""
    assert results.read() == []

    results.add([ONE])
    results.add([OTHER])

    assert results.read() == [ONE, OTHER]


def test_a_line_that_was_cut_off_does_not_spoil_the_next_one(results: Results) -> None:
    """The process may be killed while it writes."""
    results.add([ONE, OTHER])
    results.path.write_bytes(results.path.read_bytes()[:-5])

    assert results.read() == [ONE]
    results.add([OTHER])

    assert results.read() == [ONE, OTHER]


def test_results_belong_to_a_range_and_to_the_code(results: Results, tmp_path: Path) -> None:
    """Otherwise a repaired fault would still be reported, and a new one would not be found."""
    others = [
        Results.of(range(7, 108), tmp_path / "soak", code="abc"),
        Results.of(range(7, 107), tmp_path / "soak", code="changed"),
    ]

    results.add([ONE])

    assert [other.read() for other in others] == [[], []]


def test_a_second_run_plays_what_is_left_and_reports_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one was interrupted. The second one fails because of a seed that broke a promise in the first."""
    played: list[int] = []
    most = 2

    def play(left: Iterable[int]) -> Iterator[list[Played]]:
        for seed in left:
            if len(played) == most:
                raise KeyboardInterrupt
            played.append(seed)
            yield [replace(OTHER if seed == OTHER.seed else ONE, seed=seed)]

    def run(seeds: int) -> Result:
        options = ["--seeds", str(seeds), "--first", "7", "--keep", str(tmp_path)]
        return CliRunner().invoke(command.main, options)

    monkeypatch.setattr(command, "play_batches", play)
    run(3)
    assert played == [7, 8]
    played.clear()
    second = run(3)

    assert played == [9]
    assert second.exit_code == 1
    assert "seeds 7 to 9, of which 2 were run before" in second.stderr
    assert "3 seeds, 1 simulated hours, 6 refreshes, 1 promises broken" in second.stdout
    assert "exception: died before the answer: 4" in second.stdout
    assert "(b) lost\nreplay: ..." in second.stdout
    assert run(1).exit_code == 0


def test_any_change_of_the_code_changes_its_fingerprint(tmp_path: Path) -> None:
    """A file that is renamed, too."""
    folder = tmp_path / "operator"
    folder.mkdir()
    seen = {fingerprint(tmp_path)}
    for name, text in (("a.py", "1"), ("a.py", "2"), ("b.py", "2")):
        (folder / name).write_text(text)
        seen.add(fingerprint(tmp_path))
    (folder / "a.py").unlink()
    seen.add(fingerprint(tmp_path))

    assert len(seen) == 5
