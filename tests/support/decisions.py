"""Decisions of the policy, and failures that delay them."""

from datetime import timedelta

from pipedrive_operator.core.decision.decision import Decision
from pipedrive_operator.core.decision.observation import Observation
from pipedrive_operator.core.decision.policy import decide
from pipedrive_operator.core.decision.retry import Failure
from support.builders import NOW

SOON = NOW + timedelta(seconds=30)


def decision(seen: Observation) -> Decision:
    """Return the decision, which must exist."""
    found = decide(seen)
    assert found is not None
    return found


def failure(trouble: object, subject: str) -> Failure:
    """Build a failure whose pause lasts for half a minute."""
    return Failure(trouble=trouble, subject=subject, retry_at=SOON)  # type: ignore[arg-type]
