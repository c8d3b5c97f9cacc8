"""The conditions of a credential, and the reasons: what each means for readiness and for retrying.

Every reason is defined here only; the table in the documentation is generated from it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final


class ConditionType(StrEnum):
    """The three conditions; `Stalled` is present only while a person must act."""

    READY = "Ready"
    AUTHORIZED = "Authorized"
    STALLED = "Stalled"


class ConditionStatus(StrEnum):
    """A condition's status, as Kubernetes spells it."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Retry(Enum):
    """When the next pass comes after one that ended with a reason."""

    WHEN_DUE = "at the next refresh, verification or read of Vault"
    AT_ONCE = "as soon as something changes"
    ON_CHANGE = "when the resource or the settings change, and when the published value expires"
    SLOW_OR_ON_CHANGE = "at long intervals, and when the resource or the settings change"
    BACK_OFF = "with growing pauses"
    SLOW = "at long intervals, and when Vault or the resource changes"
    SLOWING = "after 1, 2, 4 and more minutes, and when Vault or the resource changes"
    EACH_MINUTE = "every minute"
    RETRY_AFTER = "when Pipedrive's Retry-After allows it"
    AFTER_UNKNOWN = "after a minute or more, with growing pauses"


class Reason(StrEnum):
    """Why a condition has its status. Never renamed after a release: alerts and scripts match on these."""

    PUBLISHED = "Published"
    ACCEPTED = "Accepted"
    PENDING = "Pending"
    SUSPENDED = "Suspended"
    INVALID_SPEC = "InvalidSpec"
    SOURCE_MISSING = "SourceMissing"
    VAULT_UNAVAILABLE = "VaultUnavailable"
    VAULT_DENIED = "VaultDenied"
    PIPEDRIVE_UNAVAILABLE = "PipedriveUnavailable"
    RATE_LIMITED = "RateLimited"
    REFRESH_UNCERTAIN = "RefreshUncertain"
    GRANT_ESCROWED = "GrantEscrowed"
    GRANT_MISSING = "GrantMissing"
    CONSENT_REQUIRED = "ConsentRequired"
    CLIENT_REJECTED = "ClientRejected"
    TOKEN_REJECTED = "TokenRejected"
    WRONG_ACCOUNT = "WrongAccount"
    SCOPE_MISSING = "ScopeMissing"
    ACCOUNT_NOT_OPEN = "AccountNotOpen"
    SECRET_CONFLICT = "SecretConflict"
    SECRET_WRITE_DENIED = "SecretWriteDenied"


