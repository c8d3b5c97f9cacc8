"""Which page shows the state of a consent, as a pure function of its status. The pages themselves are templates."""

from enum import Enum

from pipedrive_operator.core.resource.consent import Consent
from pipedrive_operator.core.values.conditions import ConditionStatus
from pipedrive_operator.core.values.consent_reasons import (
    CONSENT_EFFECTS,
    ConsentConditionType,
    ConsentReason,
    Stage,
)


class Progress(Enum):
    """How far a consent is; the value is the name of the page that shows it."""

    START = "start"
    """The person can continue to Pipedrive."""
    WAITING = "waiting"
    """The operator is working; the page reloads itself."""
    CONNECTED = "connected"
    WRONG_ACCOUNT = "wrong_account"
    """The person can try again, with another company."""
    FAILED = "failed"
    """The person can try again."""
    ENDED = "ended"
    """The link cannot be used any more."""

    @property
    def can_continue(self) -> bool:
        """Whether the person can go to Pipedrive now."""
        return self in {Progress.START, Progress.WRONG_ACCOUNT, Progress.FAILED}


def progress_of(consent: Consent) -> Progress:
    """Return how far a consent is. A status that does not describe the newest answer yet is not its result."""
    complete = consent.status.condition(ConsentConditionType.COMPLETE)
    if complete is not None and complete.status is ConditionStatus.TRUE:
        return Progress.CONNECTED
    if consent.being_deleted:
        return Progress.ENDED
    if complete is None or consent.status.url is None or consent.status.observed_generation != consent.generation:
        return _unfinished(complete.reason if complete else None)
    match CONSENT_EFFECTS[complete.reason].stage:
        case Stage.OPEN:
            return _open(complete.reason)
        case Stage.ENDED:
            return Progress.ENDED
        case Stage.BUSY | Stage.CONNECTED:
            return Progress.WAITING


def _unfinished(reason: ConsentReason | None) -> Progress:
    """Return the progress while the operator has more to do, or has ended the consent before its link was ready."""
    is_ended = reason is not None and CONSENT_EFFECTS[reason].stage is Stage.ENDED
    return Progress.ENDED if is_ended else Progress.WAITING


def _open(reason: ConsentReason) -> Progress:
    match reason:
        case ConsentReason.WAITING:
            return Progress.START
        case ConsentReason.WRONG_ACCOUNT:
            return Progress.WRONG_ACCOUNT
        case _:
            return Progress.FAILED
