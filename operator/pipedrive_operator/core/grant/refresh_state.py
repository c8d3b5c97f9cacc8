"""The state of a grant's refresh, as reported to all credentials that share the grant."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.values.errors import RefreshUncertain, Trouble


@dataclass(frozen=True, slots=True)
class Idle:
    """No refresh was requested."""


IDLE: Final = Idle()


@dataclass(frozen=True, slots=True)
class Refreshing:
    """A refresh is in progress."""

    last: "Refused | Unavailable | None" = None
    """How the previous refresh failed: reported until this one ends, or each try would change the status twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """The grant as the last refresh stored it, or found it stored by another holder."""

    grant: Grant
    asked_at: float
    """On our monotonic clock: when the write or the read began."""
    at: float
    """On our monotonic clock: when Vault had acknowledged or shown it."""
    version: int
    """The version of its document that held it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstored:
    """The refresh succeeded, but the result is not stored in Vault yet; storing is retried."""

    trouble: Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Pipedrive refused the refresh, and an early retry would not help."""

    trouble: Trouble
    lineage: str
    """The digest of the refresh token that was refused; another one in Vault is worth trying at once."""
    access_digest: str | None
    """The digest of the access token that the credential knew; after another holder's refresh, it has another one."""
    retry_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """The refresh failed for a reason that may pass, and is retried."""

    was_requested: bool = False
    """Whether somebody asked for it, or the refresh before it was refused or unanswered.

    Then it is retried even if it is not due.
    """
    trouble: Trouble
    access_digest: str | None
    """The digest of the access token that the credential knew; after another holder's refresh, it has another one."""
    retry_at: datetime

    @property
    def is_unresolved(self) -> bool:
        """Whether the refresh must be made although it is not due: it was requested, or nobody knows its outcome."""
        return self.was_requested or isinstance(self.trouble, RefreshUncertain)


RefreshState = Idle | Refreshing | Fresh | Unstored | Refused | Unavailable
