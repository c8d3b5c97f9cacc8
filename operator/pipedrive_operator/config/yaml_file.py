"""Reads the settings file. Every way in which it can be unreadable gets a message with the place and the fix.

YAML is read strictly: a name must be text, and must not be set twice. What the settings mean is not decided here.
"""

from pathlib import Path
from typing import Any, Final

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.reader import ReaderError

from pipedrive_operator.config.errors import SettingsError, kind_of

_YAML: Final = "tag:yaml.org,2002:"
_NAMES: Final = (f"{_YAML}str", f"{_YAML}merge")
_ADVICE: Final = {
    FileNotFoundError: "does not exist: name another file with --config",
    IsADirectoryError: "is a directory: name the file in it with --config",
    PermissionError: "cannot be read, permission denied: let the operator's user read it",
}


class _NameError(yaml.MarkedYAMLError):
    """A name in a mapping cannot be used. The message is the operator's, not the library's."""


class _StrictLoader(yaml.SafeLoader):
    """Refuses names that are set twice or are not text, and reports a value that cannot be read with its place."""

    def compose_mapping_node(self, anchor: dict[Any, Node]) -> MappingNode:
        """Compose a mapping and check its names, before merge keys add those of other mappings."""
        node: MappingNode = super().compose_mapping_node(anchor)
        names = set[str]()
        for key, _ in node.value:
            problem = _problem_of_name(key, names)
            if problem is not None:
                raise _NameError(problem=problem, problem_mark=key.start_mark)
            names.add(key.value)
        return node

    def construct_object(self, node: Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002  PyYAML's signature
        """Construct a value; the library lets Python's own errors through for a value that does not fit its tag."""
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            problem = f"no value of the type {node.tag.replace(_YAML, '!!')} can be read"
            raise ConstructorError(problem=problem, problem_mark=node.start_mark) from error


def _problem_of_name(key: Node, names: set[str]) -> str | None:
    if not isinstance(key, ScalarNode):
        return "a name must be text, not a list or a mapping"
    if key.tag not in _NAMES:
        return f"a name must be text: put {key.value} in quotes, or correct it"
    if key.value in names:
        return f"`{key.value}` is set twice: remove one of the two"
    return None


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return the sections of a settings file.

    Raises:
        SettingsError: the file cannot be read, or is not a mapping in YAML.
    """
    document = _parsed(path, _decoded(path, _content(path)))
    if document is None:
        message = f"{path} contains no settings: write {{}} to use the defaults, or name another file with --config"
        raise SettingsError(message)
    if not isinstance(document, dict):
        message = f"{path} must contain sections such as `vault:`; it contains {kind_of(document)}"
        raise SettingsError(message)
    return document


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = f"cannot be read, {(error.strerror or str(error)).lower()}: name another file with --config"
        message = f"{path} {_ADVICE.get(type(error), reason)}"
        raise SettingsError(message) from error


def _decoded(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"{path}, line {line}: not UTF-8 text: save the file in UTF-8"
        raise SettingsError(message) from None


def _parsed(path: Path, text: str) -> object:
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506  a safe loader
    except _NameError as error:
        message = f"{path}, {_place(error)}: {error.problem}"
    except yaml.MarkedYAMLError as error:
        message = f"{path}, {_place(error)}: not valid YAML: {_hint(error)}"
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"{path}, line {line}: not valid YAML: the character U+{error.character:04X}: remove it"
    except RecursionError:
        message = f"{path} is nested too deeply: settings have at most six levels"
    raise SettingsError(message)


def _place(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "an unknown line"


def _hint(error: yaml.MarkedYAMLError) -> str:
    if "'\\t'" in (error.problem or ""):
        return "a tab: indent with spaces"
    return f"{error.problem}: check the indentation, quotes and brackets before it"
