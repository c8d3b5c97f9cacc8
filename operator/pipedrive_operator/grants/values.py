"""What is asked of the keeper. Values only."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.intent import Intent
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.values.errors import TokenResponseUnusable


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshOrder:
    """Who asks for which grant to be refreshed."""

    source: GrantWithClient
    requester: Key
    lineage: str
    """The digest of the refresh token that the requester knows of."""
    replaces: str | None
    """The digest of the access token that no longer serves; any other that is alive in Vault will do."""
    slow: timedelta
    """The pause after an answer that only a person can change."""
    poll: timedelta
    """The pause where that person acts in Vault."""
    is_requested: bool = False
    """Whether a person asked for it: what was refused before is then tried all the same."""
    expires_at: datetime | None = None
    """When the published access token expires: no other pause is longer than a quarter of what is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadGrant:
    """A grant as it was read, with what is needed to write over it."""

    location: VaultLocation
    identity: VaultIdentity
    """Who has read it, and is to write it."""
    document: Document
    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A grant under an intent of ours, which Vault has acknowledged."""

    read: ReadGrant
    """As it stands in Vault now: with our intent, at our version."""
    intent: Intent
    until: float
    """On our monotonic clock: when another holder may begin to take us for dead."""

    @property
    def location(self) -> VaultLocation:
        """Where the grant is."""
        return self.read.location

    @property
    def identity(self) -> VaultIdentity:
        """Who writes it."""
        return self.read.identity


class Settlement(Enum):
    """What became of an escrow."""

    SETTLED = auto()
    """Nothing is kept, or nothing is lost without it."""
    STORED = auto()
    """Vault was changed, and is to be read again."""
    UNCLEAR = auto()
    """Which of the two is alive, Pipedrive must tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Won:
    """What a refresh has brought."""

    grant: Grant
    trouble: TokenResponseUnusable | None = None
    """Why its access token cannot be used; the refresh token is worth storing all the same."""
