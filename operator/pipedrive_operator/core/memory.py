"""What is remembered of a credential between passes, and how each event changes it. Pure, and lost with the process.

Nothing here is needed for correctness after a restart: one read of Vault and what the cluster holds rebuild it.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pipedrive_operator.core.acceptance import inherited, restored, spread_verification
from pipedrive_operator.core.conditions import EFFECTS, ConditionStatus
from pipedrive_operator.core.credential import Account, Credential
from pipedrive_operator.core.errors import SourceMissing, TokenRejected, Trouble, VaultUnavailable
from pipedrive_operator.core.flight import Flight, Fresh
from pipedrive_operator.core.grant import Grant, read_grant
from pipedrive_operator.core.policy import Timings, account_mismatch
from pipedrive_operator.core.retry import Patience, Setback, set_back
from pipedrive_operator.core.rollout import Standing
from pipedrive_operator.core.sources import ApiTokenSource, Source
from pipedrive_operator.core.target import TargetSecret
from pipedrive_operator.core.token import Accepted, Answer, Token
from pipedrive_operator.core.vault import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What one process knows of one credential; the fields are those of `policy.Observation`."""

    source: Source | None = None
    uid: str = ""
    read_at: datetime | None = None
    source_setback: Setback | None = None
    grant: Grant | None = None
    landed: Fresh | None = None
    """The newest refresh that was taken in."""
    token: Token | None = None
    answer: Answer | None = None
    good: Accepted | None = None
    good_is_refused: bool = False
    refusals: int = 0
    verify_setback: Setback | None = None
    publish_setback: Setback | None = None
    standings: tuple[Standing, ...] = ()
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
    known = replace(memory, read_at=now, source_setback=None)
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


def after_flight(memory: Memory, flight: Flight) -> Memory:
    """Take in a refreshed grant, once: what is read from Vault later is newer."""
    if not isinstance(flight, Fresh) or flight is memory.landed:
        return memory
    return replace(memory, landed=flight, grant=flight.grant, token=flight.grant.token, source_setback=None)


def after_source_trouble(memory: Memory, trouble: Trouble, *, patience: Patience) -> Memory:
    """Note that Vault could not be read, or does not hold what is wanted; the last good value stays."""
    setback = set_back(trouble, memory.source_setback, subject="source", patience=patience)
    return replace(memory, source_setback=setback, read_at=patience.now)


def after_return_of_vault(memory: Memory, connection: str) -> Memory | None:
    """Take back that Vault could not be read, now that it serves again; None where nothing waited for that."""
    setback = memory.source_setback
    is_there = memory.source is not None and memory.source.location.connection == connection
    if not is_there or setback is None or not isinstance(setback.trouble, VaultUnavailable):
        return None
    return replace(memory, source_setback=replace(setback, retry_at=datetime.min.replace(tzinfo=UTC)))


def after_answer(memory: Memory, token: Token, account: Account, now: datetime) -> Memory:
    """Note whose token it is."""
    answer = Answer(token=token, at=now, account=account)
    return replace(memory, answer=answer, verify_setback=None, refusals=0)


def after_refusal(memory: Memory, token: Token, trouble: Trouble, *, patience: Patience) -> Memory:
    """Note that Pipedrive could not be asked, or that it refused the token."""
    setback = set_back(trouble, memory.verify_setback, subject=token.value.digest(), patience=patience)
    noted = replace(memory, verify_setback=setback)
    if EFFECTS[trouble.reason].authorized is not ConditionStatus.FALSE:
        return noted
    return replace(
        noted,
        answer=Answer(token=token, at=patience.now, trouble=trouble),
        refusals=memory.refusals + isinstance(trouble, TokenRejected),
        good_is_refused=memory.good_is_refused or (memory.good is not None and memory.good.token.value == token.value),
    )


def after_write_refusal(memory: Memory, trouble: Trouble, *, subject: str, patience: Patience) -> Memory:
    """Note that the API server forbids writing this Secret."""
    setback = set_back(trouble, memory.publish_setback, subject=subject, patience=patience)
    return replace(memory, publish_setback=setback)


def after_look(memory: Memory, standing: Standing) -> Memory:
    """Note what came of a look at a workload, in place of the look before."""
    others = tuple(one for one in memory.standings if one.reference != standing.reference)
    return replace(memory, standings=(*others, standing))


def judged(
    memory: Memory, credential: Credential, target: TargetSecret | None, *, now: datetime, timings: Timings
) -> Memory:
    """Decide which token counts as accepted: the one that Pipedrive accepted, its successor, or a restart's."""
    if memory.token is None or credential.spec is None:
        return memory
    if memory.answer is None or memory.answer.token.value != memory.token.value:
        accepted = _without_asking(memory, credential, target, now=now, timings=timings)
        return memory if accepted is None else _accept(memory, accepted)
    account = memory.answer.account
    if account is None or account_mismatch(credential, account) is not None:
        return memory
    lineage = memory.grant.lineage if memory.grant is not None else None
    return _accept(memory, Accepted(token=memory.token, account=account, verified_at=memory.answer.at, lineage=lineage))


def _accept(memory: Memory, accepted: Accepted) -> Memory:
    answer = Answer(token=accepted.token, at=accepted.verified_at, account=accepted.account)
    return replace(memory, good=accepted, good_is_refused=False, answer=answer)


def _without_asking(
    memory: Memory, credential: Credential, target: TargetSecret | None, *, now: datetime, timings: Timings
) -> Accepted | None:
    if memory.refusals:
        return None
    if memory.good is not None:
        return inherited(memory.grant, memory.good)
    verified_at = spread_verification(now, timings.verify_interval, spread_by=credential.uid)
    lineage = memory.grant.lineage if memory.grant is not None else None
    return restored(credential, memory.token, target, lineage=lineage, verified_at=verified_at)
