"""Checks the invariants after every effect at a port. Their letters are those of docs/refresh-protocol.md.

The first broken promise is recorded, and raised later: an operator would handle an exception as an error of its port.
Nothing here knows how the operator works.
"""

import asyncio
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fakes.pipedrive import Send
from pipedrive_operator.core.grant.grant import Grant
from simulation.causes import without_cause
from simulation.copies import Copies, refresh_tokens
from simulation.history import History

LONGEST_CHECK = 6.0
"""In seconds: how long ago a process may have asked Vault when it sends a token."""
LONGEST_DECISION = 45.0
"""In seconds: how long ago a process may have decided that a refresh is due when it sends a token."""
LONGEST_STOP = 45.0
"""In seconds: how long a process that is asked to stop waits for its results to be stored."""


@dataclass
class Promises:
    """The events that the promises are about."""

    history: History
    rotates: bool = True
    patience: float = float("inf")
    """For how many seconds the answer to a request must be awaited."""
    lag: float = 0.0
    """In seconds: how old a version may be that a read of Vault finds."""
    dead: set[str] = field(default_factory=set)
    """The processes that were killed."""
    stopping: dict[str, float] = field(default_factory=dict)
    """When each process was asked to stop."""
    broken: str | None = None
    sends: list[Send] = field(default_factory=list)
    copies: Copies = field(default_factory=Copies)
    """The refresh tokens that Vault has held, until a restore undid them."""
    stored_access: dict[str, float] = field(default_factory=dict)
    """When Vault first stored each access token."""
    held: set[str] = field(default_factory=set)
    """Every refresh token that Vault has ever held as the grant, not as a candidate."""
    handed_over: set[str] = field(default_factory=set)
    """The refresh tokens of verified candidates that got into escrow, because only Pipedrive can decide about them."""
    copied: set[str] = field(default_factory=set)
    """Every refresh token that Vault has ever held, as the grant or as a candidate, or an escrow."""
    acknowledged: dict[str, str] = field(default_factory=dict)
    """The last acknowledged intent of each holder."""
    used: set[tuple[str, str]] = field(default_factory=set)
    """The pairs of an intent and a token that was sent under it."""
    newest: str = ""
    """The refresh token that Vault holds."""
    held_until: dict[str, float] = field(default_factory=dict)
    """When Vault last held each refresh token, if it holds another one."""
    candidate: str | None = None
    """The refresh token of the candidate in Vault."""
    candidate_exchange: tuple[str, int] | None = None
    """The consent of the candidate in Vault, and the generation of its answer."""
    candidate_since: float = float("inf")
    """Since when Vault has held a candidate of that exchange."""
    holder: str = ""
    """The holder of the intent in Vault; empty if there is none."""
    newest_access: str = ""
    """The access token that Vault holds."""
    refused: dict[str, tuple[str, bool, float]] = field(default_factory=dict)
    """The last refused token of each holder, whether it was the newest one at that time, and the time."""
    newest_in: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    """When the access token of each line was issued that a Secret last held, and its expiry.

    A consent begins a line, and so does a restore, and an old copy that is put back from escrow. The expiry alone does
    not show the order: it is by the clock of the process that refreshed.
    """
    issued: dict[str, float] = field(default_factory=dict)
    """When each access token was issued."""
    lines: dict[str, str] = field(default_factory=dict)
    """The line of each token: the token of the consent that it descends from."""
    in_escrow: Callable[[str, float], bool] = lambda _by, _since: False
    """Returns whether a process's own cluster has had an escrow since a moment: it is a reason to refresh early."""
    known_as_of: dict[str, float] = field(default_factory=dict)
    """The moment at which each process last knew what Vault held."""
    listed_as_of: dict[str, float] = field(default_factory=dict)
    """The moment at which each process last knew what was in escrow."""
    kept_since: Callable[[str, str], float | None] = lambda _by, _token: None
    """Returns since when a token is in the escrow of a process's own cluster."""
    unfinished: Callable[[str], str | None] = lambda _by: None
    """Returns what a process has sent and neither stored nor lost."""
    is_excusable: Callable[[str], bool] = lambda _by: True
    """Returns whether a process could not copy yet what only it holds."""
    was_frozen: Callable[[str, float], bool] = lambda _by, _since: False
    """Returns whether a process was frozen at any time since a moment."""
    may_lose_lease: Callable[[str], bool] = lambda _by: True
    """Returns whether something has kept a process from renewing its Lease since it was asked to stop."""
    on_effect: Callable[[str, str], None] = lambda _what, _by: None
    """Is called with every effect and its process, before the process gets its answer."""
    writes: list[tuple[float, str]] = field(default_factory=list)
    """The times and descriptions of all writes, except reports that a process waits for another one's intent."""
    intents: list[float] = field(default_factory=list)
    """When each intent was written."""
    secrets: set[str] = field(default_factory=set)
    """Every token that was ever issued."""
    is_right: Callable[[str], bool] = lambda _token: True
    """Returns whether a refresh token belongs to the account that the credentials are for."""
    connected: set[str] = field(default_factory=set)
    """The uids of the consents whose grant Vault has held."""
    promotions: dict[tuple[str, int], tuple[str | None, float]] = field(default_factory=dict)
    """The line of the grant that each exchange brought, and when it got into Vault."""
    meant: dict[str, str | None] = field(default_factory=dict)
    """The line that each code is meant to replace: that of the grant which Vault held when the code was sent."""
    replaced: set[str] = field(default_factory=set)
    """The refresh tokens that a consent has replaced in Vault, or that lost against one that is alive."""
    restored_at: float = float("-inf")
    """When Vault was last restored, which may have removed the intent of a request in flight."""
    put_back: set[str] = field(default_factory=set)
    """The spent refresh tokens that Vault got when it held nothing of their line: an old copy, from an escrow."""
    is_alive: Callable[[str], bool] = lambda _token: True
    """Returns whether Pipedrive accepts a refresh token."""

    def sent(self, send: Send, *, left: timedelta | None, due: timedelta) -> None:
        """Check a request when it leaves: (a), and whether a refresh was due: (d).

        Only what Vault holds can be due: the rest is a code, a candidate, or was replaced a moment ago.
        """
        for former in self.sends:
            if former.token == send.token:
                self._expect(not send.is_code, f"(a) {send.token} was sent again")
                self._sent_beside(former, send)
                if former.successor is not None and self.rotates:
                    self._sent_again(send, former.successor)
        intent = self.acknowledged.get(send.by)
        self._expect(intent is not None, f"(a) {send.token} was sent without an acknowledged intent")
        self._expect((str(intent), send.token) not in self.used, f"(a) {send.token} was sent twice under {intent}")
        self.used.add((str(intent), send.token))
        is_stopping = asyncio.get_running_loop().time() > self.stopping.get(send.by, float("inf"))
        self._expect(not is_stopping, f"(g) {send.token} was sent by {send.by}, which was asked to stop")
        is_due = (
            send.token != self.newest
            or left is None
            or left <= due
            or self.in_escrow(send.by, send.began - LONGEST_DECISION)
            or self._has_failed([former for former in self.sends if former.token == send.token][-1:])
            or self._is_refreshed_unseen(send)
        )
        self._expect(is_due, f"(d) {send.token} was refreshed, but the access token is valid for {left}")
        self.sends.append(send)
        if send.is_code:
            self.meant[send.token] = self._line(self.newest)
        self.on_effect("send", send.by)

    def _is_refreshed_unseen(self, send: Send) -> bool:
        """Return whether the grant was refreshed after the sender's last check, without a new refresh token.

        With a new refresh token, this is a token that was sent again within a moment, and (a) judges it.
        """
        known, stored_at = self.known_as_of.get(send.by, 0.0), self.stored_access.get(self.newest_access, 0.0)
        is_unseen = known <= stored_at and self._is_recent(known)
        if is_unseen:
            self.history.excuse("sent again within a moment", f"{send.token}, after its access token was stored")
        return is_unseen

    def _is_recent(self, known: float) -> bool:
        return asyncio.get_running_loop().time() - known <= LONGEST_CHECK + self.lag

    def _has_failed(self, last: Sequence[Send]) -> bool:
        """Return whether the last refresh with a token, which was due, has brought nothing: then it is due still."""
        return any(send.is_lost or (send.ended is not None and send.successor is None) for send in last)

    def drops_escrow(self, token: str) -> None:
        """Record that an escrow was dropped; nobody needs its token if the one in Vault is alive."""
        if self.is_alive(self.newest) and token != self.newest:
            self.replaced.add(token)

    def _sent_beside(self, former: Send, send: Send) -> None:
        """Check that a former request is over, or that nobody has to wait for its answer any more."""
        if former.ended is not None:
            return
        has_waited, has_no_intent = send.began >= former.began + self.patience, self.restored_at > former.began
        self._expect(has_waited or has_no_intent, f"(a) two sends of {send.token} overlap")
        is_forgotten = has_no_intent and not has_waited
        kind = (
            "sent again after its intent was lost in a restore" if is_forgotten else "sent again after four time-outs"
        )
        self.history.excuse(kind, f"{send.token}, which waits at Pipedrive")

    def _sent_again(self, send: Send, successor: str) -> None:
        """Check that the sender could not know that a token's successor is stored, in Vault or in escrow: (a)."""
        stored_at, kept_at = self.copies.since.get(successor), self.kept_since(send.by, successor)
        known, listed = (times.get(send.by, 0.0) for times in (self.known_as_of, self.listed_as_of))
        if stored_at is not None and (self._has_no_trace_of(send.token) or send.token in self.put_back):
            self.history.excuse("sent again after its line had gone from Vault", send.token)
        elif stored_at is not None:
            self._excuse_or_break(send, stored_at, known, f"its successor {successor} was stored")
        elif kept_at is not None:
            self._excuse_or_break(send, kept_at, listed, f"its successor {successor} was kept in escrow")
        elif successor in self.copies.undone:
            self.history.excuse("sent again after a restore undid its successor", send.token)

    def descendants(self, token: str) -> set[str]:
        """Return what descends from the same consent as a token."""
        return {one for one in self.lines if self._line(one) == self._line(token)}

    def _has_no_trace_of(self, token: str) -> bool:
        """Return whether Vault holds nothing that descends from a token: a person may have replaced it since."""
        line = self._line(token)
        return self._line(self.newest) != line and (self.candidate == token or self._line(self.candidate) != line)

    def _line(self, token: str | None) -> str | None:
        return self.lines.get(token, token) if token is not None else None

    def _excuse_or_break(self, send: Send, since: float, known: float, what: str) -> None:
        is_unseen = since >= known and self._is_recent(known)
        self._expect(is_unseen, f"(a) {send.token} was sent again after {what} at {since:.3f}")
        self.history.excuse("sent again within a moment", f"{send.token}, after {what}")

    def spent(self, send: Send, access_token: str) -> None:
        """Record that Pipedrive has spent a token, before the sender gets the answer."""
        line = self.lines.get(send.token, send.token)
        self.lines |= {str(send.successor): line, access_token: line}
        self.issued[access_token] = asyncio.get_running_loop().time()
        self.on_effect("spend", send.by)
        if send.by in self.dead and (self.rotates or send.is_code):
            self.history.lose(send.successor, "died before the answer", f"{send.by}, to {send.token}")

    def refuses(self, send: Send, *, is_newest: bool) -> None:
        """Record that Pipedrive refused a token."""
        self.refused[send.by] = send.token, is_newest, asyncio.get_running_loop().time()

    def stored(self, values: Mapping[str, object], *, by: str, candidate: Grant | None = None) -> None:
        """Record a new version of the grant, and the candidate beside it."""
        self.held_until[self.newest] = asyncio.get_running_loop().time()
        newest = str(values.get("refresh_token", ""))
        if self._has_no_trace_of(newest) and any(send.token == newest and send.successor for send in self.sends):
            self.put_back.add(newest)
            self._begin_line(str(values.get("access_token", "")), "put back")
        self.newest = newest
        self._expect(self.is_right(self.newest), f"(h) Vault holds {self.newest}, which is of another account")
        self._see_candidate(candidate)
        self.copies.hold(refresh_tokens(values, candidate), self.sends, asyncio.get_running_loop().time())
        self.held.add(self.newest)
        self.copied |= self.copies.since.keys()
        self.newest_access = str(values.get("access_token", ""))
        self.stored_access.setdefault(self.newest_access, asyncio.get_running_loop().time())
        self.holder = str(values.get("refresh_holder", ""))
        if "refresh_id" in values:
            self.intents.append(asyncio.get_running_loop().time())
        self._writes("intent" if "refresh_id" in values else "grant", by=by)

    def _see_candidate(self, candidate: Grant | None) -> None:
        self.candidate = candidate.refresh_token.reveal() if candidate is not None else None
        terms = candidate.terms if candidate is not None else None
        exchange = (terms.consent, terms.consent_generation) if terms is not None else None
        if exchange != self.candidate_exchange:
            self.candidate_exchange, self.candidate_since = exchange, asyncio.get_running_loop().time()

    def promoted(self, exchange: tuple[str, int], token: str, *, over: str) -> None:
        """Record that the grant of a consent replaces another one in Vault: the one that it is meant to replace.

        Nobody has meant a grant that was written after the code was sent. It may be replaced only if it is dead.
        """
        self.connected.add(exchange[0])
        self.promotions[exchange] = self._line(token), asyncio.get_running_loop().time()
        if self._line(over) == self.meant.get(str(self._line(token))) or not self.is_alive(over):
            self.replaced.add(over)

    def consent_reported(self, where: str, exchange: tuple[str, int], reason: str, *, by: str) -> None:
        """Check what a process reports about the last answer to a consent: (h)."""
        is_connected = exchange[0] in self.connected
        self._expect(reason != "Connected" or is_connected, f"(h) {where} is connected, but nothing is stored")
        since = self._result_since(exchange)
        is_doubtful = reason != "Uncertain" or since > self.known_as_of.get(by, 0.0) - LONGEST_CHECK - self.lag
        self._expect(is_doubtful, f"(h) {where} is uncertain, but Vault has held its result since {since:.3f}")

    def _result_since(self, exchange: tuple[str, int]) -> float:
        """Return since when Vault holds the result of an exchange, as a candidate or as the grant; infinity if not."""
        if self.candidate_exchange == exchange:
            return self.candidate_since
        line, since = self.promotions.get(exchange, ("", float("inf")))
        return since if self._line(self.newest) == line else float("inf")

    def unconnected(self) -> str | None:
        """Return an exchange whose result was copied, and neither became the grant nor was handed over: (h)."""
        for send in self.sends:
            line = self.descendants(send.token)
            is_needed = send.is_code and bool(line & self.copied) and self.is_right(send.token)
            is_lost = bool(line & (self.held | self.handed_over | self.history.lost))
            if is_needed and not is_lost and any(self.is_alive(token) for token in line):
                return f"(h) the result of {send.token} was dropped"
        return None

    def restored(self, values: Mapping[str, object], *, by: str, candidate: Grant | None = None) -> None:
        """Record that a person restored an old version of the grant, which undoes what was stored since."""
        self.restored_at = asyncio.get_running_loop().time()
        self._begin_line(str(values.get("access_token", "")), "restored")
        self.copies.restore(refresh_tokens(values, candidate), self.sends, self._line, self.restored_at)
        self.stored(values, by=by, candidate=candidate)

    def _begin_line(self, access: str, how: str) -> None:
        """Let an access token begin a line: it is in Vault again although later ones were published."""
        self.lines[access] = f"{self.lines.get(access, access)}, {how}"

    def overwritten(self, tokens: Iterable[str], *, by: str, asked: float, knew: float) -> None:
        """Check that a process could not know that it wrote over another version with the same number: (b).

        It knows what Vault held at a moment, and compares again if it has not asked since, unless it is stopped then.
        """
        is_recent = asked - knew <= LONGEST_CHECK + self.lag
        for token in tokens:
            self._expect(
                is_recent or self.was_frozen(by, knew), f"(b) {by} wrote over {token}, unseen since {knew:.3f}"
            )
            self.history.lose(token, "written over, because a version number had returned", token)

    def knows(self, *, by: str, as_of: float) -> None:
        """Record that a process knows what Vault held at a moment."""
        self.known_as_of[by] = max(as_of, self.known_as_of.get(by, as_of))

    def lists(self, *, by: str, as_of: float) -> None:
        """Record that a process knows what was in escrow at a moment."""
        self.listed_as_of[by] = max(as_of, self.listed_as_of.get(by, as_of))

    def acknowledges(self, values: Mapping[str, object], *, by: str) -> None:
        """Record that a process knows what Vault holds."""
        if values.get("refresh_holder") == by:
            self.acknowledged[by] = str(values["refresh_id"])

    def published(self, where: str, data: Mapping[str, str], *, by: str) -> None:
        """Check a Secret when it is written: (b), stored before published, and (c)."""
        decoded = {key: b64decode(value).decode() for key, value in data.items()}
        access, expires_at = decoded.get("access_token", ""), decoded.get("expires_at", "")
        self._expect(access in self.stored_access, f"(b) {where} publishes {access} before Vault has stored it")
        line, now = (where, self.lines.get(access, access)), (self.issued.get(access, 0.0), expires_at)
        self._expect(now >= self.newest_in.get(line, now), f"(c) {where} went back to {access} until {expires_at}")
        self.newest_in[line] = now
        self._writes("Secret", by=by)

    def reported(self, where: str, status: Mapping[str, Any], *, was: str | None, by: str) -> None:
        """Check a status when it is written: (e) and (f)."""
        text = str(status)
        self._expect(not any(secret in text for secret in self.secrets), f"(f) the status of {where} contains a token")
        reasons = {one["type"]: one["reason"] for one in status.get("conditions", ())}
        if reasons.get("Authorized") == "ConsentRequired" and was != "ConsentRequired":
            message = f"(e) {where} asks for consent, but the newest refresh token was not refused"
            token, was_newest, at = self.refused.get(by, ("", False, 0.0))
            replaced_at = self.held_until.get(token, float("inf"))
            knows_no_other = was_newest and self.known_as_of.get(by, 0.0) <= replaced_at + LONGEST_CHECK
            is_newest = token == self.newest or knows_no_other or self._seemed_newest(token, by, at)
            self._expect(is_newest, message)
        is_waiting = reasons.get("Ready") == "Pending" and self.holder not in {"", by}
        self._writes("status", by=by, is_caused=is_waiting)

    def _seemed_newest(self, token: str, by: str, refused_at: float) -> bool:
        """Return whether the last read after a refusal may have found the refused token, because a standby lags."""
        known = self.known_as_of.get(by, 0.0)
        return self.held_until.get(token, 0.0) >= known >= refused_at - self.lag

    def hands_over(self, where: str, before: str, after: str, *, by: str) -> None:
        """Check who gives up or takes over a Lease: (g)."""
        if not after:
            self._expect(before == by, f"(g) {by} released the Lease of {where}, which {before} held")
            left = self.unfinished(by) if self._may_still_store(by) else None
            self._expect(left is None, f"(g) {by} released the Lease before it had stored {left}")
        elif before in self.stopping and before not in self.dead and self._may_still_store(before):
            self._expect(self.may_lose_lease(before), f"(g) {before} lost the Lease to {after} before it had ended")

    def stopped(self, by: str) -> None:
        """Check a process that has ended in order: (g)."""
        left = self.unfinished(by)
        if left is not None:
            self._expect(not self._may_still_store(by), f"(g) {by} ended before it had stored {left}")
            self._expect(self.is_excusable(by), f"(b) {by} ended, and had made no copy of {left} although it could")
            self.history.lose(left, "stopped while nothing could store the result", f"{by} after {LONGEST_STOP:.0f} s")

    def _may_still_store(self, by: str) -> bool:
        """Return whether a process has time left to store its results; one that was not asked to stop has."""
        now = asyncio.get_running_loop().time()
        return now - self.stopping.get(by, now) < LONGEST_STOP

    def _writes(self, what: str, *, by: str, is_caused: bool = False) -> None:
        if not is_caused:
            self.writes.append((asyncio.get_running_loop().time(), f"{by} wrote the {what}"))
        self.on_effect(what, by)

    def wrote_for_nothing(self, since: float) -> str | None:
        """Return a write without a cause after the faults have ended: (d)."""
        return without_cause(self.writes, self.sends, self.intents, since, asyncio.get_running_loop().time())

    def defect(self, what: str) -> None:
        """Record a defect of the operator."""
        self._expect(False, f"a defect: {what}")  # noqa: FBT003  as assert reads

    def _expect(self, holds: bool, promise: str) -> None:  # noqa: FBT001  as assert reads
        if not holds and self.broken is None:
            self.broken = promise
            self.history.note("broken", promise)
