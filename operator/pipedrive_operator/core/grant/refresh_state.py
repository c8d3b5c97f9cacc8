"""What a credential is told of the refresh of its grant: one of a few states, at once, whoever asked for it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pipedrive_operator.core.grant.grant import Grant
from pipedrive_operator.core.values.errors import Trouble


@dataclass(frozen=True, slots=True)
class Idle:
    """Nobody has asked for a refresh."""


IDLE: Final = Idle()


@dataclass(frozen=True, slots=True)
class Refreshing:
    """A refresh is under way."""

    last: "Refused | Unavailable | None" = None
    """How the one before it failed: that stands until this one tells otherwise, or each try would be two changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """The grant as the last refresh stored it, or found it stored by another holder."""

    grant: Grant


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstored:
    """The refresh succeeded, and Vault has not taken the result yet; storing it is being retried."""

    trouble: Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Pipedrive refused, and asking again soon would not help."""

    trouble: Trouble
    lineage: str
    """The digest of the refresh token that was refused; another one in Vault is worth trying at once."""
    retry_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Unavailable:
    """The refresh could not be made, and is worth trying again."""

    trouble: Trouble
    retry_at: datetime


RefreshState = Idle | Refreshing | Fresh | Unstored | Refused | Unavailable
