"""How large the headers of a response may be, for every server that the operator calls."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_LARGEST_HEADER: Final = 65536
"""In bytes. aiohttp's default of 8190 is less than what some proxies send."""
_MOST_HEADERS: Final = 1000
"""aiohttp's default is 128."""

HEADER_LIMITS: Final[Mapping[str, int]] = MappingProxyType(
    {"max_line_size": _LARGEST_HEADER, "max_field_size": _LARGEST_HEADER, "max_headers": _MOST_HEADERS}
)
"""As aiohttp's `ClientSession` takes them."""
