"""The conditions of a credential and the short list of reasons: what each means for readiness and for retrying.

Every reason is defined here and nowhere else; the documentation's table is generated from it.
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
    """When to look again after a pass that ended with a reason."""

    WHEN_DUE = "at the next renewal, verification or poll"
    AT_ONCE = "as soon as something changes"
    ON_CHANGE = "when the resource or its settings change"
    BACK_OFF = "with growing pauses"
    SLOW = "slowly, and when Vault or the resource changes"
    EACH_MINUTE = "each minute"
    RETRY_AFTER = "when Pipedrive's Retry-After allows it"


class Reason(StrEnum):
    """Why a condition has its status. Never renamed after a release: alerts and scripts match on them."""

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
    """Why an Event was recorded though no condition flipped. Never renamed after a release, either."""

    ROLLOUT_DENIED = "RolloutDenied"
    """A workload of spec.rollout was not restarted; the Secret is as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What a reason does to the conditions.

    `not_ready` makes Ready False at once; otherwise Ready stays True until the published value expires or is refused.
    `authorized` is None where the reason says nothing about what Pipedrive thinks of the value in Vault.
    """

    retry: Retry
    meaning: str
    remedy: str
    authorized: ConditionStatus | None = None
    not_ready: bool = False
    stalled: bool = False


_UNKNOWN: Final = ConditionStatus.UNKNOWN
_REFUSED: Final = ConditionStatus.FALSE

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
            meaning="Pipedrive accepts what Vault holds",
            remedy="nothing",
        ),
        Reason.PENDING: Effect(
            retry=Retry.AT_ONCE,
            authorized=_UNKNOWN,
            meaning="the first pass, or a refresh under way",
            remedy="wait",
        ),
        Reason.SUSPENDED: Effect(
            retry=Retry.ON_CHANGE,
            authorized=_UNKNOWN,
            meaning="no outside calls and no Secret writes, as asked",
            remedy="unset spec.suspend",
        ),
        Reason.INVALID_SPEC: Effect(
            retry=Retry.ON_CHANGE,
            not_ready=True,
            stalled=True,
            meaning="a field or a configured name is wrong",
            remedy="fix the field that the message names",
        ),
        Reason.SOURCE_MISSING: Effect(
            retry=Retry.SLOW,
            authorized=_UNKNOWN,
            meaning="the path, version or key is absent from Vault",
            remedy="write it",
        ),
        Reason.VAULT_UNAVAILABLE: Effect(
            retry=Retry.BACK_OFF,
            authorized=_UNKNOWN,
            meaning="Vault is down, sealed, or its certificate is not trusted",
            remedy="restore Vault",
        ),
        Reason.VAULT_DENIED: Effect(
            retry=Retry.SLOW,
            authorized=_UNKNOWN,
            meaning="Vault refused the login or the policy does not allow the path",
            remedy="add the policy stanza that the message shows",
        ),
        Reason.PIPEDRIVE_UNAVAILABLE: Effect(
            retry=Retry.BACK_OFF,
            authorized=_UNKNOWN,
            meaning="Pipedrive answers with errors, HTML or not at all",
            remedy="wait",
        ),
        Reason.RATE_LIMITED: Effect(
            retry=Retry.RETRY_AFTER,
            authorized=_UNKNOWN,
            meaning="Pipedrive's request budget is used up",
            remedy="wait, and cut other use of the company's budget",
        ),
        Reason.REFRESH_UNCERTAIN: Effect(
            retry=Retry.BACK_OFF,
            authorized=_UNKNOWN,
            meaning="a refresh was sent and its answer was lost",
            remedy="wait; consent again if the token is then refused",
        ),
        Reason.GRANT_ESCROWED: Effect(
            retry=Retry.BACK_OFF,
            authorized=_UNKNOWN,
            meaning="refreshed, and not yet stored in Vault",
            remedy="restore Vault's writes",
        ),
        Reason.GRANT_MISSING: Effect(
            retry=Retry.SLOW,
            authorized=_REFUSED,
            meaning="there is no grant yet",
            remedy="consent, or write a refresh_token to the path",
        ),
        Reason.CONSENT_REQUIRED: Effect(
            retry=Retry.SLOW,
            authorized=_REFUSED,
            stalled=True,
            meaning="Pipedrive refused the newest refresh token",
            remedy="consent again",
        ),
        Reason.CLIENT_REJECTED: Effect(
            retry=Retry.SLOW,
            authorized=_REFUSED,
            stalled=True,
            meaning="Pipedrive refused the client id or secret; the grant stays alive",
            remedy="fix the app's client id and secret",
        ),
        Reason.TOKEN_REJECTED: Effect(
            retry=Retry.SLOW,
            authorized=_REFUSED,
            stalled=True,
            meaning="Pipedrive refused the token; the last good value stays published",
            remedy="put a new token",
        ),
        Reason.WRONG_ACCOUNT: Effect(
            retry=Retry.SLOW,
            authorized=_REFUSED,
            stalled=True,
            meaning="the token belongs to another company or user; it is not published",
            remedy="fix the token or spec.account",
        ),
        Reason.SCOPE_MISSING: Effect(
            retry=Retry.WHEN_DUE,
            authorized=_REFUSED,
            not_ready=True,
            stalled=True,
            meaning="the grant lacks a required scope; it is published all the same",
            remedy="extend the app's scopes and consent again",
        ),
        Reason.ACCOUNT_NOT_OPEN: Effect(
            retry=Retry.SLOW,
            authorized=_REFUSED,
            stalled=True,
            meaning="the company's Pipedrive account is not open",
            remedy="settle the subscription",
        ),
        Reason.SECRET_CONFLICT: Effect(
            retry=Retry.EACH_MINUTE,
            not_ready=True,
            stalled=True,
            meaning="the target Secret belongs to somebody else and is left alone",
            remedy="rename the target, delete the Secret, or annotate it for adoption",
        ),
        Reason.SECRET_WRITE_DENIED: Effect(
            retry=Retry.BACK_OFF,
            not_ready=True,
            stalled=True,
            meaning="quota, admission, RBAC or immutability forbids writing the Secret",
            remedy="fix what the message quotes",
        ),
    }
)
"""Every reason once, with its meaning for people."""


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
        """Tell whether the status, not merely the reason, differs from the previous one."""
        return previous is None or previous.status is not self.status


def keep_transition_times(
    conditions: Iterable[Condition], previous: Mapping[ConditionType, Condition]
) -> tuple[Condition, ...]:
    """Keep `lastTransitionTime` wherever the status did not flip: it dates the status, not the reason."""
    return tuple(_with_transition_time(condition, previous.get(condition.type)) for condition in conditions)


def _with_transition_time(condition: Condition, before: Condition | None) -> Condition:
    if before is None or condition.flipped_from(before):
        return condition
    return replace(condition, last_transition_time=before.last_transition_time)
