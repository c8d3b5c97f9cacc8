"""What the policy can decide, as values."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from pipedrive_operator.core.grant.token import Token
from pipedrive_operator.core.values.conditions import Reason


class Action(Enum):
    """What the reconciler can do."""

    REFRESH = auto()
    VERIFY = auto()
    PUBLISH = auto()
    RESTART = auto()
    WAIT = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do next, or until when to wait and why."""

    action: Action
    reason: Reason
    message: str
    until: datetime | None = None
    """When a wait, or the wait for a verification, ends by itself; None if only a change ends it."""
    token: Token | None = None
    """The token to verify."""
