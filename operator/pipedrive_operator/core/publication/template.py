"""Templates of the target Secret: `$(field)` as Kubernetes writes it, and `$(field|filter)` to write it another way.

`$$(` stands for a literal `$(`. A template contains no code and can only name the fields that its caller passes in.
Before a template is rendered, its size is computed, and values that would end the quotes around them are found.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from pipedrive_operator.core.publication.filters import references, summary, write
from pipedrive_operator.core.values.errors import InvalidSpec

_QUOTED: Final = 64
MOST_REFERENCES: Final = 256
"""How many references and escapes a template may have. They are counted before anything is searched for: a spec full of
templates with thousands of references would keep the event loop busy with each of its events."""
_REFERENCE: Final = re.compile(r"\$\$\(|\$\(([^()]*)\)?")
"""An escape, or a reference. An unclosed reference matches too, so that it is refused instead of copied as text."""
_SPECIAL_INSIDE: Final[Mapping[str, str]] = MappingProxyType({'"': '"\\$`', "'": "'"})
"""By kind of quote: the characters that end it or mean something in it, in a shell or in a .env file."""

_SPECIAL: Final = frozenset("".join(_SPECIAL_INSIDE.values()))
"""Pipedrive's own values contain none of these, so that hardly any template has to be scanned for quotes."""


def check_template(key: str, template: str, fields: Collection[str]) -> None:
    """Check that a template names known fields and filters only.

    Raises:
        InvalidSpec: it does not, and the message gives the key, the unknown reference, a similar one, and the known
            ones; or it has too many references.
    """
    known = set(references(fields))
    if template.count("$(") > MOST_REFERENCES:
        message = (
            f"spec.target.data[{key}]: the template has more than {MOST_REFERENCES} references such as "
            "$(access_token): remove some, or spread them over several keys of spec.target.data"
        )
        raise InvalidSpec(message)
    for match in _REFERENCE.finditer(template):
        reference = match.group(1)
        is_closed = match.group().endswith(")")
        if reference is not None and not (is_closed and reference in known):
            message = (
                f"spec.target.data[{key}]: {match.group()[:_QUOTED]} is not known{_suggestion(reference, known)} "
                f"Use one of {summary(fields)}; write $$( for a literal $("
            )
            raise InvalidSpec(message)


def render(template: str, values: Mapping[str, str]) -> str:
    """Fill in a template that was checked."""
    return _REFERENCE.sub(lambda match: "$(" if match.group(1) is None else write(match.group(1), values), template)


def rendered_size(templates: Collection[str], values: Mapping[str, str]) -> int:
    """Return how many bytes checked templates would have in UTF-8, without rendering any of them."""
    lengths: dict[str, int] = {}
    size = 0
    for template in templates:
        size += len(template.encode())
        for match in _REFERENCE.finditer(template):
            reference = match.group(1)
            if reference is not None and reference not in lengths:
                lengths[reference] = len(write(reference, values).encode())
            replacement = len("$(") if reference is None else lengths[reference]
            size += replacement - len(match.group())
    return size


def breaks_quotes(template: str, values: Mapping[str, str]) -> str | None:
    """Return the first field whose value would end the quotes that the template puts around it; None if none does.

    References with a filter are not checked: `json` and `sh` write quotes of their own.
    """
    suspects = {name for name, value in values.items() if not _SPECIAL.isdisjoint(value)}
    if suspects.isdisjoint(match.group(1) for match in _REFERENCE.finditer(template)):
        return None
    for field, quote in _quoted_references(template):
        if field in suspects and any(character in values[field] for character in _SPECIAL_INSIDE[quote]):
            return field
    return None


def _quoted_references(template: str) -> Iterator[tuple[str, str]]:
    """Yield each reference that stands inside quotes, with the kind of quote. Quotes end with their line."""
    quote, start = "", 0
    for match in _REFERENCE.finditer(template):
        quote = _open_quote(template[start : match.start()], quote)
        start = match.end()
        if quote and match.group(1) is not None:
            yield match.group(1), quote


def _open_quote(literal: str, quote: str) -> str:
    """Return which quote is open after a literal, given which one was open before; "" for none."""
    is_escaped = False
    for character in literal:
        if is_escaped:
            is_escaped = False
        elif character == "\n":
            quote = ""
        elif character == "\\" and quote != "'":
            is_escaped = True
        elif character == quote:
            quote = ""
        elif not quote and character in _SPECIAL_INSIDE:
            quote = character
    return quote


def _suggestion(reference: str, known: Collection[str]) -> str:
    similar = difflib.get_close_matches(reference[:_QUOTED].strip().lower(), sorted(known), n=1)
    return f"; did you mean $({similar[0]})?" if similar else "."
