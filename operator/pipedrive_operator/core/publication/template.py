"""Templates of the target Secret: `$(field)` as Kubernetes writes it, and `$(field|filter)` to write it another way.

`$$(` stands for a literal `$(`. A template contains no code and can only name the fields that its caller passes in.
"""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Final

from pipedrive_operator.core.publication.filters import references, summary, write
from pipedrive_operator.core.values.errors import InvalidSpec

_QUOTED: Final = 64
_REFERENCE: Final = re.compile(r"\$\$\(|\$\(([^()]*)\)?")
"""An escape, or a reference. An unclosed reference matches too, so that it is refused instead of copied as text."""


def check_template(key: str, template: str, fields: Collection[str]) -> None:
    """Check that a template names known fields and filters only.

    Raises:
        InvalidSpec: it does not; the message gives the key, the unknown reference, a similar one, and the known ones.
    """
    known = set(references(fields))
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


def _suggestion(reference: str, known: Collection[str]) -> str:
    similar = difflib.get_close_matches(reference[:_QUOTED].strip().lower(), sorted(known), n=1)
    return f"; did you mean $({similar[0]})?" if similar else "."
