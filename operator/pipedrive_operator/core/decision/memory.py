"""What one process remembers of a credential between passes, and how each event changes it. Pure.

Correctness does not depend on it: after a restart, one read of Vault and the state of the cluster rebuild it.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pipedrive_operator.core.decision.acceptance import account_mismatch, inherited, restored, spread_verification
from pipedrive_operator.core.decision.renewal import next_check
from pipedrive_operator.core.decision.retry import Failure, RetryBounds, record_failure
from pipedrive_operator.core.decision.sources import ApiTokenSource, Source
from pipedrive_operator.core.decision.timings import Timings
from pipedrive_operator.core.decision.writes import Writes
from pipedrive_operator.core.grant.candidate import read_candidate
from pipedrive_operator.core.grant.document import Document, VaultLocation
from pipedrive_operator.core.grant.grant import Grant, read_grant, require_bounds
from pipedrive_operator.core.grant.keys import is_token_of_grant
from pipedrive_operator.core.grant.refresh_state import Fresh, RefreshState
from pipedrive_operator.core.grant.token import Accepted, Token, Verification
from pipedrive_operator.core.publication.rollout import RestartState
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.conditions import EFFECTS, ConditionStatus
from pipedrive_operator.core.values.errors import (
    AbsenceUnconfirmed,
    RejectionUnconfirmed,
    SourceMissing,
    TokenRejected,
    Trouble,
    VaultUnavailable,
)

CONFIRM_AFTER: Final = timedelta(seconds=3)
"""How long after a first rejection of an API token Pipedrive is asked again."""
CONFIRM_ABSENCE_AFTER: Final = timedelta(seconds=10)
"""How long after a first response without a document that was there before Vault is asked again."""
_NO_WRITES: Final = Writes()
_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What one process knows of one credential."""

    source: Source | None = None
    """Where the credential's value is kept in Vault; None if the spec is invalid."""
    uid: str = ""
    read_at: datetime | None = None
    """When Vault was last read for this credential."""
    asked_at: float = 0.0
    """On our monotonic clock: when the last read of Vault began whose answer counts."""
    answered_at: float | None = None
    """On our monotonic clock: when that answer arrived; None before the first one."""
    version: int = 0
    """The version of the document that holds what is known."""
    source_failure: Failure | None = None
    grant: Grant | None = None
    has_candidate: bool = False
    """Whether Vault holds the grant of a consent that is not verified yet."""
    allowed_consents: frozenset[str] = frozenset()
    """The uids of this credential's consents that allow another company than the pinned one."""
    last_refresh: Fresh | None = None
    """The newest refresh whose result is included here."""
    token: Token | None = None
    """The token in Vault."""
    verification: Verification | None = None
    """Pipedrive's last answer about a token."""
    accepted: Accepted | None = None
    """The newest accepted token: the one to publish."""
    accepted_was_rejected: bool = False
    """Whether Pipedrive has rejected the accepted token since."""
    rejections: int = 0
    """How many tokens in a row Pipedrive has rejected before their expiry."""
    verify_failure: Failure | None = None
    publication: Writes = _NO_WRITES
    """What became of the writes of the target Secret; their subject is the digest of the desired one."""
    removal: Writes = _NO_WRITES
    """What became of the removals of orphans; their subject is the generation of the credential."""
    restart_states: tuple[RestartState, ...] = ()
    """What was last done about each workload of spec.rollout."""
    namespace_is_terminating: bool = False
    foreign: TargetSecret | None = None
    """A Secret under the target's name that the watch does not show, because it lacks our label."""
    foreign_read_at: datetime | None = None
    handled_request: str | None = None
    """The last request of a person that was acted on."""
    handled_uninstall: datetime | None = None
    """The last reported uninstall after which a refresh was ordered."""
    request_turn_at: datetime | None = None
    """When the pending request may be acted on; a namespace that makes many requests has to wait for its turn."""


def updated(memory: Memory, **changes: object) -> Memory:
    """Return a memory with these values; the same one if it has them already, as in most passes.

    A copy of so many fields is one of the more expensive steps of a pass.
    """
    if all(getattr(memory, name) == value for name, value in changes.items()):
        return memory
    return replace(memory, **changes)  # type: ignore[arg-type]


def poll_time(memory: Memory, timings: Timings) -> datetime | None:
    """Return when Vault becomes due for another read; None before the first one."""
    if memory.read_at is None:
        return None
    return next_check(memory.read_at, timings.poll_interval, spread_by=memory.uid)


