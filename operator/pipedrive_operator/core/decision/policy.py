"""The policy: what to do next for one credential, decided from an observation and nothing else.

`decide` runs an ordered tuple of small checks; the first one with an opinion wins.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from pipedrive_operator.core.decision import checks
from pipedrive_operator.core.decision.consent_hints import with_command, with_uninstall
from pipedrive_operator.core.decision.decision import Action, Decision
from pipedrive_operator.core.decision.observation import Observation
from pipedrive_operator.core.decision.timings import NEXT_PASS
from pipedrive_operator.core.values.conditions import Reason

CHECKS: Final[tuple[Callable[[Observation], Decision | None], ...]] = (
    checks.is_suspended,
    checks.spec_is_invalid,
    checks.secret_needs_writing,
    checks.workloads_need_restart,
    checks.refresh_is_in_progress,
    checks.source_is_unreadable,
    checks.grant_is_missing,
    checks.refresh_failed_recently,
    checks.refresh_is_due,
    checks.verification_is_due,
    checks.refresh_is_unresolved,
    checks.account_is_wrong,
    checks.secret_cannot_be_rendered,
    checks.secret_write_failed_recently,
    checks.secret_keeps_changing,
    checks.secret_belongs_to_another,
    checks.scope_is_missing,
    checks.nothing_to_do,
)
"""In order of precedence; a check may rely on those before it having had no opinion."""


def decide(seen: Observation) -> Decision | None:
    """Return what to do next; None if nothing may be done and nothing must be reported.

    An action that this pass has used up is left out, so that it cannot keep the actions after it from their turn.
    """
    if seen.credential.being_deleted or seen.memory.namespace_is_terminating:
        return None
    opinions = (found for check in CHECKS if (found := check(seen)) is not None)
    decision = first = next(opinions)
    while decision.action in seen.spent:
        decision = next(opinions)
    if decision.action not in {Action.WAIT, Action.VERIFY}:
        return decision
    next_pass = None if decision is first else seen.now + NEXT_PASS
    decision = with_uninstall(_with_end(decision, seen, next_pass), seen.credential, seen.memory.grant)
    return with_command(decision, seen.credential) if seen.can_connect else decision


def _with_end(decision: Decision, seen: Observation, next_pass: datetime | None) -> Decision:
    """End a wait when the next thing is due: a read of Vault, a refresh, a verification, a restart or an expiry.

    This holds for the wait for a verification too, which may take long while Pipedrive is slow. `next_pass` is when the
    next pass does what this one has left out.
    """
    match decision.reason:
        case Reason.SUSPENDED:
            times = [_expiry(seen)]
        case Reason.INVALID_SPEC:  # another user of the grant may be the cause, and nothing announces its end
            times = [seen.now + seen.timings.poll_interval]
        case _:
            times = [decision.until, next_pass, *_due_times(seen)]
    return replace(decision, until=min((at for at in times if at is not None and at > seen.now), default=None))


def _due_times(seen: Observation) -> list[datetime | None]:
    """Return when each thing is due that needs no event."""
    renewal_at = seen.renewal.at if seen.renewal is not None else None
    restarts = (state.retry_at for state in seen.memory.restart_states)
    return [seen.poll_at, seen.verification_at, renewal_at, _expiry(seen), seen.memory.request_turn_at, *restarts]


def _expiry(seen: Observation) -> datetime | None:
    """Return when the accepted value expires; after a restart, only the status may know it."""
    accepted = seen.memory.accepted
    return accepted.token.expires_at if accepted is not None else seen.credential.status.expires_at
