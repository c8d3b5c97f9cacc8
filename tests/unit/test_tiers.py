"""The table of tiers shows what ran, passed, failed and was skipped, and its last line never hides a failure."""

import sys
from typing import IO

import pytest

import tiers
from tiers import Result

PASSED = "<testcase name='a'/>"
FAILED = "<testcase name='b'><failure message='no'/></testcase>"
BROKEN = "<testcase name='c'><error message='no'/></testcase>"
SKIPPED = "<testcase name='d'><skipped message='needs root'/></testcase>"


def report(*cases: str) -> str:
    """Return a report as pytest writes it."""
    return f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>"


def test_each_kind_of_test_is_counted() -> None:
    """An error of a fixture is a failure."""
    found = tiers.counted("unit", report(PASSED, PASSED, FAILED, BROKEN, SKIPPED), code=1, seconds=2)

    assert Result(tier="unit", ok=False, seconds=2, passed=2, failed=2, skipped=("needs root",)) == found


def test_a_tier_passes_when_its_tests_do() -> None:
    """A skipped test does not fail it."""
    assert tiers.counted("unit", report(PASSED, SKIPPED), code=0, seconds=1).ok


@pytest.mark.parametrize(
    ("junit", "code", "note"),
    [
        ("", 2, "no test ran"),
        (report(), 5, "no test ran"),
        (report(SKIPPED), 0, "no test ran"),
        (report(PASSED), 3, "pytest ended with code 3"),
    ],
    ids=["no report", "none collected", "all skipped", "an error outside of tests"],
)
def test_a_tier_fails_without_a_failed_test(junit: str, code: int, note: str) -> None:
    """A tier that ran no test has not succeeded."""
    found = tiers.counted("unit", junit, code=code, seconds=1)

    assert not found.ok
    assert note == found.note
    assert tiers.closing_line([found]).split(", ")[1] == "1 failed"


@pytest.mark.parametrize("tier", ["unit", "simulation", tiers.NEWEST])
def test_a_test_that_hangs_fails(tier: str) -> None:
    """A broken protocol may wait for ever, and nothing else would end the run."""
    timeouts = [int(option.partition("=")[2]) for option in tiers.OPTIONS[tier] if option.startswith("--timeout=")]

    assert len(timeouts) == 1
    assert 0 < timeouts[0] <= 1800


def test_the_table_is_for_people() -> None:
    """It gives the reason for each skip, each failure without a failed test and each omitted tier."""
    results = [
        Result(tier="lint", ok=False, seconds=0.5),
        Result(tier="unit", ok=True, seconds=12.25, passed=40, skipped=("needs root", "needs root")),
        Result(tier="integration", ok=False, seconds=0, note="not run: -m testbed.binaries failed"),
    ]

    assert tiers.table(results).splitlines() == [
        "tier         result  passed failed skipped  seconds",
        "lint         FAILED       -      -       -      0.5",
        "unit         passed      40      0       2     12.2",
        "             skipped 2: needs root",
        "integration  FAILED       0      0       0      0.0",
        "             not run: -m testbed.binaries failed",
        "format       not requested",
        "types        not requested",
        "imports      not requested",
        "simulation   not requested",
        "chart        not requested",
        "alerts       not requested",
        "generated    not requested",
        "trials       not requested",
        "newest       not requested",
        "node         not requested",
    ]


def test_the_closing_line_counts_tests_and_every_failed_tier() -> None:
    """A linter that succeeds does not count as a passed test, but one that fails counts as a failure."""
    results = [
        Result(tier="format", ok=True, seconds=1),
        Result(tier="lint", ok=False, seconds=1),
        Result(tier="unit", ok=False, seconds=1, passed=3, failed=2, skipped=("needs root",)),
    ]

    assert tiers.closing_line(results) == "3 passed, 3 failed, 1 skipped"


def test_an_unknown_tier_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The message lists the existing tiers."""
    assert tiers.main(["untis"]) != 0
    assert "No such tier: untis. The tiers are format, lint," in capsys.readouterr().err


def test_a_tier_that_cannot_run_here_is_skipped_and_says_why() -> None:
    """It never passes silently."""
    found = tiers.not_run("node", ["a node needs root"], in_ci=False)

    assert found.ok
    assert "node         skipped      0      0       1      0.0" == tiers.table([found]).splitlines()[1]
    assert "skipped 1: a node needs root" in tiers.table([found])
    assert "0 passed, 0 failed, 1 skipped" == tiers.closing_line([found])


def test_a_tier_that_cannot_run_in_ci_has_failed() -> None:
    """CI must run every tier."""
    found = tiers.not_run("node", ["a node needs root"], in_ci=True)

    assert not found.ok
    assert "0 passed, 1 failed, 1 skipped" == tiers.closing_line([found])


def test_what_takes_long_runs_only_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default is every other tier."""
    ran: set[str] = set()

    def run(tier: str, output: IO[str] | None = None) -> Result:
        assert output is None or tier in tiers.BESIDE
        ran.add(tier)
        return Result(tier=tier, ok=True, seconds=0, passed=1)

    monkeypatch.setattr(tiers, "run", run)

    assert tiers.main([]) == 0
    assert set(tiers.TIERS) == ran
    assert {"trials", "newest", "node"}.isdisjoint(ran)
    assert tiers.main(["trials", "newest", "node"]) == 0
    assert set(tiers.ALL) == ran


def test_a_concurrent_tier_keeps_its_place_and_its_output(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its failure counts, too."""
    checks = {name: (sys.executable, "-c", f"print('{name} says'); exit({name == 'b'})") for name in ("a", "b", "c")}
    monkeypatch.setattr(tiers, "CHECKS", checks)
    monkeypatch.setattr(tiers, "ALL", ("a", "b", "c"))
    monkeypatch.setattr(tiers, "BESIDE", ("b",))

    assert tiers.main(["a", "b", "c"]) == 1

    lines = capfd.readouterr().out.splitlines()
    said = [line for line in lines if line.endswith(("says", "=="))]
    assert ["== a ==", "a says", "== c ==", "c says", "== b ==", "b says"] == said
    assert ["a", "b", "c"] == [line.split()[0] for line in lines if "passed" in line or "FAILED" in line][1:4]