def was_turned_back(memory: Memory, now: datetime) -> bool:
    """Return whether the wall clock shows a time before the last read of Vault."""
    return memory.read_at is not None and memory.read_at > now


def without_pauses(memory: Memory, now: datetime) -> Memory:
    """Forget the times at which something is due again. What was read, refreshed and verified stays."""
    verification = memory.verification
    if verification is not None:
        verification = replace(verification, at=min(verification.at, now))
    failure = memory.verify_failure
    if failure is not None:
        failure = replace(failure, retry_at=min(failure.retry_at, now))
    return replace(
        memory,
        read_at=None,
        source_failure=None,
        verification=verification,
        verify_failure=failure,
        publication=_NO_WRITES,
        removal=_NO_WRITES,
        restart_states=(),
        foreign_read_at=None,
        request_turn_at=None,
    )


def after_reading(memory: Memory, document: Document | None, now: datetime) -> Memory:
    """Include what Vault holds.

    Raises:
        AbsenceUnconfirmed: there is no document, for the first time.
        SourceMissing: the version was deleted, or the path or the key of an API token does not exist, or the value is
            a token of a grant.
    """
    found: dict[str, Any] = {"read_at": now, "source_failure": None}
    if document is None:
        _require_confirmed_absence(memory)
    else:
        document.require_values()
        found["version"] = document.version
    source = memory.source
    if isinstance(source, ApiTokenSource):
        return replace(memory, **found, token=_api_token(source, document))
    if document is not None:
        require_bounds(document)
    grant, has_candidate = read_grant(document), read_candidate(document) is not None
    return replace(memory, **found, grant=grant, token=grant.token if grant else None, has_candidate=has_candidate)


def _require_confirmed_absence(memory: Memory) -> None:
    """Check that a document is gone, or was never there: nothing in a response shows how old an absence is.

    Raises:
        AbsenceUnconfirmed: the document was there at the last read.
    """
    failure = memory.source_failure
    is_known = failure is not None and isinstance(failure.trouble, AbsenceUnconfirmed | SourceMissing)
    held_nothing = memory.grant is None and memory.token is None and not memory.has_candidate
    if memory.source is None or held_nothing or is_known:
        return
    seconds = int(CONFIRM_ABSENCE_AFTER.total_seconds())
    message = (
        f"Vault has nothing at {memory.source.location}, where it had a value before. A server of Vault that lags "
        f"responds like that, so the operator reads again in {seconds} s, and only a second response counts"
    )
    raise AbsenceUnconfirmed(message, retry_after=CONFIRM_ABSENCE_AFTER)


def _api_token(source: ApiTokenSource, document: Document | None) -> Token:
    """Return the API token in a document. Raises SourceMissing."""
    if document is None:
        message = (
            f"Vault has nothing at {source.location}: write the token with "
            f"`vault kv put -mount={source.location.mount} {source.location.path} {source.key}=...`"
        )
        raise SourceMissing(message)
    value = document.secret(source.key)
    if is_token_of_grant(value):
        message = (
            f"The value under key {source.key} of {source.location} in Vault looks like an OAuth2 token, not like an "
            "API token, and is not sent: correct spec.apiToken, or use spec.oauth2 for a grant"
        )
        raise SourceMissing(message)
    return Token(value=value)


def after_refresh(memory: Memory, refresh: RefreshState) -> Memory:
    """Include a refreshed grant, once: what is read from Vault after that is newer. A refresh settles a candidate.

    A credential must have read the grant itself before: a person may have written another one since that refresh.
    """
    if not isinstance(refresh, Fresh) or refresh is memory.last_refresh or memory.answered_at is None:
        return memory
    is_before_version = refresh.asked_at <= memory.answered_at and refresh.version < memory.version
    if refresh.at < memory.asked_at or is_before_version:
        return replace(memory, last_refresh=refresh)
    grant = refresh.grant
    return replace(
        memory,
        last_refresh=refresh,
        version=refresh.version,
        grant=grant,
        token=grant.token,
        has_candidate=False,
        source_failure=None,
    )


def after_source_failure(memory: Memory, trouble: Trouble, *, bounds: RetryBounds) -> Memory:
    """Record that Vault could not be read or lacks the value; the last accepted value stays."""
    failure = record_failure(trouble, memory.source_failure, subject="source", bounds=bounds)
    return replace(memory, source_failure=failure, read_at=bounds.now)


