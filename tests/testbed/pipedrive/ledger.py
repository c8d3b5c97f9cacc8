"""The ledger: a record of every request, and the queries that tests make. It holds digests and never a token."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from testbed.pipedrive.faults import ArmedFault, Endpoint, Subject
from testbed.pipedrive.tokens import digest_of


class Outcome(StrEnum):
    """What a request did at the simulator, no matter which response its client received."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNTOUCHED = "untouched"
    """A fault ended the request before it took effect."""


@dataclass(kw_only=True)
class Call:
    """One request. `opened` and `closed` put all starts and ends in one order, even while the clock stands still."""

    number: int
    subject: Subject
    opened: int
    started_at: float
    outcome: Outcome = Outcome.PENDING
    error: str | None = None
    """The error code, if the request was refused."""
    replayed: bool = False
    """Whether the refresh token in the request had already been replaced by a successor."""
    issued: str | None = None
    """The digest of the refresh token that was issued."""
    issued_lineage: str | None = None
    """The whole digest of the refresh token that was issued: clients may name a copy of it so."""
    issued_access: str | None = None
    """The digest of the access token that was issued."""
    issued_grant: str | None = None
    """The grant that the issued tokens belong to. The subject of an exchange has none yet."""
    fault: str | None = None
    """The fault that struck, as `kind before` or `kind after`."""
    status: int | None = None
    delivered: bool | None = None
    """Whether the whole response was written to a connection that was still open; None while in progress."""
    ended_at: float | None = None
    closed: int | None = None
    """When the response was written, or the connection closed on either side."""

    @property
    def rotated(self) -> bool:
        """Return whether this call replaced the refresh token in the request."""
        return self.issued is not None and self.issued != self.subject.digest

    @property
    def is_refresh(self) -> bool:
        """Return whether the call sent a refresh token to the token endpoint."""
        return self.subject.endpoint is Endpoint.TOKEN and self.subject.credential == "refresh_token"

    @property
    def is_exchange(self) -> bool:
        """Return whether the call sent an authorization code to the token endpoint."""
        return self.subject.endpoint is Endpoint.TOKEN and self.subject.credential == "authorization_code"

    def overlaps(self, later: "Call") -> bool:
        """Return whether a later call began before this one ended."""
        return self.opened < later.opened and (self.closed is None or later.opened < self.closed)


@dataclass(frozen=True, kw_only=True)
class DoubleSpend:
    """A refresh token that was sent again after it had been accepted and replaced.

    `spent.delivered` shows whether the client could have known.
    """

    digest: str
    spent: Call
    again: tuple[Call, ...]


class Ledger:
    """Every call in order of arrival."""

    def __init__(self, calls: Iterable[Call] = ()) -> None:
        """Start empty, or with calls that were read from another ledger."""
        self.calls = list(calls)
        self._moment = 0
        self._changed = asyncio.Event()

    def open(self, subject: Subject, *, now: float) -> Call:
        """Record that a request has arrived."""
        call = Call(number=len(self.calls) + 1, subject=subject, opened=self._tick(), started_at=now)
        self.calls.append(call)
        return call

    def meet(self, call: Call, armed: ArmedFault) -> None:
        """Record that a fault strikes a call."""
        call.fault = f"{armed.fault.kind} {armed.fault.effect}"
        self._tick()

    def settle(self, call: Call, outcome: Outcome, *, error: str | None = None, issued: str | None = None) -> None:
        """Record what a call did."""
        call.outcome, call.error, call.issued = outcome, error, issued
        self._tick()

    def close(self, call: Call, *, now: float, status: int | None = None) -> None:
        """Record the end of a call; a status means that the whole response was delivered."""
        call.closed, call.ended_at = self._tick(), now
        call.status, call.delivered = status, status is not None

    def clear(self) -> None:
        """Forget every call."""
        self.calls.clear()

    def refreshes(self, grant_id: str | None = None) -> list[Call]:
        """Return every attempt to refresh, of one grant or of all."""
        return [call for call in self.calls if call.is_refresh and grant_id in {None, call.subject.grant_id}]

    def of_token(self, token: str) -> list[Call]:
        """Return every call made with a token or code, at any endpoint."""
        digest = digest_of(token)
        return [call for call in self.calls if call.subject.digest == digest]

    def by_token(self, grant_id: str) -> dict[str, list[Call]]:
        """Return every call of a grant by the digest of the token it was made with."""
        found: dict[str, list[Call]] = {}
        for call in self.calls:
            if call.subject.grant_id == grant_id and call.subject.digest is not None:
                found.setdefault(call.subject.digest, []).append(call)
        return found

    def spent(self, refresh_token: str) -> int:
        """Return how many times a refresh token was accepted."""
        return sum(call.is_refresh and call.outcome is Outcome.ACCEPTED for call in self.of_token(refresh_token))

    def double_spent(self) -> list[DoubleSpend]:
        """Return every refresh token sent again after it had been accepted and replaced."""
        found = []
        for digest, calls in self._refreshes_by_digest().items():
            spent = next((call for call in calls if call.rotated), None)
            again = tuple(call for call in calls if spent is not None and call.opened > spent.opened)
            if spent is not None and again:
                found.append(DoubleSpend(digest=digest, spent=spent, again=again))
        return found

    def overlaps(self) -> list[tuple[Call, Call]]:
        """Return every pair of refreshes of one refresh token that were in flight at the same time."""
        pairs = (pair for calls in self._refreshes_by_digest().values() for pair in combinations(calls, 2))
        return [(first, second) for first, second in pairs if first.overlaps(second)]

    def in_flight(self) -> list[Call]:
        """Return every call whose client is still waiting."""
        return [call for call in self.calls if call.closed is None]

    async def until(self, condition: Callable[["Ledger"], bool], *, within: float = 5) -> None:
        """Wait until a condition holds. Raises TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            while not condition(self):
                await self._changed.wait()

    def _refreshes_by_digest(self) -> dict[str, list[Call]]:
        found: dict[str, list[Call]] = {}
        for call in self.refreshes():
            if call.subject.digest is not None:
                found.setdefault(call.subject.digest, []).append(call)
        return found

    def _tick(self) -> int:
        self._moment += 1
        self._changed.set()
        self._changed = asyncio.Event()
        return self._moment
