"""The OAuth2 client of a grant: where Vault keeps it, and its id and secret. Values only."""

from dataclasses import dataclass

from pipedrive_operator.core.grant.document import VaultIdentity, VaultLocation
from pipedrive_operator.core.values.secret_value import SecretValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSource:
    """The location of the OAuth2 client's id and secret in Vault, and the identity that reads them."""

    location: VaultLocation
    identity: VaultIdentity
    """The operator for an app in its settings, otherwise the identity that reads the grant."""
    id_key: str
    secret_key: str

    @property
    def place(self) -> tuple[VaultLocation, str, str]:
        """The identifier of the client, which does not depend on the identity that reads it."""
        return self.location, self.id_key, self.secret_key

    def keys_at(self, location: VaultLocation) -> tuple[str, ...]:
        """Return the keys of the document at a location that belong to the client."""
        return (self.id_key, self.secret_key) if location == self.location else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """The OAuth2 client's id and secret (RFC 6749 section 2.3.1)."""

    client_id: str
    client_secret: SecretValue

    def digest(self) -> str:
        """Return a text that identifies the client and its secret without revealing the secret."""
        return f"{self.client_id} {self.client_secret.digest()}"
