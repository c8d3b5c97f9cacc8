"""An HTTP request to Vault and its response, as values that print no secret.

What a response means is decided in errors.py.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pipedrive_operator.adapters.http.response import LONGEST_QUOTE
from pipedrive_operator.core.values.errors import VaultUnavailable
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.core.values.text import without_control_characters

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultRequest:
    """One HTTP request."""

    operation: str
    """The name of the request in metrics."""
    method: str
    path: str
    """Escaped, and with the version of the API: /v1/secret/data/a."""
    token: SecretValue | None = None
    json: Json | None = field(default=None, repr=False)
    params: Json | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultResponse:
    """One HTTP response, whether it is a success or a refusal."""

    status: int
    body: Json | None = field(default=None, repr=False)
    """None if it is not a JSON object: an empty success, or the page of a proxy."""
    is_too_large: bool = False
    """Whether the body was longer than the operator reads, and was left out."""
    is_undecodable: bool = False
    """Whether the body is JSON that Python does not decode, and was left out."""
    retry_after: timedelta | None = None
    redirect: str | None = None
    """Scheme and host of the `Location` header."""

    @property
    def data(self) -> Json:
        """The object that Vault wraps in `data`; empty if the response has none."""
        return _object(self.body, "data")

    @property
    def auth(self) -> Json:
        """The token that Vault issued or renewed, with its lifetime; empty if the response has none."""
        return _object(self.body, "auth")

    @property
    def is_wrapped(self) -> bool:
        """Whether Vault returned a wrapping token in place of its response."""
        return bool(_object(self.body, "wrap_info"))

    @property
    def errors(self) -> str:
        """Vault's own explanation, on one line."""
        errors = (self.body or {}).get("errors")
        texts = [one for one in errors if isinstance(one, str)] if isinstance(errors, list) else []
        return " ".join(without_control_characters(", ".join(texts)).split())[:LONGEST_QUOTE]


class ResponseMissing(VaultUnavailable):
    """The server accepted a connection and gave no complete response in time, perhaps to this request alone."""


Send = Callable[[VaultRequest], Awaitable[VaultResponse]]
"""Sends one request. Raises VaultUnavailable."""


def _object(body: Json | None, key: str) -> Json:
    value = (body or {}).get(key)
    return value if isinstance(value, Mapping) else {}
