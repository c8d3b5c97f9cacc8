"""The hand-written pages agree with the code: layers, paths and quoted log messages."""

import re
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "operator" / "pipedrive_operator"
ARCHITECTURE: Final = (ROOT / "docs" / "architecture.md").read_text()
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
    """In its order."""
    assert contract("Each layer knows only those below it") == [
        modules(layer) for layer, _ in table("| layer | responsibility |")
    ]


def test_the_floors_of_the_core_are_those_of_the_import_contract() -> None:
    """In its order."""
    assert contract("The core has five floors") == [modules(floor) for floor, _ in table("| floor | contents |")]


def test_each_place_to_change_something_exists() -> None:
    """In the table of where to change what: files of the package, and tests."""
    rows = table("| to | change |")
    paths = [path for row in rows for cell in row[1:] for path in re.findall(r"`([\w./]+(?:/|\.py))`", cell)]

    assert len(rows) > 8
    assert [] == [path for path in paths if not exists(path)]


def exists(path: str) -> bool:
    """Return whether a path exists below the repository, the package, or, for a file's bare name, anywhere in it."""
    if "/" not in path:
        return any(PACKAGE.rglob(path))
    return (ROOT / path).exists() or (PACKAGE / path).exists()


@pytest.mark.parametrize("page", RUNBOOKS, ids=lambda page: page.stem)
def test_log_messages_that_a_runbook_quotes_exist(page: Path) -> None:
    """A person searches the log for exactly these words."""
    quoted = re.findall(r"log says \*([^*]+)\*|[Tt]he line \*([^*]+)\*", page.read_text())
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))

    assert [] == ["".join(one) for one in quoted if f'"{"".join(one)}"' not in source]


def test_runbooks_quote_log_messages() -> None:
    """So that the test above has something to check."""
    assert any("log says *" in page.read_text() for page in RUNBOOKS)
