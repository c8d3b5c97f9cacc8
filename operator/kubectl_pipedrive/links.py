"""The links from the spec of a credential to its workload, and which of them is broken. Pure.

The operator checks the links in this order, so a reason of the status names the first broken one.
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


class LinkName(StrEnum):
    """The links, in order."""

    SPEC = "Spec"
    APP = "App"
    VAULT = "Vault"
    PIPEDRIVE = "Pipedrive"
    SECRET = "Secret"
    WORKLOAD = "Workload"


class State(Enum):
    """How a link is."""

    OK = "ok"
    BROKEN = "broken"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Link:
    """One link."""

    name: LinkName
    state: State
    text: str


LINK_OF: Final[Mapping[Reason, LinkName | None]] = MappingProxyType(
    {
        Reason.PUBLISHED: None,
        Reason.ACCEPTED: None,
        Reason.PENDING: None,
        Reason.SUSPENDED: LinkName.SPEC,
        Reason.INVALID_SPEC: LinkName.SPEC,
        Reason.CLIENT_REJECTED: LinkName.APP,
        Reason.SOURCE_MISSING: LinkName.VAULT,
        Reason.VAULT_UNAVAILABLE: LinkName.VAULT,
        Reason.VAULT_DENIED: LinkName.VAULT,
        Reason.GRANT_ESCROWED: LinkName.VAULT,
        Reason.GRANT_MISSING: LinkName.VAULT,
        Reason.PIPEDRIVE_UNAVAILABLE: LinkName.PIPEDRIVE,
        Reason.RATE_LIMITED: LinkName.PIPEDRIVE,
        Reason.REFRESH_UNCERTAIN: LinkName.PIPEDRIVE,
        Reason.CONSENT_REQUIRED: LinkName.PIPEDRIVE,
        Reason.TOKEN_REJECTED: LinkName.PIPEDRIVE,
        Reason.WRONG_ACCOUNT: LinkName.PIPEDRIVE,
        Reason.SCOPE_MISSING: LinkName.PIPEDRIVE,
        Reason.ACCOUNT_NOT_OPEN: LinkName.PIPEDRIVE,
        Reason.SECRET_CONFLICT: LinkName.SECRET,
        Reason.SECRET_WRITE_DENIED: LinkName.SECRET,
    }
)
"""Which link a reason is about; None for a reason that is no problem."""
_NOT_REACHED: Final = "not known while an earlier link is broken"


def links(credential: Credential, around: Surroundings, now: datetime) -> list[Link]:
    """Return the links in order. An API token has no app."""
    names = [name for name in LinkName if name is not LinkName.APP or credential.is_oauth2]
    condition = deciding(credential)
    if condition is None or not credential.is_current:
        waiting = "the operator has not processed the present spec"
        return [Link(name, State.UNKNOWN, waiting) for name in names]
    reason = known(condition.reason)
    if reason is None or reason is Reason.PENDING:
        return [Link(name, State.UNKNOWN, condition.message) for name in names]
    broken = LINK_OF[reason]
    found = [_upstream(name, credential, broken, condition.message) for name in names[: names.index(LinkName.SECRET)]]
    return [*found, _secret(credential, around, now, broken, condition.message), _workload(credential, around)]


def first_broken(found: Sequence[Link]) -> Link | None:
    """Return the first broken link; None if all hold or are not known."""
    return next((link for link in found if link.state is State.BROKEN), None)


def _upstream(name: LinkName, credential: Credential, broken: LinkName | None, message: str) -> Link:
    if name is broken:
        return Link(name, State.BROKEN, message)
    order = list(LinkName)
    if broken is not None and order.index(name) > order.index(broken):
        return Link(name, State.UNKNOWN, _NOT_REACHED)
    return Link(name, State.OK, _why_ok(name, credential))


def _why_ok(name: LinkName, credential: Credential) -> str:
    spec = credential.spec
    client = map_at(spec, "oauth2", "client")
    path = text_at(spec, "oauth2", "grant", "path") or text_at(spec, "apiToken", "path")
    return {
        LinkName.SPEC: "valid",
        LinkName.APP: f"{text_at(client, 'app') or text_at(client, 'path')} is configured and not refused",
        LinkName.VAULT: f"has a value at {path}",
        LinkName.PIPEDRIVE: f"accepts the value, for company {credential.company or '(not known)'}",
    }[name]


def _secret(credential: Credential, around: Surroundings, now: datetime, broken: LinkName | None, message: str) -> Link:
    """Check what exists: a published value stays usable while an earlier link is broken, until it expires."""
    name = credential.secret_name
    if broken is LinkName.SECRET:
        return Link(LinkName.SECRET, State.BROKEN, message)
    if around.keys is None or not text_at(credential.status, "secretName"):
        state = State.BROKEN if broken is None else State.UNKNOWN
        return Link(LinkName.SECRET, state, f"{name} does not exist yet")
    if credential.expires_at is not None and credential.expires_at <= now:
        return Link(
            LinkName.SECRET, State.BROKEN, f"the access token in {name} expired {ahead(credential.expires_at, now)}"
        )
    expiry = f", and its access token expires {ahead(credential.expires_at, now)}" if credential.expires_at else ""
    return Link(LinkName.SECRET, State.OK, f"{name} is published{expiry}")


def _workload(credential: Credential, around: Surroundings) -> Link:
    match around.uses:
        case Unreadable():
            return Link(LinkName.WORKLOAD, State.UNKNOWN, "your permissions do not include listing pods")
        case []:
            return Link(LinkName.WORKLOAD, State.UNKNOWN, "no pod of this namespace uses the Secret")
        case found:
            problems = list(_problems(credential, found))
            state = State.BROKEN if problems else State.OK
            text = "; ".join(problems) or f"{len({use.pod for use in found})} pods use the Secret, and see new values"
            return Link(LinkName.WORKLOAD, state, text)


def _problems(credential: Credential, found: Sequence[Use]) -> Iterator[str]:
    """Yield what is wrong with how pods use the Secret. A restart on change makes up for an environment variable."""
    is_restarted = "rollout" in credential.spec
    for use in found:
        if use.caveat is None or (use.caveat == RESTART and (is_restarted or not credential.is_oauth2)):
            continue
        yield str(use)
