"""The values that the keeper and the protocol exchange."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pipedrive_operator.core.decision.sources import GrantWithClient
from pipedrive_operator.core.grant.document import Document, VaultIdentity, VaultLocation
from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.grant.intent import Intent
from pipedrive_operator.core.grant.terms import Exchange
from pipedrive_operator.core.resource.names import Key
from pipedrive_operator.core.resource.spec import AccountGuard
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import ConsentReason
from pipedrive_operator.core.values.errors import TokenResponseUnusable
from pipedrive_operator.core.values.secret_value import SecretValue

LONGEST_STORE_PAUSE: Final = timedelta(seconds=8)
"""The longest pause between two attempts to store a result in Vault, which its adapter protects as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshOrder:
    """A credential's order to refresh a grant."""

    source: GrantWithClient
    requester: Key
    lineage: str
    """The digest of the refresh token that the requester has read."""
    access_digest: str | None
    """The digest of the access token that the requester has read."""
    replaces: str | None
    """The digest of the access token to replace; any other unexpired one in Vault makes the refresh unnecessary."""
    slow: timedelta
    """The pause after an error that a person must fix."""
    poll: timedelta
    """The pause after an error that a person fixes in Vault."""
    is_requested: bool = False
    """Whether a person requested the refresh: then an earlier refusal does not stop it."""
    expires_at: datetime | None = None
    """When the published access token expires: other pauses last at most a quarter of the remaining time."""
    leaves_escrow: bool = False
    """Whether a copy of unclear descent in escrow is no reason to refresh: the pause after the last one is not over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeOrder:
    """A consent's order to exchange a code for a grant."""

    source: GrantWithClient
    consent: str
    """The uid of the consent."""
    consent_generation: int
    """The generation of the consent that brought the code."""
    code: SecretValue
    redirect_uri: str
    client_id: str
    """The client that the person has authorized."""
    guard: AccountGuard | None
    """The account that the credential's spec asks for."""
    pinned: Account | None
    """The account whose company is pinned."""
    allows_change: bool
    """Whether the person who created the consent allows another company than the pinned one."""
    began: float
    """On our monotonic clock: when this process first saw the code."""

    @property
    def exchange(self) -> Exchange:
        """The exchange that is ordered: the result is known by it, whichever process finds it."""
        return self.consent, self.consent_generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """How the exchange of a code ended."""

    reason: ConsentReason
    message: str
    account: Account | None = None
    """The account that the person accepted for, if it is known."""
    was_claimed: bool = True
    """Whether the code was claimed; if not, nothing was sent, and another process may claim it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadGrant:
    """A grant as it was read, with what is needed to write over it."""

    location: VaultLocation
    identity: VaultIdentity
    """The Vault identity that read the grant and will write it."""
    document: Document
    grant: Grant
    asked_at: float
    """On our monotonic clock: when the read, or our write, began."""
    at: float
    """On our monotonic clock: when Vault answered, or when our write to it began."""

    @property
    def held(self) -> "HeldGrant":
        """The grant that Vault held then."""
        return HeldGrant(grant=self.grant, asked_at=self.asked_at, at=self.at, version=self.document.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDocument:
    """A document as it was read, whether it holds a grant or not; None if there was none."""

    document: Document | None
    at: float
    """On our monotonic clock: when the read began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedGrant:
    """A grant with an intent of this process that Vault has acknowledged."""

    read: ReadGrant
    """The grant as it is in Vault now: with our intent, at our version."""
    intent: Intent
    until: float
    """On our monotonic clock: when another holder may start to consider us dead."""

    @property
    def location(self) -> VaultLocation:
        """The location of the grant."""
        return self.read.location

    @property
    def identity(self) -> VaultIdentity:
        """The Vault identity that writes the grant."""
        return self.read.identity


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldGrant:
    """A grant that Vault held at a moment."""

    grant: Grant
    asked_at: float
    """On our monotonic clock: when the write or the read began."""
    at: float
    """On our monotonic clock: when Vault had acknowledged or shown it."""
    version: int
    """The version of its document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UncertainRefresh:
    """A refresh by this process whose outcome is unknown."""

    lineage: str
    """The digest of the refresh token that was sent."""
    until: float
    """On our monotonic clock: when that token may be sent again."""
    message: str
    """What happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """The result of a refresh."""

    claimed: ClaimedGrant
    """The grant whose refresh token was spent."""
    grant: Grant
    trouble: TokenResponseUnusable | None = None
    """Why the access token cannot be used; the refresh token must be stored nevertheless."""
