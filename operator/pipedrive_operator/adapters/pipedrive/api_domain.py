"""Decides which addresses a token may be sent to. An `api_domain` comes from outside: a response, or Vault."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

SETTING: Final = "pipedrive.allowedApiDomains"
_IMPLIED_PORTS: Final[Mapping[str, str]] = MappingProxyType({"https": ":443", "http": ":80"})
_ANY: Final = "(?!xn--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
"""What `*` stands for: one label of a host name (RFC 1123 section 2.1), or a port. Never a dot, a slash, a colon or
an @, and no label of an internationalized name (RFC 5890): one that cannot be decoded can be asked nothing."""


class AllowedApiDomains:
    """Patterns such as `https://*.pipedrive.com`. A pattern fixes scheme, host and port, and allows no path."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Take the patterns of `pipedrive.allowedApiDomains`."""
        expressions = (re.escape(pattern).replace(r"\*", _ANY) for pattern in patterns)
        # Without ASCII, ignoring case would accept the Kelvin sign for a k.
        self._expressions = [re.compile(each, re.ASCII | re.IGNORECASE) for each in expressions]

    def allow(self, api_domain: str) -> bool:
        """Return whether an address as a whole matches one of the patterns."""
        return any(expression.fullmatch(api_domain) for expression in self._expressions)

    def allowed(self, api_domain: str) -> str | None:
        """Return an address that matches, without a slash at its end and the port that its scheme implies, or None."""
        return next((each for each in (api_domain, _shortest(api_domain)) if self.allow(each)), None)


def _shortest(address: str) -> str:
    address = address.removesuffix("/")
    port = _IMPLIED_PORTS.get(address.partition("://")[0].lower())
    return address if port is None else address.removesuffix(port)
