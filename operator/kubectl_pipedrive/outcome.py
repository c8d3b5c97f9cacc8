"""The outcome of a request for a refresh or a check, as far as the status shows it. Pure.

The operator records the request in the status when it begins to act on it, not when it is done: a refresh is done when
the status has a new time of it, and it has failed when a condition says so.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kubectl_pipedrive.credential import Credential
from kubectl_pipedrive.health import known
from kubectl_pipedrive.moments import ahead
from pipedrive_operator.core.values.conditions import EFFECTS, ConditionStatus, ConditionType, Reason

GRACE: Final = timedelta(seconds=10)
"""How long a request may stay unhandled beside a failure in the status: the failure may be the earlier one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that was made for one credential."""

    before: Credential
    """The credential before the request."""
    value: str
    """The value of the annotation, which the status repeats once the operator acts on it."""
    at: datetime
    is_refresh: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOutcome:
    """How a request ended."""

    ok: bool
    text: str


def outcome(request: Request, after: Credential, now: datetime) -> RequestOutcome | None:
    """Return how a request ended; None while it is not known."""
    failure = _failure(after)
    if after.handled_request != request.value:
        is_stuck = failure is not None and now - request.at > GRACE
        return RequestOutcome(ok=False, text=f"could not be acted on: {failure}") if is_stuck else None
    if failure is not None:
        return RequestOutcome(ok=False, text=failure)
    if not request.is_refresh:
        return _verified(after)
    if after.refreshed_at is not None and after.refreshed_at != request.before.refreshed_at:
        return RequestOutcome(ok=True, text=f"refreshed; the new access token expires {ahead(after.expires_at, now)}")
    return None


def _verified(after: Credential) -> RequestOutcome | None:
    authorized = after.conditions.get(ConditionType.AUTHORIZED)
    if authorized is None or authorized.status != ConditionStatus.TRUE:
        return None
    return RequestOutcome(ok=True, text=f"verified; {authorized.message}")


def _failure(after: Credential) -> str | None:
    """Return the message of a condition that has failed; None if there is none, or the operator is still at work."""
    for kind in (ConditionType.STALLED, ConditionType.AUTHORIZED, ConditionType.READY):
        condition = after.conditions.get(kind)
        reason = known(condition.reason) if condition is not None else None
        if condition is None or reason is None or reason is Reason.PENDING:
            continue
        if EFFECTS[reason].remedy != "nothing":
            return f"{condition.reason}: {condition.message}"
    return None
