"""The evidence about the operators as pure values, and how it is read from the logs of the other parts.

All times are seconds since the epoch, by the clock of this machine. A refresh is `taken` when the simulator has read
the request, and `answered` when it has passed the whole answer to the kernel. A write is `at` the time when OpenBao or
the API server logged its answer, just before sending it. A window from `answered` to `at` therefore includes the
transit of the write request, and excludes the transit of its acknowledgement.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Final, TypedDict, TypeVar
from urllib.parse import unquote

from testbed.api_audit_log import ApiRequest
from testbed.audit_log import KvAnswer
from testbed.pipedrive.ledger import Call, Outcome

ROOT: Final = "root"
TRANSIT: Final = 0.1
"""In seconds: how long a request to Pipedrive, or its answer, travels at most."""
ESCROW: Final = "pipedrive-operator-escrow-"
_ESCROW_LABEL: Final = "=pipedrive-operator.io/escrow"
_DIGITS: Final = 24
TOKEN: Final = "refresh_token"
CANDIDATE: Final = "consent_candidate"
INTENT_ID: Final = "refresh_id"
_OF_A_GRANT: Final = frozenset({TOKEN, CANDIDATE, INTENT_ID})
_SUCCESS: Final = range(200, 300)
_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A replica was killed: it still ran at `at`, and no longer at `gone_at`."""

    replica: str
    at: float
    gone_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A fault: `what` is vault, cluster or pipedrive if that was unreachable, or stopped if the replica was frozen."""

    what: str
    began: float
    ended: float
    replica: str | None = None
    """The replica that was affected; None for all."""

    def meets(self, began: float, ended: float, replica: str | None) -> bool:
        """Return whether the fault affected the replica during that time."""
        return self.began <= ended and began <= self.ended and self.replica in {None, replica}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """A refresh token or a code that reached Pipedrive; each works once."""

    path: str
    """The path of the grant in Vault."""
    consent: str
    """The simulator's id of the consent behind the grant; empty for a code that was refused."""
    token: str
    issued: str | None
    """The digest of the refresh token that was issued in exchange; `token` is a digest too."""
    lineage: str | None = None
    """The whole digest of that refresh token, which is shortened in `issued`."""
    accepted: bool
    taken: float
    answered: float | None
    delivered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh(Spending):
    """A refresh token that reached Pipedrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The code of a consent that a person handed to the operator, and how the consent ended."""

    path: str
    """The path of the grant in Vault."""
    name: str
    code: str
    """A digest."""
    belongs: bool
    """Whether the person accepted for the company that the credential belongs to."""
    reported: str
    """The reason in the status of the consent when it had ended."""
    ended: float
    """When that reason was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange(Spending):
    """A code that reached Pipedrive."""

    answer: Answer


class Kind(StrEnum):
    """The kind of a write to a grant."""

    CONSENT = "consent"
    """A person wrote the whole document."""
    INTENT = "intent"
    """A new intent. One that stays as it was shows nothing."""
    STORED = "stored"
    """A new refresh token."""
    CANDIDATE = "candidate"
    """The result of an exchange, beside the grant that works."""
    PROMOTED = "promoted"
    """A candidate became the grant."""
    DROPPED = "dropped"
    """A candidate was removed, and the grant stayed as it was."""
    MARK = "mark"
    """An intent was removed, or an unanswered refresh was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write that Vault acknowledged."""

    path: str
    by: str
    at: float
    kind: Kind
    for_consent: bool = False
    """Whether it is the intent of an exchange, or of a refresh of a candidate."""
    tokens: Mapping[str, str] = field(default_factory=dict, compare=False)
    """What is in the document after the write: the digests of refresh token, candidate and refresh id, by field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A read that Vault answered."""

    path: str
    by: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A list of the escrows of a namespace that the API server answered."""

    by: str
    namespace: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A write of a Secret or a status that the API server acknowledged."""

    by: str
    resource: str
    namespace: str
    name: str
    at: float

    @property
    def is_secret(self) -> bool:
        """Whether it is a target Secret."""
        return self.resource == "secrets" and not self.name.startswith(ESCROW)

    @property
    def is_status(self) -> bool:
        """Whether it is a credential's status."""
        return self.resource == "pipedrivecredentials/status"


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """The evidence of a run; each tuple is in chronological order. Only the same object is equal."""

    refreshes: tuple[Refresh, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    answers: tuple[Answer, ...] = ()
    """The codes that people handed to the operator."""
    companies: Mapping[str, int] = field(default_factory=dict)
    """The company of each access token that Pipedrive issued, by the token's digest."""
    writes: tuple[Write, ...] = ()
    reads: tuple[Read, ...] = ()
    publications: tuple[Publication, ...] = ()
    listings: tuple[Listing, ...] = ()

    @cached_property
    def refreshes_of(self) -> Mapping[str, list[Refresh]]:
        """The refreshes of each path."""
        return _grouped(self.refreshes, lambda one: one.path)

    @cached_property
    def exchanges_of(self) -> Mapping[str, list[Exchange]]:
        """The exchanges of each path."""
        return _grouped(self.exchanges, lambda one: one.path)

    @cached_property
    def writes_to(self) -> Mapping[str, list[Write]]:
        """The writes to each path."""
        return _grouped(self.writes, lambda one: one.path)

    @cached_property
    def reads_of(self) -> Mapping[str, list[Read]]:
        """The reads of each path."""
        return _grouped(self.reads, lambda one: one.path)

    @cached_property
    def publications_of(self) -> Mapping[tuple[str, str], list[Publication]]:
        """The writes of target Secrets, statuses and escrows, by namespace and name."""
        return _grouped(self.publications, lambda one: (one.namespace, one.name))

    @cached_property
    def escrowed(self) -> Mapping[str, list[Publication]]:
        """The writes of escrows, by the part of the name that stands for the grant."""
        written = (one for one in self.publications if one.name.startswith(ESCROW))
        return _grouped(written, lambda one: one.name[: len(ESCROW) + _DIGITS])


def read_refreshes(calls: Iterable[Call], paths: Mapping[str, str]) -> tuple[Refresh, ...]:
    """Return the refreshes in the simulator's ledger; `paths` maps each consent to the path of its grant in Vault."""
    return tuple(
        Refresh(path=paths[consent], consent=consent, **_outcome(call))
        for call in calls
        if call.is_refresh and (consent := call.subject.grant_id) is not None and consent in paths
    )


def read_exchanges(calls: Iterable[Call], answers: Iterable[Answer]) -> tuple[Exchange, ...]:
    """Return the exchanges of these codes in the simulator's ledger."""
    of = {answer.code: answer for answer in answers}
    return tuple(
        Exchange(path=answer.path, consent=call.issued_grant or "", answer=answer, **_outcome(call))
        for call in calls
        if call.is_exchange and (answer := of.get(call.subject.digest or "")) is not None
    )


def read_companies(calls: Iterable[Call]) -> Mapping[str, int]:
    """Return the company of each access token that was issued, by the token's digest."""
    return {
        call.issued_access: call.subject.company_id
        for call in calls
        if call.issued_access is not None and call.subject.company_id is not None
    }


def read_writes(answers: Iterable[KvAnswer]) -> tuple[Write, ...]:
    """Return the acknowledged writes to grants."""
    held: dict[str, Mapping[str, str]] = {}
    found = []
    for answer in answers:
        if answer.ok and answer.operation in {"create", "update"} and not _OF_A_GRANT.isdisjoint(answer.values):
            kind = _kind(answer, held.get(answer.path, {}))
            is_for_consent = kind is Kind.INTENT and "refresh_consent" in answer.values
            write = Write(
                path=answer.path,
                by=answer.display_name,
                at=answer.at,
                kind=kind,
                for_consent=is_for_consent,
                tokens={key: value for key, value in answer.values.items() if key in _OF_A_GRANT},
            )
            found.append(write)
            held[answer.path] = answer.values
    return tuple(found)


def read_reads(answers: Iterable[KvAnswer]) -> tuple[Read, ...]:
    """Return the answered reads."""
    reads = (answer for answer in answers if answer.operation == "read")
    return tuple(Read(path=answer.path, by=answer.display_name, at=answer.at) for answer in reads)


def read_publications(requests: Mapping[str, Iterable[ApiRequest]]) -> tuple[Publication, ...]:
    """Return the acknowledged writes of Secrets and statuses, by user, in chronological order."""
    found = [
        Publication(by=user, resource=one.resource, namespace=one.namespace, name=one.name, at=one.at)
        for user, asked in requests.items()
        for one in asked
        if one.verb in {"create", "patch"} and one.status in _SUCCESS
    ]
    return tuple(sorted(found, key=lambda one: one.at))


def read_listings(requests: Mapping[str, Iterable[ApiRequest]]) -> tuple[Listing, ...]:
    """Return the answered lists of escrows, by user, in chronological order."""
    found = [
        Listing(by=user, namespace=one.namespace, at=one.at)
        for user, asked in requests.items()
        for one in asked
        if one.verb == "list" and one.status in _SUCCESS and _ESCROW_LABEL in unquote(one.uri)
    ]
    return tuple(sorted(found, key=lambda one: one.at))


def escrow_name(path: str) -> str:
    """Return how the names of the escrow Secrets of a grant begin; the audit log contains no more than the names."""
    digest = hashlib.sha256(json.dumps(["default", "secret", path]).encode()).hexdigest()
    return f"{ESCROW}{digest[:_DIGITS]}"


def handed_over_name(path: str, lineage: str) -> str:
    """Return the name of the escrow of a verified grant that could not replace the one in Vault."""
    digest = hashlib.sha256(f"consent-{lineage}".encode()).hexdigest()
    return f"{escrow_name(path)}-{digest[:_DIGITS]}"


def _kind(answer: KvAnswer, before: Mapping[str, str]) -> Kind:
    candidate, token = answer.values.get(CANDIDATE), answer.values.get(TOKEN)
    if answer.display_name == ROOT:
        return Kind.CONSENT
    if answer.values.get(INTENT_ID, before.get(INTENT_ID)) != before.get(INTENT_ID):
        return Kind.INTENT
    # Another holder's intent stays beside a result that is stored late.
    if candidate is not None and candidate != before.get(CANDIDATE):
        return Kind.CANDIDATE
    if candidate is None and CANDIDATE in before:
        return Kind.DROPPED if token == before.get(TOKEN) else Kind.PROMOTED
    return Kind.MARK if token == before.get(TOKEN) else Kind.STORED


class _Outcome(TypedDict):
    token: str
    issued: str | None
    lineage: str | None
    accepted: bool
    taken: float
    answered: float | None
    delivered: bool


def _outcome(call: Call) -> _Outcome:
    return {
        "token": call.subject.digest or "",
        "issued": call.issued,
        "lineage": call.issued_lineage,
        "accepted": call.outcome is Outcome.ACCEPTED,
        "taken": call.started_at,
        "answered": call.ended_at,
        "delivered": bool(call.delivered),
    }


def _grouped(items: Iterable[_V], key: Callable[[_V], _K]) -> Mapping[_K, list[_V]]:
    found: defaultdict[_K, list[_V]] = defaultdict(list)
    for item in items:
        found[key(item)].append(item)
    return found
