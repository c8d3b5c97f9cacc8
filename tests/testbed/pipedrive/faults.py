"""Faults: how a request is broken, which ones it meets and how often. They are played in `conductor`."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import ClassVar


class Endpoint(StrEnum):
    """What a request asks for; `ALL` is for faults only."""

    AUTHORIZE = "authorize"
    TOKEN = "token"
    REVOKE = "revoke"
    USERS_ME = "users_me"
    ALL = "all"


class Effect(StrEnum):
    """Whether a fault strikes before the request has taken effect, or after, when only the answer is lost."""

    BEFORE = "before"
    AFTER = "after"


class FaultKind(StrEnum):
    """What goes wrong."""

    DROP = "drop"
    """The connection is reset without an answer."""
    CUT = "cut"
    """Half of the answer's body arrives, then the connection closes."""
    HANG = "hang"
    """No answer until the fault is cleared; then the request goes on if its client still waits."""
    SLOW = "slow"
    """Goes on after `delay` seconds, also when the client has left by then."""
    STATUS = "status"
    """An error answer in JSON; `status` defaults to 500."""
    DAILY_LIMIT = "daily_limit"
    """429 as recorded for the daily budget."""
    BURST_LIMIT = "burst_limit"
    """429 as documented for the rolling window."""
    CLOUDFLARE = "cloudflare"
    """403 with an HTML page, as after ignored 429s."""
    PAYMENT_REQUIRED = "payment_required"
    """402: the company account is not open."""
    SCOPE_MISMATCH = "scope_mismatch"
    """403 as for a missing scope."""
    HTML = "html"
    """An HTML page instead of JSON; `status` defaults to 200."""
    NO_TOKEN = "no_token"
    """200 with a JSON object that lacks what was asked for."""
    NO_ERROR = "no_error"
    """A JSON error without `error`; `status` defaults to 400."""
    NO_REFRESH_TOKEN = "no_refresh_token"
    """The true answer without its `refresh_token`; always after the effect."""
    TEXT_EXPIRY = "text_expiry"
    """The true answer with `expires_in` as a string; always after the effect."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Who asks for what with which token: what a fault is matched with and the ledger records."""

    endpoint: Endpoint
    client_id: str | None = None
    grant_type: str | None = None
    credential: str | None = None
    """Kind of the token presented: refresh_token, authorization_code, access_token or api_token."""
    digest: str | None = None
    grant_id: str | None = None
    generation: int | None = None
    company_id: int | None = None
    user_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault; it meets the next `times` requests in scope after `skip` others, or all of them."""

    # The control API refuses a misspelt field; read by pydantic, which this module need not know.
    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    kind: FaultKind
    endpoint: Endpoint = Endpoint.ALL
    effect: Effect = Effect.BEFORE
    times: int | None = None
    skip: int = 0
    client_id: str | None = None
    grant_id: str | None = None
    company_id: int | None = None
    digest: str | None = None
    delay: float = 1
    status: int | None = None
    retry_after: int | None = None

    def concerns(self, subject: Subject) -> bool:
        """Say whether a request is in scope."""
        scope = (
            (self.endpoint if self.endpoint is not Endpoint.ALL else None, subject.endpoint),
            (self.client_id, subject.client_id),
            (self.grant_id, subject.grant_id),
            (self.company_id, subject.company_id),
            (self.digest, subject.digest),
        )
        return all(wanted is None or wanted == actual for wanted, actual in scope)


@dataclass(kw_only=True)
class ArmedFault:
    """A fault in force, with what it has met so far."""

    id: int
    fault: Fault
    seen: int = 0
    hits: int = 0
    cleared: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def strikes(self, subject: Subject) -> bool:
        """Count a request and say whether it is struck."""
        if not self.fault.concerns(subject) or self.hits == self.fault.times:
            return False
        self.seen += 1
        if self.seen <= self.fault.skip:
            return False
        self.hits += 1
        return True


@dataclass
class Faults:
    """All faults in force, oldest first; the first that strikes a request is the only one to do so."""

    _armed: dict[int, ArmedFault] = field(default_factory=dict)
    _ids: "count[int]" = field(default_factory=lambda: count(1), repr=False)

    def __iter__(self) -> Iterator[ArmedFault]:
        """Iterate over the faults in force, also those that have used up their `times`."""
        return iter(self._armed.values())

    def add(self, fault: Fault) -> ArmedFault:
        """Put a fault in force."""
        armed = ArmedFault(id=next(self._ids), fault=fault)
        self._armed[armed.id] = armed
        return armed

    def clear(self, fault_id: int | None = None) -> None:
        """Lift one fault or all; requests that hang go on. Raises KeyError for an unknown id."""
        for key in list(self._armed) if fault_id is None else [fault_id]:
            self._armed.pop(key).cleared.set()

    def take(self, subject: Subject) -> ArmedFault | None:
        """Return the fault that strikes this request."""
        return next((armed for armed in self._armed.values() if armed.strikes(subject)), None)
