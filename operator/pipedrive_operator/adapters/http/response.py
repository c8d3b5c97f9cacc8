"""An HTTP response read to its end, as a value. What it means is decided by the adapter of the service."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Status, headers and body. The body may hold tokens and is never printed."""

    status: int
    headers: httpx.Headers = field(default_factory=httpx.Headers, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def json(self) -> Mapping[str, Any] | None:
        """The JSON object in the body; None if the body is anything else, such as the HTML page of a proxy."""
        return json_object(self.body)


def json_object(body: bytes) -> Mapping[str, Any] | None:
    """Return the JSON object in a body; None if there is none. Endless digits and deep nesting raise nothing."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
