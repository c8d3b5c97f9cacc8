"""Reads the chart's values.yaml with the comments that document it. It generates nothing.

A comment that begins with `# -- ` documents the key below it: the convention of helm-docs.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).parents[2] / "charts" / "pipedrive-operator"
PATH = CHART / "values.yaml"
_MARK = "# -- "


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One documented value, or a leaf without documentation."""

    path: tuple[str, ...]
    default: Any
    description: str

    @property
    def default_for_people(self) -> str:
        """The default as JSON, on one line."""
        return json.dumps(self.default)


def values() -> list[Value]:
    """Return the values in the order of the file."""
    source = PATH.read_text()
    root = yaml.compose(source, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return list(_below(root, yaml.safe_load(source), source.splitlines(), ()))


def _below(
    node: yaml.MappingNode, loaded: dict[str, Any], lines: Sequence[str], path: tuple[str, ...]
) -> Iterator[Value]:
    for key, inner in node.value:
        here = (*path, key.value)
        description = _comment(lines, key.start_mark.line)
        if not description and isinstance(inner, yaml.MappingNode) and inner.value:
            yield from _below(inner, loaded[key.value], lines, here)
        else:
            yield Value(path=here, default=loaded[key.value], description=description)


def _comment(lines: Sequence[str], line: int) -> str:
    """Return the documentation comment directly above a line, or an empty string."""
    start = line
    while lines[start - 1].lstrip().startswith("# ") and not lines[start].lstrip().startswith(_MARK):
        start -= 1
    above = [one.strip() for one in lines[start:line]]
    if not above or not above[0].startswith(_MARK):
        return ""
    return " ".join([above[0].removeprefix(_MARK), *(one.removeprefix("# ") for one in above[1:])])
