"""The hand-written pages agree with the code: layers, paths and quoted log messages."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "operator" / "pipedrive_operator"
ARCHITECTURE: Final = (ROOT / "docs" / "architecture.md").read_text()
ROOTS: Final = (ROOT, PACKAGE, PACKAGE / "core")
PAGES: Final = sorted(
    page for folder in ("", "docs/", "docs/*/", "crds/", "charts/*/") for page in ROOT.glob(f"{folder}*.md")
)
RUNBOOKS: Final = sorted((ROOT / "docs" / "runbooks").glob("Pipedrive*.md"))


def contract(name: str) -> list[set[str]]:
    """Return the layers of an import contract, from the top, each with its modules."""
    contracts: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    found = next(one for one in contracts if one["name"] == name)
    return [set(layer.split(" | ")) for layer in found["layers"]]


def table(head: str, page: str = ARCHITECTURE) -> list[list[str]]:
    """Return the cells of the first table whose header row begins with some text."""
    _, _, rest = page.partition(f"\n{head}")
    lines = rest.split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def modules(cell: str) -> set[str]:
    """Return the modules that a cell names as code: `commands/` and `ports.py` are commands and ports."""
    return {name.removesuffix("/").removesuffix(".py") for name in re.findall(r"`([^`]+)`", cell)}


def test_the_layers_are_those_of_the_import_contract() -> None:
    """They are in the order of the contract."""
    assert contract("A layer imports only the layers below it") == [
        modules(layer) for layer, _ in table("| layer | responsibility |")
    ]


def test_the_floors_of_the_core_are_those_of_the_import_contract() -> None:
    """They are in the order of the contract."""
    floors = [modules(floor) for floor, _ in table("| floor | contents |")]

    assert contract("In core, each floor imports only the floors below it") == floors


def test_paths_on_the_architecture_page_exist() -> None:
    """Below the repository, the package, the core, or, for the bare name of a file, anywhere in the package."""
    paths = re.findall(r"`([\w./]+(?:/|\.py))`", ARCHITECTURE)

    assert len(paths) > 40
    assert [] == [path for path in paths if not any((root / path).exists() for root in ROOTS) and not bare(path)]


def bare(path: str) -> bool:
    """Return whether a path is the bare name of a module of the package."""
    return "/" not in path and any(PACKAGE.rglob(path))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_that_a_page_names_exist(page: Path) -> None:
    """Paths start at the root of the repository."""
    paths = re.findall(r"`((?:benchmarks|charts|crds|docs|operator|requirements|tests)/[\w./-]*)", page.read_text())

    assert [] == [path for path in paths if not (ROOT / path).exists()]


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_log_messages_that_a_runbook_quotes_exist(page: Path) -> None:
    """A person searches the log for exactly these words."""
    quoted = re.findall(r"log says \*([^*]+)\*|[Tt]he line \*([^*]+)\*", page.read_text())
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))

    assert [] == ["".join(one) for one in quoted if f'"{"".join(one)}"' not in source]


def test_runbooks_quote_log_messages() -> None:
    """This proves that the test above checks something."""
    assert any("log says *" in page.read_text() for page in RUNBOOKS)


def test_each_hostile_consent_has_a_test_that_exists() -> None:
    """A test that is renamed or removed must not leave its case without one."""
    page = (ROOT / "docs" / "consent-cases.md").read_text()
    cases = [line for line in page.splitlines() if line.startswith("| ") and line != "| case | test |"]
    found = {case: re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", case) for case in cases}

    assert len(cases) > 35
    assert [] == [case for case, tests in found.items() if not tests]
    missing = [
        f"{path}::{name}"
        for tests in found.values()
        for path, name in tests
        if not re.search(rf"def {name}\(", (ROOT / path).read_text())
    ]
    assert [] == missing


def test_the_tests_that_hold_the_promises_of_the_threat_model_exist() -> None:
    """A file of tests that is renamed or removed must not leave its promise without one."""
    rows = table("| promise | test |", (ROOT / "docs" / "threat-model.md").read_text())
    tests = {promise: re.findall(r"`(tests/[\w/]+\.py)`", cell) for promise, cell in rows}

    assert len(rows) > 25
    assert [] == [promise for promise, found in tests.items() if not found]
    assert [] == [path for found in tests.values() for path in found if not (ROOT / path).exists()]
