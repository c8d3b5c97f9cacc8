"""Where a value is kept in Vault, who reads it there, and a document as it was read; no call is made here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

from pipedrive_operator.core.values.errors import SourceMissing
from pipedrive_operator.core.values.secret_value import SecretValue
from pipedrive_operator.core.values.text import has_control_characters


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class VaultLocation:
    """A document of a KV version 2 secrets engine, on a connection of the operator's configuration."""

    connection: str
    mount: str
    path: str

    def __str__(self) -> str:
        """Write it as the vault command does, with its mount."""
        return f"{self.mount}/{self.path}"


@dataclass(frozen=True, slots=True)
class OperatorIdentity:
    """The operator as it logs in to a connection; the operator itself confines what it does for whom."""

    def __str__(self) -> str:
        """Write it for people."""
        return "the operator"


OPERATOR: Final = OperatorIdentity()


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class TenantIdentity:
    """A ServiceAccount that logs in to a role of its own; Vault's policy confines it."""

    namespace: str
    service_account: str
    role: str

    def __str__(self) -> str:
        """Write it for people."""
        return f"ServiceAccount {self.namespace}/{self.service_account} with role {self.role}"


VaultIdentity = OperatorIdentity | TenantIdentity
"""Who reads and writes. It is no part of a location: one grant is one grant, whoever reads it, and what one identity
has read is not for another."""


class Loss(Enum):
    """Why a version has no values any more."""

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
        """Check that the version was not taken away.

        Raises:
            SourceMissing: it was deleted or destroyed.
        """
        if self.loss is None:
            return
        mount, path = self.location.mount, self.location.path
        if self.loss is Loss.DELETED:
            undelete = f"`vault kv undelete -mount={mount} -versions={self.version} {path}`"
            message = f"Version {self.version} of {self.location} in Vault was deleted: restore it with {undelete}"
        else:
            message = (
                f"Version {self.version} of {self.location} in Vault was destroyed and cannot come back: "
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
        if has_control_characters(value.strip()):
            message = f"The value under key {key} of {self.location} in Vault holds control characters: write it again"
            raise SourceMissing(message)
        return SecretValue(value)
