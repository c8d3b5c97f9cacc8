"""The chain from the spec of a credential to its workload, and which of its parts is broken. Pure.

The operator checks the parts in this order, so a reason of the status names the first broken one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Final

from kubectl_pipedrive.consumers import RESTART, Use
from kubectl_pipedrive.credential import Credential, map_at, text_at
from kubectl_pipedrive.health import deciding, known
from kubectl_pipedrive.moments import ahead
from kubectl_pipedrive.surroundings import Surroundings, Unreadable
from pipedrive_operator.core.values.conditions import Reason


class PartName(StrEnum):
    """The parts of the chain, in order."""

    SPEC = "Spec"
    APP = "App"
    VAULT = "Vault"
    PIPEDRIVE = "Pipedrive"
    SECRET = "Secret"
    WORKLOAD = "Workload"


class State(Enum):
    """The state of a part."""

    OK = "ok"
    BROKEN = "broken"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the chain."""

    name: PartName
    state: State
    text: str


PART_OF: Final[Mapping[Reason, PartName | None]] = MappingProxyType(
    {
        Reason.PUBLISHED: None,
        Reason.ACCEPTED: None,
        Reason.PENDING: None,
        Reason.SUSPENDED: PartName.SPEC,
        Reason.INVALID_SPEC: PartName.SPEC,
        Reason.CLIENT_REJECTED: PartName.APP,
        Reason.SOURCE_MISSING: PartName.VAULT,
        Reason.VAULT_UNAVAILABLE: PartName.VAULT,
        Reason.VAULT_DENIED: PartName.VAULT,
        Reason.GRANT_ESCROWED: PartName.VAULT,
        Reason.GRANT_MISSING: PartName.VAULT,
        Reason.PIPEDRIVE_UNAVAILABLE: PartName.PIPEDRIVE,
        Reason.RATE_LIMITED: PartName.PIPEDRIVE,
        Reason.REFRESH_UNCERTAIN: PartName.PIPEDRIVE,
        Reason.CONSENT_REQUIRED: PartName.PIPEDRIVE,
        Reason.TOKEN_REJECTED: PartName.PIPEDRIVE,
        Reason.WRONG_ACCOUNT: PartName.PIPEDRIVE,
        Reason.SCOPE_MISSING: PartName.PIPEDRIVE,
        Reason.ACCOUNT_NOT_OPEN: PartName.PIPEDRIVE,
        Reason.SECRET_CONFLICT: PartName.SECRET,
        Reason.SECRET_WRITE_DENIED: PartName.SECRET,
    }
)
"""Which part a reason is about; None for a reason that is no problem."""
_NOT_REACHED: Final = "not known while an earlier part is broken"


def chain(credential: Credential, around: Surroundings, now: datetime) -> list[Part]:
    """Return the parts in order. An API token has no app."""
    names = [name for name in PartName if name is not PartName.APP or credential.is_oauth2]
    condition = deciding(credential)
    if condition is None or not credential.is_current:
        waiting = "the operator has not processed the present spec"
        return [Part(name, State.UNKNOWN, waiting) for name in names]
    reason = known(condition.reason)
    if reason is None or reason is Reason.PENDING:
        return [Part(name, State.UNKNOWN, condition.message) for name in names]
    broken = PART_OF[reason]
    found = [_upstream(name, credential, broken, condition.message) for name in names[: names.index(PartName.SECRET)]]
    return [*found, _secret(credential, around, now, broken, condition.message), _workload(credential, around)]


def first_broken(found: Sequence[Part]) -> Part | None:
    """Return the first broken part; None if all are fine or are not known."""
    return next((part for part in found if part.state is State.BROKEN), None)


def _upstream(name: PartName, credential: Credential, broken: PartName | None, message: str) -> Part:
    if name is broken:
        return Part(name, State.BROKEN, message)
    order = list(PartName)
    if broken is not None and order.index(name) > order.index(broken):
        return Part(name, State.UNKNOWN, _NOT_REACHED)
    return Part(name, State.OK, _why_ok(name, credential))


def _why_ok(name: PartName, credential: Credential) -> str:
    spec = credential.spec
    client = map_at(spec, "oauth2", "client")
    path = text_at(spec, "oauth2", "grant", "path") or text_at(spec, "apiToken", "path")
    return {
        PartName.SPEC: "valid",
        PartName.APP: f"{text_at(client, 'app') or text_at(client, 'path')} is configured and not refused",
        PartName.VAULT: f"has a value at {path}",
        PartName.PIPEDRIVE: f"accepts the value, for company {credential.company or '(not known)'}",
    }[name]


def _secret(credential: Credential, around: Surroundings, now: datetime, broken: PartName | None, message: str) -> Part:
    """Check what exists: a published value stays usable while an earlier part is broken, until it expires."""
    name = credential.secret_name
    if broken is PartName.SECRET:
        return Part(PartName.SECRET, State.BROKEN, message)
    if around.keys is None or not text_at(credential.status, "secretName"):
        state = State.BROKEN if broken is None else State.UNKNOWN
        return Part(PartName.SECRET, state, f"{name} does not exist yet")
    if credential.expires_at is not None and credential.expires_at <= now:
        return Part(
            PartName.SECRET, State.BROKEN, f"the access token in {name} expired {ahead(credential.expires_at, now)}"
        )
    expiry = f", and its access token expires {ahead(credential.expires_at, now)}" if credential.expires_at else ""
    return Part(PartName.SECRET, State.OK, f"{name} is published{expiry}")


def _workload(credential: Credential, around: Surroundings) -> Part:
    match around.uses:
        case Unreadable():
            return Part(PartName.WORKLOAD, State.UNKNOWN, "your permissions do not include listing pods")
        case []:
            return Part(PartName.WORKLOAD, State.UNKNOWN, "no pod of this namespace uses the Secret")
        case found:
            problems = list(_problems(credential, found))
            state = State.BROKEN if problems else State.OK
            text = "; ".join(problems) or f"{len({use.pod for use in found})} pods use the Secret, and see new values"
            return Part(PartName.WORKLOAD, state, text)


def _problems(credential: Credential, found: Sequence[Use]) -> Iterator[str]:
    """Yield what is wrong with how pods use the Secret. A restart on change makes up for an environment variable."""
    is_restarted = "rollout" in credential.spec
    for use in found:
        if use.caveat is None or (use.caveat == RESTART and (is_restarted or not credential.is_oauth2)):
            continue
        yield str(use)
