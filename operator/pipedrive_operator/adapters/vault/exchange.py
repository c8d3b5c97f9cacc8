"""A request to Vault and its answer, as values. What an answer means is decided elsewhere, and no secret is printed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from pipedrive_operator.core.values.secret_value import SecretValue

LONGEST_QUOTE: Final = 200
"""In characters."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request."""

    operation: str
    """What the metrics call it."""
    method: str
    path: str
    """Escaped, and with the version of the API: /v1/secret/data/a."""
    token: SecretValue | None = None
    json: Json | None = field(default=None, repr=False)
    params: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP response; whether it is good news is in its status."""

    status: int
    body: Json | None = field(default=None, repr=False)
    """None where it is not a JSON object: an empty success, or the page of a proxy."""
    retry_after: timedelta | None = None
    redirect: str | None = None
    """The host that a redirect leads to."""

    @property
    def data(self) -> Json:
        """What Vault wraps into `data`; empty where it sent none."""
        return _object(self.body, "data")

    @property
    def auth(self) -> Json:
        """What Vault says of a token that it issued or prolonged; empty where it did not."""
        return _object(self.body, "auth")

    @property
    def errors(self) -> str:
        """What Vault gives as reason, on one line."""
        told = (self.body or {}).get("errors") or ()
        return " ".join(", ".join(map(str, told)).split())[:LONGEST_QUOTE]


def _object(body: Json | None, key: str) -> Json:
    held = (body or {}).get(key)
    return held if isinstance(held, Mapping) else {}