class EventReason(StrEnum):
    """Why an Event was recorded although no condition changed. Never renamed after a release either."""

    ORPHAN_DELETED = "OrphanDeleted"
    """A Secret that the credential controlled under another name than its target's was deleted."""
    CONNECTED = "Connected"
    """A person connected an account: a grant was stored that belongs to the right one."""
    CONSENT_REFUSED = "ConsentRefused"
    """A person accepted in Pipedrive, and no grant was stored; the one in Vault is unchanged."""
    UNINSTALL_REPORTED = "UninstallReported"
    """Pipedrive reported that the user has uninstalled the app. The operator asks whether the grant is still alive."""
    ROLLOUT_DENIED = "RolloutDenied"
    """A workload of spec.rollout was not restarted; the Secret is as desired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventText:
    """What the reason of such an Event means, for people."""

    meaning: str
    remedy: str


EVENT_TEXTS: Final[Mapping[EventReason, EventText]] = MappingProxyType(
    {
        EventReason.ORPHAN_DELETED: EventText(
            meaning="a Secret that the credential controlled under another name than its target's was deleted",
            remedy="nothing; if you had copied the Secret, create the copy without metadata.ownerReferences",
        ),
        EventReason.CONNECTED: EventText(
            meaning="a person connected an account: a grant was stored that belongs to the right one",
            remedy="nothing",
        ),
        EventReason.CONSENT_REFUSED: EventText(
            meaning="a person accepted in Pipedrive, and no grant was stored; the one in Vault is unchanged",
            remedy="follow the message, then connect again",
        ),
        EventReason.UNINSTALL_REPORTED: EventText(
            meaning="Pipedrive reported that the user has uninstalled the app; the operator tries the grant",
            remedy="wait; if the reason becomes ConsentRequired, connect again",
        ),
        EventReason.ROLLOUT_DENIED: EventText(
            meaning="a workload of spec.rollout was not restarted; the Secret is as desired",
            remedy="remove the cause that the message names, or restart the workload yourself",
        ),
    }
)
"""The meaning and remedy of each reason that only Events have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a reason does to the conditions.

    `not_ready` makes Ready False at once; otherwise Ready stays True until the published value expires or is rejected.
    `authorized` is None if the reason says nothing about whether Pipedrive accepts the value in Vault.
    """

    retry: Retry
    meaning: str
    remedy: str
    authorized: ConditionStatus | None = None
    not_ready: bool = False
    stalled: bool = False


_UNKNOWN: Final = ConditionStatus.UNKNOWN
_REJECTED: Final = ConditionStatus.FALSE

EFFECTS: Final[Mapping[Reason, Effect]] = MappingProxyType(
    {
        Reason.PUBLISHED: Effect(
            retry=Retry.WHEN_DUE,
            meaning="the Secret holds a value that Pipedrive accepts",
            remedy="nothing",
        ),
        Reason.ACCEPTED: Effect(
            retry=Retry.WHEN_DUE,
            authorized=ConditionStatus.TRUE,
            meaning="Pipedrive accepts the value in Vault",
            remedy="nothing",
        ),
        Reason.PENDING: Effect(
            retry=Retry.AT_ONCE,
            authorized=_UNKNOWN,
            meaning="the first pass, or a refresh or verification in progress",
            remedy="wait",
        ),
        Reason.SUSPENDED: Effect(
            retry=Retry.ON_CHANGE,
            authorized=_UNKNOWN,
            meaning="suspended on request: no calls to Vault or Pipedrive, and no writes of the Secret",
            remedy="unset spec.suspend",
        ),
        Reason.INVALID_SPEC: Effect(
            retry=Retry.SLOW_OR_ON_CHANGE,
            not_ready=True,
            stalled=True,
            meaning="a field is wrong, or names something that is not configured",
            remedy="fix the field that the message names",
        ),
        Reason.SOURCE_MISSING: Effect(
            retry=Retry.SLOW,
            authorized=_UNKNOWN,
            meaning="the path, version or key does not exist in Vault",
            remedy="write the value to the path and key that the message names",
        ),
        Reason.VAULT_UNAVAILABLE: Effect(
            retry=Retry.BACK_OFF,
            authorized=_UNKNOWN,
            meaning="Vault is down or sealed, or its certificate is not trusted",
            remedy="bring Vault back, or correct the CA that the operator trusts",
        ),
        Reason.VAULT_DENIED: Effect(
            retry=Retry.SLOW,
            authorized=_UNKNOWN,
            meaning="Vault refused the login, or its policy does not allow the path",
            remedy="add the policy stanza that the message shows",
        ),
        Reason.PIPEDRIVE_UNAVAILABLE: Effect(
            retry=Retry.BACK_OFF,
            authorized=_UNKNOWN,
            meaning="Pipedrive answers with errors or HTML, or not at all",
            remedy="wait; check the proxy and the network if it lasts",
        ),
        Reason.RATE_LIMITED: Effect(
            retry=Retry.RETRY_AFTER,
            authorized=_UNKNOWN,
            meaning="Pipedrive's request budget is used up",
            remedy="wait, and reduce other use of the company's request budget",
        ),
        Reason.REFRESH_UNCERTAIN: Effect(
            retry=Retry.AFTER_UNKNOWN,
            authorized=_UNKNOWN,
            meaning="a refresh was sent, and its response was lost",
            remedy="wait; if Pipedrive refuses the refresh token then, follow ConsentRequired",
        ),
        Reason.GRANT_ESCROWED: Effect(
            retry=Retry.BACK_OFF,
            authorized=_UNKNOWN,
            meaning="the grant was refreshed, and Vault has not stored it yet",
            remedy="make Vault writable again",
        ),
        Reason.GRANT_MISSING: Effect(
            retry=Retry.SLOW,
            authorized=_REJECTED,
            meaning="Vault holds no grant yet",
            remedy="run `kubectl pipedrive connect`, or write the refresh_token to the path of the grant",
        ),
        Reason.CONSENT_REQUIRED: Effect(
            retry=Retry.SLOW,
            authorized=_REJECTED,
            stalled=True,
            meaning="Pipedrive refused the newest refresh token",
            remedy="run `kubectl pipedrive connect`, or write a new refresh_token to the path of the grant",
        ),
        Reason.CLIENT_REJECTED: Effect(
            retry=Retry.SLOW,
            authorized=_REJECTED,
            stalled=True,
            meaning="Pipedrive refused the client id or secret; the grant remains valid",
            remedy="correct the client id and secret",
        ),
        Reason.TOKEN_REJECTED: Effect(
            retry=Retry.SLOWING,
            authorized=_REJECTED,
            stalled=True,
            meaning="Pipedrive rejected the token; the last accepted value stays published",
            remedy="write a valid token to Vault",
        ),
        Reason.WRONG_ACCOUNT: Effect(
            retry=Retry.SLOW,
            authorized=_REJECTED,
            stalled=True,
            meaning="the token belongs to another company or user; it is not published",
            remedy="connect the right account, replace the token, or correct spec.account",
        ),
        Reason.SCOPE_MISSING: Effect(
            retry=Retry.WHEN_DUE,
            authorized=_REJECTED,
            not_ready=True,
            stalled=True,
            meaning="the grant lacks a required scope; its token is published nevertheless",
            remedy="add the scope to the app, and run `kubectl pipedrive connect` or write a new refresh_token",
        ),
        Reason.ACCOUNT_NOT_OPEN: Effect(
            retry=Retry.SLOW,
            authorized=_REJECTED,
            stalled=True,
            meaning="the company's Pipedrive account is not open",
            remedy="settle the subscription",
        ),
        Reason.SECRET_CONFLICT: Effect(
            retry=Retry.EACH_MINUTE,
            not_ready=True,
            stalled=True,
            meaning="the target Secret belongs to someone else and is left unchanged",
            remedy="rename the target, delete the Secret, or annotate it for adoption",
        ),
        Reason.SECRET_WRITE_DENIED: Effect(
            retry=Retry.BACK_OFF,
            not_ready=True,
            stalled=True,
            meaning="the Secret cannot be written or kept as asked: size, quota, admission, RBAC, or another program",
            remedy="remove the cause that the message names",
        ),
    }
)
"""The effect of each reason, with its meaning and remedy for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition as Kubernetes defines it (KEP-1623)."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str
    observed_generation: int
    last_transition_time: datetime

    def flipped_from(self, previous: "Condition | None") -> bool:
        """Return whether the status, not merely the reason, differs from the previous one."""
        return previous is None or previous.status is not self.status


def keep_transition_times(
    conditions: Iterable[Condition], previous: Mapping[ConditionType, Condition]
) -> tuple[Condition, ...]:
    """Keep `lastTransitionTime` of each condition whose status did not change: it dates the status, not the reason."""
    return tuple(_with_transition_time(condition, previous.get(condition.type)) for condition in conditions)


def _with_transition_time(condition: Condition, before: Condition | None) -> Condition:
    if before is None or condition.flipped_from(before):
        return condition
    return replace(condition, last_transition_time=before.last_transition_time)
