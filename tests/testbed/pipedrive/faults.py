"""Faults: what goes wrong with a request, which requests are affected and how often. `conductor` carries them out."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import ClassVar


class Endpoint(StrEnum):
    """The endpoint of a request; `ALL` is for faults only."""

    AUTHORIZE = "authorize"
    TOKEN = "token"
    REVOKE = "revoke"
    USERS_ME = "users_me"
    ALL = "all"


class Effect(StrEnum):
    """Whether a fault strikes before the request takes effect, or afterwards, so that only the response is lost."""

    BEFORE = "before"
    AFTER = "after"


class FaultKind(StrEnum):
    """What goes wrong."""

    DROP = "drop"
    """The connection is reset without a response."""
    CUT = "cut"
    """Half of the response's body arrives, then the connection closes."""
    HANG = "hang"
    """No response until the fault is removed; the request then continues if its client still waits."""
    SLOW = "slow"
    """The request continues after `delay` seconds, even if the client has disconnected."""
    STATUS = "status"
    """An error in JSON; `status` defaults to 500."""
    DAILY_LIMIT = "daily_limit"
    """429 as recorded for the daily budget."""
    BURST_LIMIT = "burst_limit"
    """429 as documented for the rolling window."""
    CLOUDFLARE = "cloudflare"
    """403 with an HTML page, as Cloudflare sends it if a client ignores 429s."""
    PAYMENT_REQUIRED = "payment_required"
    """402: the company account is not open."""
    SCOPE_MISMATCH = "scope_mismatch"
    """403 as for a missing scope."""
    HTML = "html"
    """An HTML page instead of JSON; `status` defaults to 200."""
    NO_TOKEN = "no_token"
    """200 with a JSON object that holds neither tokens nor a user."""
    NO_ERROR = "no_error"
    """A JSON error without `error`; `status` defaults to 400."""
    NO_REFRESH_TOKEN = "no_refresh_token"
    """The real response without its `refresh_token`; always after the effect."""
    TEXT_EXPIRY = "text_expiry"
    """The real response with `expires_in` as a string; always after the effect."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a request is about: faults are matched against it, and the ledger records it."""

    endpoint: Endpoint
    client_id: str | None = None
    grant_type: str | None = None
    credential: str | None = None
    """The kind of token in the request: refresh_token, authorization_code, access_token or api_token."""
    digest: str | None = None
    grant_id: str | None = None
    generation: int | None = None
    company_id: int | None = None
    user_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault. It strikes `times` requests in its scope, or all of them, after it has let `skip` others pass."""

    # For pydantic, so that the control API rejects a misspelt field; this module does not import pydantic.
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
        """Return whether a request is in the scope of the fault."""
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
    """An active fault, with the number of requests that it has seen and struck."""

    id: int
    fault: Fault
    seen: int = 0
    hits: int = 0
    cleared: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def strikes(self, subject: Subject) -> bool:
        """Count a request, and return whether the fault strikes it."""
        if not self.fault.concerns(subject) or self.hits == self.fault.times:
            return False
        self.seen += 1
        if self.seen <= self.fault.skip:
            return False
        self.hits += 1
        return True


@dataclass
class Faults:
    """All active faults, the oldest first. At most one strikes a request: the first that matches."""

    _armed: dict[int, ArmedFault] = field(default_factory=dict)
    _ids: "count[int]" = field(default_factory=lambda: count(1), repr=False)

    def __iter__(self) -> Iterator[ArmedFault]:
        """Iterate over the active faults, including those that have used up their `times`."""
        return iter(self._armed.values())

    def add(self, fault: Fault) -> ArmedFault:
        """Activate a fault."""
        armed = ArmedFault(id=next(self._ids), fault=fault)
        self._armed[armed.id] = armed
        return armed

    def clear(self, fault_id: int | None = None) -> None:
        """Remove one fault or all; requests that hang continue. Raises KeyError for an unknown id."""
        for key in list(self._armed) if fault_id is None else [fault_id]:
            self._armed.pop(key).cleared.set()

    def take(self, subject: Subject) -> ArmedFault | None:
        """Return the fault that strikes this request."""
        return next((armed for armed in self._armed.values() if armed.strikes(subject)), None)
