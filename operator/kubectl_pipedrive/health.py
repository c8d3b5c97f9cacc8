"""Whether a credential is well, which of its conditions matters most, and what a person does next. Pure.

The meaning of a reason and its remedy come from the operator's own table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Final

from kubectl_pipedrive.credential import Condition, Credential
from kubectl_pipedrive.moments import ahead
from pipedrive_operator.core.values.conditions import EFFECTS, ConditionStatus, ConditionType, Reason, Retry


class Health(Enum):
    """How a credential is, in words."""

    WELL = "well"
    WAITING = "nothing to do but wait"
    SUSPENDED = "suspended on request"
    ACT = "a person must act"


@dataclass(frozen=True, slots=True)
class Step:
    """What a person does next."""

    text: str
    command: str | None = None
    """A command line that does it, or that checks it afterwards."""


_RECHECK: Final = "kubectl pipedrive refresh {flags} --verify-only --wait"
_CONNECT: Final = "kubectl pipedrive connect {flags}"
_COMMANDS: Final[Mapping[Reason, str]] = MappingProxyType(
    {
        Reason.SUSPENDED: "kubectl pipedrive resume {flags}",
        Reason.SOURCE_MISSING: _RECHECK,
        Reason.VAULT_DENIED: _RECHECK,
        Reason.GRANT_MISSING: _CONNECT,
        Reason.CONSENT_REQUIRED: _CONNECT,
        Reason.SCOPE_MISSING: _CONNECT,
        Reason.CLIENT_REJECTED: "kubectl pipedrive refresh {flags} --wait",
        Reason.TOKEN_REJECTED: _RECHECK,
        Reason.WRONG_ACCOUNT: _RECHECK,
        Reason.ACCOUNT_NOT_OPEN: _RECHECK,
    }
)
"""The command that does what the remedy of a reason says, or that has it checked at once afterwards."""
_WAITING: Final = frozenset(reason for reason, effect in EFFECTS.items() if effect.remedy.startswith("wait"))
"""Reasons that pass by themselves."""
_CHECK: Final = "kubectl pipedrive check {flags}"
_NOTHING: Final = "nothing"


def deciding(credential: Credential) -> Condition | None:
    """Return the condition that matters most: Ready, or Authorized while Ready is True and Authorized is not.

    Stalled repeats the reason of one of them.
    """
    found = credential.conditions
    ready, authorized = found.get(ConditionType.READY), found.get(ConditionType.AUTHORIZED)
    if ready is None or ready.status != ConditionStatus.TRUE:
        return ready
    if authorized is not None and authorized.status != ConditionStatus.TRUE and authorized.reason != Reason.PENDING:
        return authorized
    return ready


def is_ready(credential: Credential) -> bool:
    """Return whether the Secret can be used."""
    ready = credential.conditions.get(ConditionType.READY)
    return ready is not None and ready.status == ConditionStatus.TRUE


def health(credential: Credential) -> Health:
    """Return how a credential is."""
    condition = deciding(credential)
    if condition is None or not credential.is_current:
        return Health.WAITING
    reason = known(condition.reason)
    if condition.status == ConditionStatus.TRUE:
        return Health.WELL
    if reason is Reason.SUSPENDED:
        return Health.SUSPENDED
    return Health.WAITING if reason in _WAITING else Health.ACT


def exit_code(credentials: Iterable[Credential]) -> int:
    """Return 0 if every credential can be used and nobody has to act, and 1 otherwise."""
    fine = all(is_ready(one) and health(one) is not Health.ACT for one in credentials)
    return 0 if fine else 1


def next_step(credential: Credential) -> Step | None:
    """Return what a person does next; None if there is nothing to do."""
    condition = deciding(credential)
    if condition is None or not credential.is_current:
        return Step("wait; if this lasts, check the operator", _CHECK.format(flags=credential.flags()))
    reason = known(condition.reason)
    if reason is None:
        return Step("follow the message of the condition")
    remedy = EFFECTS[reason].remedy
    command = _CONNECT if reason is Reason.WRONG_ACCOUNT and credential.is_oauth2 else _COMMANDS.get(reason)
    if remedy == _NOTHING:
        return None
    return Step(remedy, command.format(flags=credential.flags()) if command is not None else None)


def what_happens(credential: Credential, now: datetime) -> str:
    """Return what the operator does next without anyone's help, and when."""
    condition = deciding(credential)
    if credential.being_deleted:
        return "The credential is being deleted."
    if condition is None or not credential.is_current:
        return "The operator has not processed the present spec yet. It does so within seconds when it is running."
    reason = known(condition.reason)
    retry = EFFECTS[reason].retry if reason is not None else None
    if retry is Retry.WHEN_DUE and credential.is_oauth2 and credential.renewal_at is not None:
        due = f"{ahead(credential.renewal_at, now)}" if credential.renewal_at > now else "now"
        return f"The operator refreshes the access token {due}, and publishes the new one once Pipedrive accepts it."
    if retry is Retry.WHEN_DUE:
        return "The operator keeps reading Vault, and verifies the value with Pipedrive at intervals."
    return f"The operator checks again {retry.value}." if retry is not None else "This plugin does not know the reason."


def known(reason: str) -> Reason | None:
    """Return a reason of this version; None for one of a newer operator."""
    return Reason(reason) if reason in set(Reason) else None
