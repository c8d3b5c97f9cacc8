"""The location of a value in Vault, the identity that reads it, and a document as it was read. It makes no calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

from pipedrive_operator.core.values.errors import SourceMissing
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.core.values.text import has_control_characters

LONGEST_VALUE: Final = 16384
"""How many characters of a value in Vault are used: twenty times the length of Pipedrive's longest token."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class VaultLocation:
    """A document of a KV version 2 secrets engine, on a connection of the operator's configuration."""

    connection: str
    mount: str
    path: str

    def __str__(self) -> str:
        """Format the location as the vault command does, with its mount."""
        return f"{self.mount}/{self.path}"


@dataclass(frozen=True, slots=True)
class OperatorIdentity:
    """The operator's own login to a connection; the operator itself limits which paths it uses for a namespace."""

    def __str__(self) -> str:
        """Format the identity for messages."""
        return "the operator"


OPERATOR: Final = OperatorIdentity()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TenantIdentity:
    """A ServiceAccount that logs in to its own role; Vault's policy limits it."""

    namespace: str
    service_account: str
    role: str

    def __str__(self) -> str:
        """Format the identity for messages."""
        return f"ServiceAccount {self.namespace}/{self.service_account} with role {self.role}"


VaultIdentity = OperatorIdentity | TenantIdentity
"""The identity that reads and writes. It is not part of a location: a grant is the same for every identity, but a value
that one identity has read must not reach another."""


class Loss(Enum):
    """Why a version no longer has values."""

    DELETED = "deleted"
    DESTROYED = "destroyed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The newest version of a document; its values stay out of logs."""

    location: VaultLocation
    version: int
    created_at: datetime
    values: Mapping[str, object] = field(repr=False)
    loss: Loss | None = None

    def require_values(self) -> None:
        """Check that the version still has values.

        Raises:
            SourceMissing: the version was deleted or destroyed.
        """
        if self.loss is None:
            return
        mount, path = self.location.mount, self.location.path
        if self.loss is Loss.DELETED:
            undelete = f"`vault kv undelete -mount={mount} -versions={self.version} {path}`"
            message = f"Version {self.version} of {self.location} in Vault was deleted: restore it with {undelete}"
        else:
            message = (
                f"Version {self.version} of {self.location} in Vault was destroyed and cannot be restored: "
                f"write a new one with `vault kv put -mount={mount} {path} ...`"
            )
        raise SourceMissing(message)

    def secret(self, key: str) -> SecretValue:
        """Return the value of a key.

        Raises:
            SourceMissing: the version was deleted, or the key is absent, empty, not a string, or holds control
                characters.
        """
        self.require_values()
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            message = (
                f"Vault has no text under key {key} of {self.location}: "
                f"write it with `vault kv patch -mount={self.location.mount} {self.location.path} {key}=...`"
            )
            raise SourceMissing(message)
        if len(value) > LONGEST_VALUE:
            message = (
                f"The value under key {key} of {self.location} in Vault has {len(value):,} characters, and no token "
                f"has more than {LONGEST_VALUE:,}: write it again"
            )
            raise SourceMissing(message)
        if has_control_characters(value.strip()):
            message = f"The value under key {key} of {self.location} in Vault holds control characters: write it again"
            raise SourceMissing(message)
        return SecretValue(value)
