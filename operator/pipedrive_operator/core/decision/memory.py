"""What is remembered of a credential between passes, and how each event changes it. Pure, and lost with the process.

Nothing here is needed for correctness after a restart: one read of Vault and what the cluster holds rebuild it.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pipedrive_operator.core.decision.acceptance import inherited, restored, spread_verification
from pipedrive_operator.core.decision.observation import Timings, account_mismatch
from pipedrive_operator.core.decision.retry import Failure, RetryBounds, record_failure
from pipedrive_operator.core.decision.sources import ApiTokenSource, Source
from pipedrive_operator.core.grant.document import Document
from pipedrive_operator.core.grant.grant import Grant, read_grant
from pipedrive_operator.core.grant.refresh_state import Fresh, RefreshState
from pipedrive_operator.core.grant.token import Accepted, Token, Verification
from pipedrive_operator.core.publication.rollout import RestartState
from pipedrive_operator.core.publication.target import TargetSecret
from pipedrive_operator.core.resource.credential import Credential
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.conditions import EFFECTS, ConditionStatus
from pipedrive_operator.core.values.errors import SourceMissing, TokenRejected, Trouble, VaultUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What one process knows of one credential; the fields are those of `policy.Observation`."""

    source: Source | None = None
    uid: str = ""
    read_at: datetime | None = None
    source_failure: Failure | None = None
    grant: Grant | None = None
    last_refresh: Fresh | None = None
    """The newest refresh that was taken in."""
    token: Token | None = None
    verification: Verification | None = None
    accepted: Accepted | None = None
    accepted_was_rejected: bool = False
    refusals: int = 0
    verify_failure: Failure | None = None
    publish_failure: Failure | None = None
    restart_states: tuple[RestartState, ...] = ()
    namespace_is_going: bool = False
    foreign: TargetSecret | None = None
    """A Secret under the target's name that the watch does not show, because it is not labelled for us."""
    foreign_read_at: datetime | None = None
    handled_request: str | None = None


def after_reading(memory: Memory, document: Document | None, now: datetime) -> Memory:
    """Take in what Vault holds.

    Raises:
        SourceMissing: the version was deleted, or the path or the key of an API token is absent.
    """
    if document is not None:
        document.require_values()
    known = replace(memory, read_at=now, source_failure=None)
    source = memory.source
    if not isinstance(source, ApiTokenSource):
        grant = read_grant(document)
        return replace(known, grant=grant, token=grant.token if grant else None)
    if document is None:
        message = (
            f"Vault has nothing at {source.location}: write the token with "
            f"`vault kv put -mount={source.location.mount} {source.location.path} {source.key}=...`"
        )
        raise SourceMissing(message)
    return replace(known, token=Token(value=document.secret(source.key)))


def after_refresh(memory: Memory, refresh: RefreshState) -> Memory:
    """Take in a refreshed grant, once: what is read from Vault later is newer."""
    if not isinstance(refresh, Fresh) or refresh is memory.last_refresh:
        return memory
    return replace(memory, last_refresh=refresh, grant=refresh.grant, token=refresh.grant.token, source_failure=None)


def after_source_trouble(memory: Memory, trouble: Trouble, *, bounds: RetryBounds) -> Memory:
    """Note that Vault could not be read, or does not hold what is wanted; the last good value stays."""
    failure = record_failure(trouble, memory.source_failure, subject="source", bounds=bounds)
    return replace(memory, source_failure=failure, read_at=bounds.now)


def after_return_of_vault(memory: Memory, connection: str) -> Memory | None:
    """Take back that Vault could not be read, now that it serves again; None where nothing waited for that."""
    failure = memory.source_failure
    is_there = memory.source is not None and memory.source.location.connection == connection
    if not is_there or failure is None or not isinstance(failure.trouble, VaultUnavailable):
        return None
    return replace(memory, source_failure=replace(failure, retry_at=datetime.min.replace(tzinfo=UTC)))


def after_verification(memory: Memory, token: Token, account: Account, now: datetime) -> Memory:
    """Note whose token it is."""
    verification = Verification(token=token, at=now, account=account)
    return replace(memory, verification=verification, verify_failure=None, refusals=0)


def after_refusal(memory: Memory, token: Token, trouble: Trouble, *, bounds: RetryBounds) -> Memory:
    """Note that Pipedrive could not be asked, or that it refused the token."""
    failure = record_failure(trouble, memory.verify_failure, subject=token.value.digest(), bounds=bounds)
    noted = replace(memory, verify_failure=failure)
    if EFFECTS[trouble.reason].authorized is not ConditionStatus.FALSE:
        return noted
    return replace(
        noted,
        verification=Verification(token=token, at=bounds.now, trouble=trouble),
        refusals=memory.refusals + isinstance(trouble, TokenRejected),
        accepted_was_rejected=memory.accepted_was_rejected
        or (memory.accepted is not None and memory.accepted.token.value == token.value),
    )


def after_write_refusal(memory: Memory, trouble: Trouble, *, subject: str, bounds: RetryBounds) -> Memory:
    """Note that the API server forbids writing this Secret."""
    failure = record_failure(trouble, memory.publish_failure, subject=subject, bounds=bounds)
    return replace(memory, publish_failure=failure)


def after_look(memory: Memory, standing: RestartState) -> Memory:
    """Note what came of a look at a workload, in place of the look before."""
    others = tuple(one for one in memory.restart_states if one.reference != standing.reference)
    return replace(memory, restart_states=(*others, standing))


def judged(
    memory: Memory, credential: Credential, target: TargetSecret | None, *, now: datetime, timings: Timings
) -> Memory:
    """Decide which token counts as accepted: the one that Pipedrive accepted, its successor, or a restart's."""
    if memory.token is None or credential.spec is None:
        return memory
    if memory.verification is None or memory.verification.token.value != memory.token.value:
        accepted = _without_asking(memory, credential, target, now=now, timings=timings)
        return memory if accepted is None else _accept(memory, accepted)
    account = memory.verification.account
    if account is None or account_mismatch(credential, account) is not None:
        return memory
    lineage = memory.grant.lineage if memory.grant is not None else None
    return _accept(
        memory, Accepted(token=memory.token, account=account, verified_at=memory.verification.at, lineage=lineage)
    )


def _accept(memory: Memory, accepted: Accepted) -> Memory:
    verification = Verification(token=accepted.token, at=accepted.verified_at, account=accepted.account)
    return replace(memory, accepted=accepted, accepted_was_rejected=False, verification=verification)


def _without_asking(
    memory: Memory, credential: Credential, target: TargetSecret | None, *, now: datetime, timings: Timings
) -> Accepted | None:
    if memory.refusals:
        return None
    if memory.accepted is not None:
        return inherited(memory.grant, memory.accepted)
    verified_at = spread_verification(now, timings.verify_interval, spread_by=credential.uid)
    lineage = memory.grant.lineage if memory.grant is not None else None
    return restored(credential, memory.token, target, lineage=lineage, verified_at=verified_at)
