"""Finds out who sent each request, and which copies in Vault and in escrow hold its result. Pure.

The audit logs show no token: OpenBao's has a digest that only OpenBao can compute, and the API server's has the name of
an escrow. A digest of Vault belongs to the request

- that issued what was sent later, under an intent beside which Vault held the digest;
- else, whose sender wrote the digest first, and removed its own intent with it (a copy that somebody moves out of
  escrow leaves the intents alone);
- else, whose result is the only one that was in escrow, and not in Vault, until then.

A digest that belongs to none of these is no copy of anything: a candidate that was set aside gets another digest if it
gets a mark, and it may return at any time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from chaos.evidence import (
    CANDIDATE,
    INTENT_ID,
    TOKEN,
    Evidence,
    Exchange,
    Kind,
    Publication,
    Spending,
    Write,
    escrow_name,
    handed_over_name,
)

_Digest: TypeAlias = tuple[str, str]
"""A field of a document, and the digest of its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """An acknowledged copy of the result of a request."""

    at: float
    escrow: Publication | None = None
    """None if it is in Vault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """What is known about the requests and the documents of a run."""

    copies: Mapping[Spending, Sequence[Copy]]
    """The copies of each result: the first one in Vault, and those in escrow."""
    promoted: Mapping[Write, Spending]
    """The request whose result became the grant with a promotion."""
    handed_over: Mapping[Spending, Sequence[Publication]]
    """The escrows of results that were verified, and left to the decision of Pipedrive."""


def intent_of(spending: Spending, evidence: Evidence) -> Write | None:
    """Return the intent behind a refresh or an exchange: the newest one before it."""
    writes = evidence.writes_to.get(spending.path, ())
    return next((one for one in reversed(writes) if one.kind is Kind.INTENT and one.at <= spending.taken), None)


def is_of_candidate(spending: Spending, evidence: Evidence) -> bool:
    """Return whether the result is a candidate: that of an exchange, or of a refresh of a candidate."""
    if isinstance(spending, Exchange):
        return True
    intent = intent_of(spending, evidence)
    return intent is not None and intent.for_consent


def sender(spending: Spending, evidence: Evidence) -> str | None:
    """Return the replica that sent a refresh token or a code: the one that wrote the intent."""
    intent = intent_of(spending, evidence)
    return intent.by if intent is not None else None


def first_copy(spending: Spending, evidence: Evidence) -> float | None:
    """Return when the result was first acknowledged, by Vault or as an escrow; None if never."""
    return min((one.at for one in attribution(evidence).copies.get(spending, ())), default=None)


@lru_cache(maxsize=4)
def attribution(evidence: Evidence) -> Attribution:
    """Attribute all documents and escrows of a run."""
    copies: dict[Spending, list[Copy]] = {}
    promoted: dict[Write, Spending] = {}
    handed_over: dict[Spending, list[Publication]] = {}
    for path in {one.path for one in (*evidence.refreshes, *evidence.exchanges)}:
        grant = _Path(path, evidence)
        for spending, copy in grant.copies():
            copies.setdefault(spending, []).append(copy)
        promoted |= grant.promoted()
        for spending, escrow in grant.handed_over():
            handed_over.setdefault(spending, []).append(escrow)
    return Attribution(copies=copies, promoted=promoted, handed_over=handed_over)


class _Path:
    """The requests and the writes of one path."""

    def __init__(self, path: str, evidence: Evidence) -> None:
        requests = [*evidence.refreshes_of.get(path, ()), *evidence.exchanges_of.get(path, ())]
        self._accepted = sorted((one for one in requests if one.accepted), key=lambda one: one.taken)
        self._intents = {one: intent_of(one, evidence) for one in self._accepted}
        self._candidates = {one for one in self._accepted if is_of_candidate(one, evidence)}
        self._writes = evidence.writes_to.get(path, [])
        self._escrows = evidence.escrowed.get(escrow_name(path), [])
        self._kept = {escrow: one for escrow in self._escrows if (one := self._result_in(escrow)) is not None}
        self._owners = self._attribute()

    def copies(self) -> Iterator[tuple[Spending, Copy]]:
        """Yield the first copy in Vault of each result, and all that were kept in escrow before it was there."""
        seen: set[_Digest] = set()
        for write in self._writes:
            for digest in _digests(write):
                owner = self._owners.get(digest)
                if owner is not None and digest not in seen:
                    seen.add(digest)
                    yield owner, Copy(at=write.at)
        for escrow, owner in self._kept.items():
            yield owner, Copy(at=escrow.at, escrow=escrow)

    def promoted(self) -> Mapping[Write, Spending]:
        """Return whose result each promotion has made the grant."""
        owners = {write: self._owners.get((TOKEN, write.tokens.get(TOKEN, ""))) for write in self._writes}
        return {write: owner for write, owner in owners.items() if write.kind is Kind.PROMOTED and owner is not None}

    def handed_over(self) -> Iterator[tuple[Spending, Publication]]:
        """Yield the results of exchanges, and of refreshes of them, that were handed over to escrow."""
        for escrow in self._escrows:
            yield from ((one, escrow) for one in self._candidates if _is_handed_over(one, escrow))

    def _attribute(self) -> Mapping[_Digest, Spending | None]:
        owners: dict[_Digest, Spending | None] = dict(self._known())
        before: Mapping[str, str] = {}
        for write in self._writes:
            for field, digest in _digests(write):
                if (field, digest) in owners:
                    continue
                if field == TOKEN and write.kind is Kind.PROMOTED:
                    owners[field, digest] = owners.get((CANDIDATE, before.get(CANDIDATE, "")))
                else:
                    others = {owner for (of, _), owner in owners.items() if of == field}
                    owners[field, digest] = self._owner(write, field, others)
            before = write.tokens
        return owners

    def _known(self) -> Iterator[tuple[_Digest, Spending | None]]:
        """Yield what each accepted request shows: its token was in Vault, beside its intent."""
        issuers = {one.issued: one for one in self._accepted}
        for one, intent in self._intents.items():
            field = CANDIDATE if one in self._candidates else TOKEN
            digest = intent.tokens.get(field) if intent is not None and not isinstance(one, Exchange) else None
            if digest is not None:
                yield (field, digest), issuers.get(one.token)

    def _owner(self, write: Write, field: str, others: set[Spending | None]) -> Spending | None:
        """Return the request whose result a document holds for the first time; `others` have one already."""
        if write.kind is Kind.CONSENT:
            return None
        left = [
            one
            for one in self._accepted
            if one.taken <= write.at and one not in others and (one in self._candidates) == (field == CANDIDATE)
        ]
        newest = self._newest_of(write.by, write.at)
        is_result = write.kind is (Kind.CANDIDATE if field == CANDIDATE else Kind.STORED)
        if is_result and newest in left and newest is not None and self._ends_intent(write, newest):
            return newest
        kept = {owner for escrow, owner in self._kept.items() if owner in left and escrow.at <= write.at}
        return kept.pop() if len(kept) == 1 else None

    def _newest_of(self, by: str, at: float) -> Spending | None:
        """Return the newest request of a process that Pipedrive had accepted."""
        sent = ((one, self._intents[one]) for one in reversed(self._accepted) if one.taken <= at)
        return next((one for one, intent in sent if intent is not None and intent.by == by), None)

    def _ends_intent(self, write: Write, spending: Spending) -> bool:
        intent = self._intents[spending]
        return intent is not None and write.tokens.get(INTENT_ID) != intent.tokens.get(INTENT_ID)

    def _result_in(self, escrow: Publication) -> Spending | None:
        """Return whose result an escrow holds; None if it is a candidate that was in Vault before."""
        if any(_is_handed_over(one, escrow) for one in self._candidates):
            return None
        following = next((one for one in self._writes if one.by == escrow.by and one.at >= escrow.at), None)
        is_set_aside = following is not None and following.kind is Kind.DROPPED
        return None if is_set_aside else self._newest_of(escrow.by, escrow.at)


def _is_handed_over(spending: Spending, escrow: Publication) -> bool:
    return spending.lineage is not None and escrow.name == handed_over_name(spending.path, spending.lineage)


def _digests(write: Write) -> list[_Digest]:
    return [(field, write.tokens[field]) for field in (TOKEN, CANDIDATE) if field in write.tokens]
