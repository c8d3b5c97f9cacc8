"""Where a value is kept in Vault, and a document as it was read there; no call is made here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pipedrive_operator.core.errors import SourceMissing
from pipedrive_operator.core.secret_value import SecretValue


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class VaultLocation:
    """A document of a KV version 2 secrets engine, on a connection of the operator's configuration."""

    connection: str
    mount: str
    path: str

    def __str__(self) -> str:
        """Write it as the vault command does, with its mount."""
        return f"{self.mount}/{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The newest version of a document; its values stay out of logs."""

    location: VaultLocation
    version: int
    created_at: datetime
    values: Mapping[str, object] = field(repr=False)

    def secret(self, key: str) -> SecretValue:
        """Return the value of a key.

        Raises:
            SourceMissing: the key is absent, empty, not a string, or holds control characters.
        """
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            message = (
                f"Vault has no text under key {key} of {self.location}: "
                f"write it with `vault kv patch -mount={self.location.mount} {self.location.path} {key}=...`"
            )
            raise SourceMissing(message)
        if not value.strip().isprintable():
            message = f"The value under key {key} of {self.location} in Vault holds control characters: write it again"
            raise SourceMissing(message)
        return SecretValue(value)
