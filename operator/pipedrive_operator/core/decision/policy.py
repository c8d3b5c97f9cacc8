"""The policy: what to do next for one credential, decided from what was observed and from nothing else.

`decide` asks an ordered tuple of small checks; the first that has an opinion wins.
"""

from dataclasses import replace
from typing import Final

from pipedrive_operator.core.decision.checks import (
    account_is_wrong,
    all_is_well,
    grant_is_missing,
    is_suspended,
    refresh_failed_recently,
    refresh_is_due,
    refresh_is_under_way,
    scope_is_missing,
    secret_cannot_be_written,
    secret_is_anothers,
    secret_is_to_be_written,
    source_cannot_be_read,
    spec_is_wrong,
    verification_is_due,
    workloads_are_behind,
)
from pipedrive_operator.core.decision.decision import Action, Check, Decision
from pipedrive_operator.core.decision.observation import Observation
from pipedrive_operator.core.values.conditions import Reason


def decide(seen: Observation) -> Decision | None:
    """Return what to do next; None where nothing may be done and nothing is to be reported."""
    if seen.credential.being_deleted or seen.namespace_is_going:
        return None
    decision = next(found for check in CHECKS if (found := check(seen)) is not None)
    return decision if decision.action is not Action.WAIT else _wake_in_time(decision, seen)


CHECKS: Final[tuple[Check, ...]] = (
    is_suspended,
    spec_is_wrong,
    secret_is_to_be_written,
    workloads_are_behind,
    refresh_is_under_way,
    source_cannot_be_read,
    grant_is_missing,
    refresh_failed_recently,
    refresh_is_due,
    verification_is_due,
    account_is_wrong,
    secret_is_anothers,
    secret_cannot_be_written,
    scope_is_missing,
    all_is_well,
)
"""In order of precedence; a later check may rely on the earlier ones having passed."""


def _wake_in_time(decision: Decision, seen: Observation) -> Decision:
    """End a wait when something is due: a poll of Vault, a renewal, a verification, a restart, or to tell an expiry."""
    if decision.reason in {Reason.SUSPENDED, Reason.INVALID_SPEC}:
        return decision
    expiry = seen.accepted.token.expires_at if seen.accepted is not None else None
    renewal_at = seen.renewal.at if seen.renewal is not None else None
    workloads = (standing.retry_at for standing in seen.restart_states)
    times = (decision.until, seen.poll_at, seen.verification_at, renewal_at, expiry, *workloads)
    due = [moment for moment in times if moment is not None and moment > seen.now]
    return replace(decision, until=min(due, default=None))
