"""Code, metrics, fields and documentation use the words of docs/glossary.md, and avoid phrases that confuse readers."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from pipedrive_operator.crd import custom_resource_definition
from pipedrive_operator.metrics import DEFINITIONS

ROOT: Final = Path(__file__).parents[2]
GLOSSARY: Final = ROOT / "docs" / "glossary.md"
PROSE: Final = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "docs", "charts", "crds")
"""Files and folders whose text is checked."""
RIDDLES: Final = frozenset({"anothers", "landed", "story", "tell", "tells", "told", "whoever"})
"""Words that no name of the operator contains: each has a standard term."""
_ROW: Final = re.compile(r"^\| \*\*(.+?)\*\* \| (.+) \| (.*?) ?\|$", re.MULTILINE)
_CODE: Final = re.compile(r"^```.*?^```|`[^`]*`", re.MULTILINE | re.DOTALL)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PHRASES: Final = {
    "tell": r"tell|tells|telling|told",
    "whoever": r"whoever",
    "is to be": r"(?:is|are|was|were) to be",
    "no more": r"counts? no more|and no more",
    "let go of": r"lets? go of",
    "for good": r"for good",
    "of ours": r"of (?:ours|others)|another's",
    "under way": r"under way",
    "now and then": r"now and then",
    "hear": r"hears?|heard",
    "on its way out": r"on its way out",
    "say of": r"(?:says?|said) of",
    "nobody asks": r"nobody asks",
    "but for": r"but for",
    "what was won": r"(?:was|has|had) won",
}
BANNED: Final = re.compile(r"\b(?:" + "|".join(_PHRASES.values()) + r")\b", re.IGNORECASE)


def rows() -> list[tuple[str, str]]:
    """Return each term of the glossary with the text of its column *not*."""
    return [(term, other) for term, _, other in _ROW.findall(GLOSSARY.read_text())]


def refused() -> frozenset[str]:
    """Return the words that the glossary prints as code in its column *not*: this test holds them."""
    return frozenset(word for _, other in rows() for word in re.findall(r"`(\w+)`", other))


def tracked(*places: str) -> list[Path]:
    """Return the text files of the repository in some places: all except pictures."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *places)
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = (ROOT / name for name in sorted(set(names.split("\0")) - {""}))
    return [path for path in paths if path.is_file() and path.suffix != ".png"]


def lines_of_prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a file; code is blanked out in Markdown, where a page may quote anything."""
    text = path.read_text()
    if path.suffix == ".md":
        text = _CODE.sub(lambda code: re.sub(r"[^\n]", " ", code.group()), text)
    yield from enumerate(text.splitlines(), 1)


def words(identifier: str) -> set[str]:
    """Return the words of an identifier, in lower case, except *in flight*, which is an idiom of queues."""
    return {word.lower() for word in _WORD.findall(identifier.replace("in_flight", ""))}


def identifiers(tree: ast.AST) -> Iterator[str]:
    """Yield every name that a module defines or binds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def fields(schema: dict[str, Any]) -> Iterator[str]:
    """Yield the names of all fields of a schema."""
    for name, inner in schema.get("properties", {}).items():
        yield name
        yield from fields(inner)
    if "items" in schema:
        yield from fields(schema["items"])


def test_the_glossary_is_sorted_and_has_each_term_once() -> None:
    """A reader looks a word up; two entries for one word would be two meanings."""
    terms = [term.lower() for term, _ in rows()]

    assert terms
    assert sorted(set(terms)) == terms


def test_the_glossary_does_not_refuse_its_own_terms() -> None:
    """A word cannot be the right one in one row and a wrong one in another."""
    assert refused()
    assert set() == refused() & {word for term, _ in rows() for word in words(term)}


def names_in_code(*places: str) -> list[str]:
    """Return every name in the Python modules of some places, after the path of its module."""
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in tracked(*places)
        if path.suffix == ".py"
        for name in (path.stem, *identifiers(ast.parse(path.read_text())))
    }
    return sorted(found)


def test_identifiers_of_the_operator_use_the_words_of_the_glossary() -> None:
    """It checks classes, functions, arguments, variables, fields and module names."""
    found = names_in_code("operator")

    assert len(found) > 1000
    assert [] == [name for name in found if words(name.split(": ")[1]) & refused()]


def test_identifiers_of_the_operator_are_standard_terms() -> None:
    """This holds for the same places."""
    assert [] == [name for name in names_in_code("operator") if words(name.split(": ")[1]) & RIDDLES]


def test_metrics_use_the_words_of_the_glossary() -> None:
    """This holds for their names and labels."""
    wrong = [one.name for one in DEFINITIONS if refused() & (words(one.name) | set(one.labels))]

    assert [] == wrong


def test_fields_of_the_resource_use_the_words_of_the_glossary() -> None:
    """The CRD is the interface that cannot be renamed later."""
    schema = custom_resource_definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found = list(fields(schema))

    assert "renewBefore" in found
    assert [] == [name for name in found if words(name) & refused()]


def test_pages_use_the_words_of_the_glossary() -> None:
    """Outside the glossary, which has to name the words that it refuses, and the fields of Kubernetes' Ingress."""
    pattern = re.compile(r"(?<!in[ -])\b(?:" + "|".join(sorted(refused())) + r")s?\b(?!:$)", re.IGNORECASE)

    assert [] == places(pattern)


def test_the_prose_avoids_phrases_that_confuse_readers() -> None:
    """Write report or return for tell, anyone who can for whoever, must be for is to be, and so on."""
    assert [] == places(BANNED)


@pytest.mark.parametrize("sentence", ["It tells why.", "Whoever asks.", "What is to be done.", "a refresh under way"])
def test_the_phrases_are_found(sentence: str) -> None:
    """A pattern that matches nothing would never fail a test."""
    assert BANNED.search(sentence)


def test_words_of_an_identifier_are_found_in_any_case() -> None:
    """This holds for snake case, camel case, constants and abbreviations."""
    assert {"http", "answer", "seen", "at"} == words("HTTPAnswer_seenAt")
    assert {"longest", "pause"} == words("_LONGEST_PAUSE")


@pytest.mark.parametrize("folder", ["operator", "benchmarks", "tests"])
def test_code_has_none_of_these_phrases(folder: str) -> None:
    """It checks docstrings, comments, messages and names."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked(folder)
        if path.suffix == ".py" and path != Path(__file__)
        for number, line in lines_of_prose(path)
        if BANNED.search(line)
    ]

    assert [] == found


def places(pattern: re.Pattern[str]) -> list[str]:
    """Return where a pattern is found in the prose, outside the glossary."""
    return [
        f"{path.relative_to(ROOT)}:{number}: {found.group()}"
        for path in tracked(*PROSE, f":!{GLOSSARY.relative_to(ROOT)}")
        for number, line in lines_of_prose(path)
        if (found := pattern.search(line))
    ]