def after_exchange(memory: Memory, location: VaultLocation) -> Memory | None:
    """Make a read of Vault due at once, as an exchange may have changed this grant; None for another grant."""
    if memory.source is None or memory.source.location != location:
        return None
    return replace(memory, read_at=None, source_failure=None)


def after_return_of_vault(memory: Memory, connection: str) -> Memory | None:
    """Make a failed read due at once, now that its Vault is available again; None if no read was waiting for it."""
    failure = memory.source_failure
    is_affected = memory.source is not None and memory.source.location.connection == connection
    if not is_affected or failure is None or not isinstance(failure.trouble, VaultUnavailable):
        return None
    return replace(memory, source_failure=replace(failure, retry_at=_NEVER))


def after_verification(memory: Memory, token: Token, account: Account, now: datetime) -> Memory:
    """Record which account a token belongs to."""
    verification = Verification(token=token, at=now, account=account)
    return replace(memory, verification=verification, verify_failure=None, rejections=0)


def after_failed_verification(memory: Memory, token: Token, trouble: Trouble, *, bounds: RetryBounds) -> Memory:
    """Record that Pipedrive gave no usable answer about a token, or rejected it.

    A first rejection of an API token is not believed: it would stop a person's work for an hour if it was spurious. An
    access token needs no second answer, because one refresh replaces it.
    """
    if isinstance(trouble, TokenRejected) and token.is_api_token and not _was_rejected(memory, token):
        seconds = int(CONFIRM_AFTER.total_seconds())
        message = (
            f"Pipedrive refused the API token once. The operator asks again in {seconds} s, and only a second "
            "refusal counts"
        )
        trouble = RejectionUnconfirmed(message, retry_after=CONFIRM_AFTER)
    failure = record_failure(trouble, memory.verify_failure, subject=token.value.digest(), bounds=bounds)
    failed = replace(memory, verify_failure=failure)
    if EFFECTS[trouble.reason].authorized is not ConditionStatus.FALSE:
        return failed
    return replace(
        failed,
        verification=Verification(token=token, at=bounds.now, trouble=trouble),
        rejections=memory.rejections + isinstance(trouble, TokenRejected),
        accepted_was_rejected=memory.accepted_was_rejected
        or (memory.accepted is not None and memory.accepted.token.value == token.value),
    )


def _was_rejected(memory: Memory, token: Token) -> bool:
    """Return whether Pipedrive's last answer about the token was a rejection, believed or not."""
    failure, verification = memory.verify_failure, memory.verification
    if failure is not None and failure.subject == token.value.digest():
        return isinstance(failure.trouble, RejectionUnconfirmed | TokenRejected)
    return verification is not None and verification.token.value == token.value and verification.account is None


def after_restart(memory: Memory, state: RestartState) -> Memory:
    """Record what was done about a workload, in place of the last time."""
    others = tuple(one for one in memory.restart_states if one.reference != state.reference)
    return replace(memory, restart_states=(*others, state))


def after_judging(
    memory: Memory, credential: Credential, target: TargetSecret | None, *, now: datetime, timings: Timings
) -> Memory:
    """Decide which token is accepted: one that Pipedrive accepted, its successor, or one from before a restart."""
    if memory.token is None:
        return memory
    if memory.verification is None or memory.verification.token.value != memory.token.value:
        accepted = _without_asking(memory, credential, target, now=now, timings=timings)
        return memory if accepted is None else _accept(memory, accepted)
    account = memory.verification.account
    if account is None:
        return memory
    accepted, grant, allowed = memory.accepted, memory.grant, memory.allowed_consents
    if account_mismatch(credential, account, accepted=accepted, grant=grant, allowed=allowed) is not None:
        return memory
    lineage = memory.grant.lineage if memory.grant is not None else None
    return _accept(
        memory, Accepted(token=memory.token, account=account, verified_at=memory.verification.at, lineage=lineage)
    )


def _accept(memory: Memory, accepted: Accepted) -> Memory:
    verification = Verification(token=accepted.token, at=accepted.verified_at, account=accepted.account)
    return updated(memory, accepted=accepted, accepted_was_rejected=False, verification=verification)


def _without_asking(
    memory: Memory, credential: Credential, target: TargetSecret | None, *, now: datetime, timings: Timings
) -> Accepted | None:
    if memory.rejections:
        return None
    if memory.accepted is not None:
        return inherited(memory.grant, memory.accepted)
    verified_at = spread_verification(now, timings.verify_interval, spread_by=credential.uid)
    lineage = memory.grant.lineage if memory.grant is not None else None
    return restored(credential, memory.token, target, lineage=lineage, verified_at=verified_at)
