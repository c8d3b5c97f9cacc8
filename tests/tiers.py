"""Runs the tiers of tests, and ends with a table of what ran, passed, failed and was skipped.

The tiers run one after another, except the simulation, which uses the processors while the other tiers wait.

Every tier runs, even after one has failed. A tier of tests that ran no test has failed. What a tier checks is not
decided here: each is the command of a tool, or a folder of tests. The tiers `trials`, `newest` and `node` run only on
request. A machine that cannot run one of the last two skips it with the reason, except in CI, where that is a failure.

    python tests/tiers.py            all tiers except trials, newest and node
    python tests/tiers.py lint unit  these
"""

import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from testbed import newest_python
from testbed.node import machine

ROOT: Final = Path(__file__).parent.parent
PYTHON: Final = sys.executable
BIN: Final = Path(PYTHON).parent
CHECKS: Final[Mapping[str, Sequence[str]]] = {
    "format": (f"{BIN}/ruff", "format", "--check", "."),
    "lint": (f"{BIN}/ruff", "check", "."),
    "types": (f"{BIN}/mypy",),
    "imports": (f"{BIN}/lint-imports",),
}
TESTS: Final = ("unit", "simulation", "integration", "chart", "alerts", "generated")
TIERS: Final = (*CHECKS, *TESTS)
TRIALS: Final = "trials"
NEWEST: Final = "newest"
NODE: Final = "node"
ALL: Final = (*TIERS, TRIALS, NEWEST, NODE)
CONTROL_PLANE: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
PREPARATIONS: Final[Mapping[str, Sequence[str]]] = {
    NODE: (PYTHON, "-m", "testbed.node"),
    NEWEST: (PYTHON, "-m", "testbed.newest_python"),
    "integration": (PYTHON, "-m", "testbed.binaries"),
    TRIALS: (PYTHON, "-m", "testbed.binaries"),
    "chart": (PYTHON, "-m", "testbed.binaries", *CONTROL_PLANE, "helm", "helm-unittest", "kubeconform"),
    "alerts": (PYTHON, "-m", "testbed.prometheus"),
}
LONGEST_UNIT_TEST: Final = 300
"""In seconds. A test that hangs fails; one with 1,000 inputs may take a minute on a busy machine."""
LONGEST_PART: Final = 1800
"""In seconds: for a few hundred seeds, which run beside other tiers at the lowest priority."""
OPTIONS: Final[Mapping[str, Sequence[str]]] = {
    "unit": ("--numprocesses=2", f"--timeout={LONGEST_UNIT_TEST}"),
    "simulation": (f"--timeout={LONGEST_PART}",),
    "integration": ("--numprocesses=3", "--dist=loadfile", "--no-loadscope-reorder"),
    TRIALS: ("--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder"),
    NEWEST: ("--numprocesses=2", "--hypothesis-profile=thorough", f"--timeout={LONGEST_UNIT_TEST}"),
}
"""The options of pytest for a tier. Tests on real parts mostly wait, so they run in more processes than there are
processors; each process has its own real parts, and takes one file at a time."""
PYTHONS: Final[Mapping[str, str]] = {NEWEST: str(newest_python.PYTHON)}
FOLDERS: Final[Mapping[str, Sequence[str]]] = {
    NEWEST: (
        "tests/unit",
        "tests/simulation",
        "tests/integration/pipedrive",
        "tests/integration/kubernetes/test_kubernetes_connection.py",
    ),
}
"""What a tier runs if not the folder of its name."""
BESIDE: Final = ("simulation",)
"""What runs next to the others, at the lowest priority, so that it does not slow them down."""
PREFIXES: Final[Mapping[str, Sequence[str]]] = {
    NODE: machine.NAMESPACES,
    **dict.fromkeys(BESIDE, ("nice", "-n", "19")),
}
OBSTACLES: Final[Mapping[str, Callable[[], Sequence[str]]]] = {
    NODE: machine.obstacles,
    NEWEST: newest_python.obstacles,
}
INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a tier ended."""

    tier: str
    ok: bool
    seconds: float
    passed: int = 0
    failed: int = 0
    skipped: tuple[str, ...] = ()
    """The reason of each skipped test."""
    note: str = ""
    """Why the tier failed although none of its tests did."""


def main(wanted: Sequence[str]) -> int:
    """Run tiers, print the table, and return the exit code."""
    unknown = sorted(set(wanted) - set(ALL))
    if unknown:
        print(f"No such tier: {', '.join(unknown)}. The tiers are {', '.join(ALL)}.", file=sys.stderr)
        return 2
    try:
        results = run_all([tier for tier in ALL if tier in (wanted or TIERS)])
    except KeyboardInterrupt:
        return INTERRUPTED
    print(f"\n{table(results)}\n\n{closing_line(results)}")
    return 0 if all(result.ok for result in results) else 1


def run_all(asked: Sequence[str]) -> list[Result]:
    """Run tiers; the output of what runs beside the others comes after theirs."""
    beside = [tier for tier in asked if tier in BESIDE and len(asked) > 1]
    with ThreadPoolExecutor() as executor, tempfile.TemporaryFile("w+", errors="replace") as output:
        running = [executor.submit(run, tier, output) for tier in beside]
        results = [run(tier) for tier in asked if tier not in beside]
        if not all(one.done() for one in running):
            print(f"\nwaiting for {', '.join(beside)}", flush=True)
        results += [one.result() for one in running]
        output.seek(0)
        print(output.read(), end="", flush=True)
    return sorted(results, key=lambda result: ALL.index(result.tier))


def run(tier: str, output: IO[str] | None = None) -> Result:
    """Run one tier, with its output as it comes, or to a file."""
    print(f"\n== {tier} ==", file=output, flush=True)
    started = time.perf_counter()
    if tier in CHECKS:
        ok = _call(CHECKS[tier], output) == 0
        return Result(tier=tier, ok=ok, seconds=time.perf_counter() - started)
    obstacles = OBSTACLES[tier]() if tier in OBSTACLES else ()
    if obstacles:
        return not_run(tier, obstacles, in_ci=machine.is_ci())
    preparation = PREPARATIONS.get(tier)
    if preparation and _call(preparation, output) != 0:
        note = f"not run: {' '.join(preparation[1:])} failed"
        return Result(tier=tier, ok=False, seconds=time.perf_counter() - started, note=note)
    code, junit = _pytest(tier, output)
    return counted(tier, junit, code=code, seconds=time.perf_counter() - started)


def not_run(tier: str, obstacles: Sequence[str], *, in_ci: bool) -> Result:
    """Report why a tier cannot run here; in CI, where everything must run, that is a failure."""
    note = "not run, although CI must run every tier" if in_ci else ""
    return Result(tier=tier, ok=not in_ci, seconds=0, skipped=tuple(obstacles), note=note)


def counted(tier: str, junit: str, *, code: int, seconds: float) -> Result:
    """Read a test report. A run that ended badly without a failed test, or that ran no test, has failed too."""
    cases = list(ET.fromstring(junit).iter("testcase")) if junit else []  # noqa: S314  our own file
    failed = sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    skipped = tuple(one.get("message", "") for case in cases if (one := case.find("skipped")) is not None)
    passed = len(cases) - failed - len(skipped)
    note = ""
    if not failed and (code != 0 or not passed):
        note = f"pytest ended with code {code}" if passed else "no test ran"
    return Result(
        tier=tier,
        ok=not failed and not note,
        seconds=seconds,
        passed=passed,
        failed=failed,
        skipped=skipped,
        note=note,
    )


def table(results: Sequence[Result]) -> str:
    """Format the results for people, with the reason of each skip and of each failure without a failed test."""
    lines = [f"{'tier':<12} {'result':<7} {'passed':>6} {'failed':>6} {'skipped':>7} {'seconds':>8}"]
    for result in results:
        lines.append(_row(result))
        lines.extend(f"{'':<12} {why}" for why in _reasons(result))
    left_out = [tier for tier in ALL if tier not in {result.tier for result in results}]
    lines.extend(f"{tier:<12} not requested" for tier in left_out)
    return "\n".join(lines)


def closing_line(results: Sequence[Result]) -> str:
    """Sum up the tests in one line that programs read; a tier that failed without a failed test counts as one."""
    passed = sum(result.passed for result in results)
    failed = sum(result.failed or int(not result.ok) for result in results)
    skipped = sum(len(result.skipped) for result in results)
    return f"{passed} passed, {failed} failed, {skipped} skipped"


def _row(result: Result) -> str:
    counts = (result.passed, result.failed, len(result.skipped)) if result.tier not in CHECKS else ("-", "-", "-")
    passed, failed, skipped = counts
    word = ("passed" if result.passed or result.tier in CHECKS else "skipped") if result.ok else "FAILED"
    return f"{result.tier:<12} {word:<7} {passed:>6} {failed:>6} {skipped:>7} {result.seconds:>8.1f}"


def _reasons(result: Result) -> list[str]:
    skipped = [f"skipped {times}: {why}" for why, times in sorted(Counter(result.skipped).items())]
    return [result.note, *skipped] if result.note else skipped


def _pytest(tier: str, output: IO[str] | None) -> tuple[int, str]:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "junit.xml"
        python, folders = PYTHONS.get(tier, PYTHON), FOLDERS.get(tier, (f"tests/{tier}",))
        command = (python, "-m", "pytest", f"--junit-xml={report}", *OPTIONS.get(tier, ()), *folders)
        code = _call((*PREFIXES.get(tier, ()), *command), output)
        return code, report.read_text() if report.exists() else ""


def _call(command: Sequence[str], output: IO[str] | None) -> int:
    errors = None if output is None else subprocess.STDOUT
    return subprocess.run(command, cwd=ROOT, stdout=output, stderr=errors, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
