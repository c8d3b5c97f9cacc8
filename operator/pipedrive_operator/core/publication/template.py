"""Templates of the target Secret: Kubernetes' own `$(field)`, escaped as `$$(`; `$(field|json)` is a quoted literal.

There is no code in a template, and nothing but the fields of the credential can be named.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Final

from pipedrive_operator.core.values.errors import InvalidSpec

_QUOTED: Final = 64
OAUTH2_FIELDS: Final = ("access_token", "token_type", "api_domain", "expires_at", "scope", "company_domain")
API_TOKEN_FIELDS: Final = ("api_token", "api_domain", "company_domain")

_REFERENCE: Final = re.compile(r"\$\$\(|\$\(([^()]*)\)?")
"""An escape, or a reference; one that is not closed is matched too, so that it is refused and not taken for text."""


def check_template(key: str, template: str, fields: Collection[str]) -> None:
    """Check that a template names known fields only.

    Raises:
        InvalidSpec: it does not; the message names the key, the field and the known ones.
    """
    for match in _REFERENCE.finditer(template):
        reference = match.group(1)
        is_closed = match.group().endswith(")")
        if reference is not None and not (is_closed and reference.removesuffix("|json") in fields):
            message = (
                f"spec.target.data[{key}]: {match.group()[:_QUOTED]} is not known; "
                f"known are {', '.join(fields)}, each also as $(name|json); write $$( for a literal $("
            )
            raise InvalidSpec(message)


def render(template: str, values: Mapping[str, str]) -> str:
    """Fill in a checked template."""
    return _REFERENCE.sub(lambda match: _replacement(match.group(1), values), template)


def _replacement(reference: str | None, values: Mapping[str, str]) -> str:
    if reference is None:
        return "$("
    value = values[reference.removesuffix("|json")]
    return json.dumps(value) if reference.endswith("|json") else value
