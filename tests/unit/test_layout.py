"""The project's rules that no linter checks: where files are, how long they are, and what they must not contain."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LONGEST_FILE: Final = 400
LONGEST_FUNCTION: Final = 40
REGISTRY: Final = re.compile(
    r"\bpypi\.(?:org|python)|files\.pythonhosted|\b(?:proxy|sum)\.golang|registry\.npmjs|registry\.yarnpkg|"
    r"static\.crates\.io|repo\d?\.maven|\bdeb\.debian"
)
MACHINE_PATH: Final = re.compile(r"(?<![\w.$}/-])/(?:work|root|home)/[\w.]")


def tracked() -> list[Path]:
    """Return the tracked files, and the untracked ones that are not ignored."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in sorted(set(names.split("\0")) - {""}) if (path := ROOT / name).is_file()]


def modules(folder: str = "") -> list[Path]:
    """Return the Python modules below a folder."""
    return [path for path in tracked() if path.suffix == ".py" and path.is_relative_to(ROOT / folder)]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of lines of each function of a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(ROOT)}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    """Return the matches of a pattern in the text files of the repository."""
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_the_operator_folder_is_not_a_package() -> None:
    """A package or module of that name would shadow the standard library's operator."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert [] == [path for path in tracked() if path.name == "operator.py"]


def test_no_file_is_too_long_to_read() -> None:
    """A file aims at 150 lines."""
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in modules()}

    assert lengths
    assert {} == {path: length for path, length in lengths.items() if length > LONGEST_FILE}


def test_no_function_of_the_operator_is_too_long_to_read() -> None:
    """A function aims at 10 lines."""
    lengths = dict(found for path in modules("operator") for found in functions(path))

    assert lengths
    assert {} == {name: length for name, length in lengths.items() if length > LONGEST_FUNCTION}


def test_every_module_has_a_docstring() -> None:
    """An empty `__init__.py` needs none."""
    silent = [path for path in modules() if path.read_text() and not ast.get_docstring(ast.parse(path.read_text()))]

    assert [] == silent


def test_no_file_names_a_package_registry() -> None:
    """The person who installs packages decides where they come from."""
    assert [] == lines_with(REGISTRY)


def test_no_file_names_a_path_of_one_machine() -> None:
    """Such a path does not exist on other machines."""
    assert [] == lines_with(MACHINE_PATH)


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (REGISTRY, "--index-url https://pypi." + "org/simple"),
        (REGISTRY, '"resolved": "https://registry.' + 'npmjs.org/x"'),
        (MACHINE_PATH, "cd /work" + "/checkout"),
        (MACHINE_PATH, 'open("/root' + '/.kube/config")'),
    ],
)
def test_the_patterns_match_what_they_forbid(pattern: re.Pattern[str], line: str) -> None:
    """A pattern that matches nothing would never fail a test."""
    assert pattern.search(line)


def test_no_two_helpers_of_the_tests_have_the_same_name() -> None:
    """A name in an import must be enough to know the file."""
    folders = ("fakes", "support", "contracts", "simulation", "chaos", "attack", "testbed", "n8n")
    names = [path.name for folder in folders for path in modules(f"tests/{folder}") if not path.name.startswith("_")]

    assert names
    assert [] == sorted({name for name in names if names.count(name) > 1} - {"conftest.py"})
