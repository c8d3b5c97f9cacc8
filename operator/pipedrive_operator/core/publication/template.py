"""Templates of the target Secret: `$(field)` as Kubernetes writes it, and `$(field|json)` for a quoted JSON string.

`$$(` stands for a literal `$(`. A template contains no code and can only name the fields that its caller passes in.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Final

from pipedrive_operator.core.values.errors import InvalidSpec

_QUOTED: Final = 64
_REFERENCE: Final = re.compile(r"\$\$\(|\$\(([^()]*)\)?")
"""An escape, or a reference. An unclosed reference matches too, so that it is refused instead of copied as text."""


def check_template(key: str, template: str, fields: Collection[str]) -> None:
    """Check that a template names known fields only.

    Raises:
        InvalidSpec: it does not; the message gives the key, the unknown field and the known ones.
    """
    for match in _REFERENCE.finditer(template):
        reference = match.group(1)
        is_closed = match.group().endswith(")")
        if reference is not None and not (is_closed and reference.removesuffix("|json") in fields):
            message = (
                f"spec.target.data[{key}]: {match.group()[:_QUOTED]} is not a known field. Use one of "
                f"{', '.join(fields)}, each also as $(name|json); write $$( for a literal $("
            )
            raise InvalidSpec(message)


def render(template: str, values: Mapping[str, str]) -> str:
    """Fill in a template that was checked."""
    return _REFERENCE.sub(lambda match: _replacement(match.group(1), values), template)


def _replacement(reference: str | None, values: Mapping[str, str]) -> str:
    if reference is None:
        return "$("
    value = values[reference.removesuffix("|json")]
    return json.dumps(value) if reference.endswith("|json") else value
