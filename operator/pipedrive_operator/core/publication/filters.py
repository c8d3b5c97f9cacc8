"""The filters of templates: how `$(field|filter)` writes a value. The one table of their names and of what they do."""

import json
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from pipedrive_operator.core.values.times import parse_time


@dataclass(frozen=True, slots=True)
class Filter:
    """One way to write a value."""

    write: Callable[[str], str]
    only_for: Collection[str] | None = None
    """The fields that it applies to; None for every field."""

    def applies_to(self, field: str) -> bool:
        """Return whether the filter can write the field."""
        return self.only_for is None or field in self.only_for


def _json_string(value: str) -> str:
    """Return a JSON string without escapes: YAML does not join the two that a character above U+FFFF needs."""
    return json.dumps(value, ensure_ascii=False)


def _seconds_since_the_epoch(value: str) -> str:
    moment = parse_time(value)
    return "" if moment is None else str(int(moment.timestamp()))


FILTERS: Final[Mapping[str, Filter]] = MappingProxyType(
    {
        "json": Filter(_json_string),
        "sh": Filter(shlex.quote),
        "unix": Filter(_seconds_since_the_epoch, only_for=("expires_at",)),
    }
)
"""`json`: a JSON string with its quotes, which YAML takes too. `sh`: a word of a POSIX shell, for files that a shell
reads with `source`. `unix`: seconds since 1970."""


def references(fields: Collection[str]) -> Iterator[str]:
    """Yield every reference that a template may use: each field by itself, and with each filter that applies to it."""
    for field in fields:
        yield field
        yield from (f"{field}|{name}" for name, one in FILTERS.items() if one.applies_to(field))


def write(reference: str, values: Mapping[str, str]) -> str:
    """Return the value of a known reference."""
    field, _, name = reference.partition("|")
    return FILTERS[name].write(values[field]) if name else values[field]


def summary(fields: Collection[str]) -> str:
    """List the fields and filters in a sentence: for every field, then for single ones."""
    general = ", ".join(f"$(field|{name})" for name, one in FILTERS.items() if one.only_for is None)
    single = [f"$({field}|{name})" for name, one in FILTERS.items() for field in one.only_for or () if field in fields]
    return f"{', '.join(fields)}, each also as {' and as '.join([general, *single])}"
