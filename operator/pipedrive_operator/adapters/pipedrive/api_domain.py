"""Which addresses a token may be sent to. An `api_domain` comes from outside: an answer, or a document in Vault."""

import re
from collections.abc import Iterable
from typing import Final

_ANY: Final = "[a-z0-9-]+"
"""What `*` stands for: one label of a host name, or a port. Never a dot, a slash, a colon or an @."""


class AllowedApiDomains:
    """Patterns such as `https://*.pipedrive.com`, which pins scheme, host and port, and allows no path."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Take the patterns of the settings."""
        expressions = (re.escape(pattern).replace(r"\*", _ANY) for pattern in patterns)
        # Without ASCII, ignoring case would take the Kelvin sign for a k.
        self._expressions = [re.compile(each, re.ASCII | re.IGNORECASE) for each in expressions]

    def allow(self, api_domain: str) -> bool:
        """Tell whether an address matches one of the patterns as a whole."""
        return any(expression.fullmatch(api_domain) for expression in self._expressions)
