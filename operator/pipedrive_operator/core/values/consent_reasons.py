"""The conditions of a consent, and their reasons: what each means, and who acts next.

Every reason is defined here only; the table in the documentation is generated from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final


class ConsentConditionType(StrEnum):
    """The two conditions of a consent."""

    READY = "Ready"
    """The link can be used."""
    COMPLETE = "Complete"
    """The account is connected: the grant is stored and belongs to the right account."""


class Stage(Enum):
    """Who acts next."""

    OPEN = "the person opens the link and accepts"
    BUSY = "the operator"
    CONNECTED = "nobody: the account is connected"
    ENDED = "someone creates another consent"


class ConsentReason(StrEnum):
    """Why a condition of a consent has its status. Never renamed after a release: scripts match on these."""

    PENDING = "Pending"
    WAITING = "Waiting"
    CODE_RECEIVED = "CodeReceived"
    VERIFYING = "Verifying"
    CONNECTED = "Connected"
    WRONG_ACCOUNT = "WrongAccount"
    CODE_REFUSED = "CodeRefused"
    CODE_EXPIRED = "CodeExpired"
    STATE_MISMATCH = "StateMismatch"
    CLIENT_REJECTED = "ClientRejected"
    UNCERTAIN = "Uncertain"
    INVALID = "Invalid"
    EXPIRED = "Expired"
    SUPERSEDED = "Superseded"
    CREDENTIAL_CHANGED = "CredentialChanged"
    TOO_MANY_ANSWERS = "TooManyAnswers"


_LINK: Final = "the link from `kubectl pipedrive connect`"
OPEN_AGAIN: Final = f"open {_LINK} again"
"""What to do after most failures. No resource holds the link, because it contains a key: only who made it has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentEffect:
    """What a reason means.

    Ready is True at the stages OPEN and BUSY (except for `Pending`), and Complete is True at the stage CONNECTED only.
    """

    stage: Stage
    meaning: str
    remedy: str


CONSENT_EFFECTS: Final[Mapping[ConsentReason, ConsentEffect]] = MappingProxyType(
    {
        ConsentReason.PENDING: ConsentEffect(
            stage=Stage.BUSY,
            meaning="the operator has not prepared the link yet",
            remedy="wait; if it lasts, follow the message",
        ),
        ConsentReason.WAITING: ConsentEffect(
            stage=Stage.OPEN,
            meaning="the link can be used, and nobody has accepted yet",
            remedy=f"open {_LINK} and accept in Pipedrive",
        ),
        ConsentReason.CODE_RECEIVED: ConsentEffect(
            stage=Stage.BUSY,
            meaning="Pipedrive's authorization code has arrived and is being exchanged for a grant",
            remedy="wait",
        ),
        ConsentReason.VERIFYING: ConsentEffect(
            stage=Stage.BUSY,
            meaning="the authorization code was exchanged, and Pipedrive is asked which account the grant belongs to",
            remedy="wait",
        ),
        ConsentReason.CONNECTED: ConsentEffect(
            stage=Stage.CONNECTED,
            meaning="the grant is stored in Vault and belongs to the right account",
            remedy="nothing",
        ),
        ConsentReason.WRONG_ACCOUNT: ConsentEffect(
            stage=Stage.OPEN,
            meaning="someone accepted for another company or user than the expected one; nothing was changed",
            remedy=f"switch the company in Pipedrive, then {OPEN_AGAIN}",
        ),
        ConsentReason.CODE_REFUSED: ConsentEffect(
            stage=Stage.OPEN,
            meaning="Pipedrive refused the authorization code: it was used before or was older than five minutes",
            remedy=OPEN_AGAIN,
        ),
        ConsentReason.CODE_EXPIRED: ConsentEffect(
            stage=Stage.OPEN,
            meaning="the authorization code could not be sent while it was valid, for example because Vault was away; "
            "nothing was changed",
            remedy=f"solve what the message names, then {OPEN_AGAIN}",
        ),
        ConsentReason.STATE_MISMATCH: ConsentEffect(
            stage=Stage.OPEN,
            meaning="an answer was not accepted because it does not belong to this link",
            remedy=f"{OPEN_AGAIN}; if you did not cause this, find out who changed spec.answer",
        ),
        ConsentReason.CLIENT_REJECTED: ConsentEffect(
            stage=Stage.OPEN,
            meaning="Pipedrive refused the client id or secret, or the redirect URI",
            remedy=f"correct the app's settings, then {OPEN_AGAIN}",
        ),
        ConsentReason.UNCERTAIN: ConsentEffect(
            stage=Stage.OPEN,
            meaning="the authorization code was sent, and Pipedrive's response was lost or not usable, or the operator "
            "stopped before it reported the outcome; it is not sent again",
            remedy=OPEN_AGAIN,
        ),
        ConsentReason.INVALID: ConsentEffect(
            stage=Stage.ENDED,
            meaning="the credential does not exist, cannot be connected, or is not allowed to use its app",
            remedy="follow the message, then create another consent",
        ),
        ConsentReason.EXPIRED: ConsentEffect(
            stage=Stage.ENDED,
            meaning="the link was not used within its lifetime",
            remedy="create another consent",
        ),
        ConsentReason.SUPERSEDED: ConsentEffect(
            stage=Stage.ENDED,
            meaning="a newer consent for the same credential exists",
            remedy="use the newer link",
        ),
        ConsentReason.CREDENTIAL_CHANGED: ConsentEffect(
            stage=Stage.ENDED,
            meaning="the credential, its client or its path in Vault changed after the link was created",
            remedy="create another consent",
        ),
        ConsentReason.TOO_MANY_ANSWERS: ConsentEffect(
            stage=Stage.ENDED,
            meaning="the link was used too often without success",
            remedy="remove the cause that the message names, then create another consent",
        ),
    }
)
"""The effect of each reason, with its meaning and remedy for people."""
