"""Judges what is sent to Pipedrive: that no token is sent beside its use or again (a), and none that is not due (d)."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from fakes.pipedrive import Send
from simulation.early_refreshes import EarlyRefreshes
from simulation.record import LONGEST_CHECK, Record, name_of_task

LONGEST_DECISION = 45.0
"""In seconds: how long ago a process may have decided that a refresh is due when it sends a token."""


@dataclass
class JudgeOfRequests(Record):
    """Judges each request when it leaves."""

    def sent(self, send: Send, *, left: timedelta | None, due: timedelta) -> None:
        """Check a request when it leaves: (a), and whether a refresh was due: (d).

        Only what Vault holds can be due: the rest is a code, a candidate, or was replaced a moment ago.
        """
        for former in self.sends:
            if former.token == send.token:
                self.expect(not send.is_code, f"(a) {send.token} was sent again")
                self._sent_beside(former, send)
                if former.successor is not None and self.rotates:
                    is_own = former.by == send.by and all(at <= former.began for at, _ in self.restores)
                    self._sent_again(send, former.successor, is_own=is_own)
        intent = self.acknowledged.get(send.by)
        self.expect(intent is not None, f"(a) {send.token} was sent without an acknowledged intent")
        self.expect((str(intent), send.token) not in self.used, f"(a) {send.token} was sent twice under {intent}")
        self.used.add((str(intent), send.token))
        send.intent = str(intent)
        is_stopping = asyncio.get_running_loop().time() > self.stopping.get(send.by, float("inf"))
        self.expect(not is_stopping, f"(g) {send.token} was sent by {send.by}, which was asked to stop")
        is_due = (
            send.token != self.newest
            or left is None
            or left <= due
            or self._has_failed([former for former in self.sends if former.token == send.token][-1:])
            or self._settles_escrow(send)
            or self._is_refreshed_unseen(send)
        )
        self.expect(is_due, f"(d) {send.token} was refreshed, but the access token is valid for {left}")
        self.sends.append(send)
        if send.is_code:
            self.meant[send.token] = self.line(self.newest)
        self.on_effect("send", send.by)

    def _is_refreshed_unseen(self, send: Send) -> bool:
        """Return whether the grant was refreshed after the sender's last check, without a new refresh token.

        With a new refresh token, this is a token that was sent again within a moment, and (a) judges it.
        """
        known, stored_at = self.known_as_of.get(send.by, 0.0), self.stored_access.get(self.newest_access, 0.0)
        is_unseen = not self.rotates and known <= stored_at and self._is_recent(known)
        if is_unseen:
            kind = "refreshed without need within a moment, as its refresh token does not rotate"
            self.history.excuse(kind, f"{send.token}, after its access token was stored")
        return is_unseen

    def _settles_escrow(self, send: Send) -> bool:
        """Return whether a copy in the escrow of the sender's cluster was the reason to refresh.

        What Pipedrive has decided about a copy and one grant says nothing about the copy and the grant of a consent.
        """
        copies = self.in_escrow(send.by, send.began - LONGEST_DECISION)
        early = self.early.setdefault((send.by, self.line(self.newest)), EarlyRefreshes())
        listed_at = self.listed_before_intent.get(send.by, float("-inf"))
        is_allowed = bool(copies) and early.allows(copies, send, listed_at=listed_at)
        if is_allowed:
            self.history.excuse("refreshed early to settle an escrow", send.token)
        return is_allowed

    def leads(self, by: str) -> None:
        """Record that a process begins to lead: it has forgotten the pauses of an earlier time."""
        self.early = {key: early for key, early in self.early.items() if key[0] != by}

    def _is_recent(self, known: float) -> bool:
        return asyncio.get_running_loop().time() - known <= LONGEST_CHECK + self.lag

    def _has_failed(self, last: Sequence[Send]) -> bool:
        """Return whether the last refresh with a token, which was due, has brought nothing: then it is due still."""
        return any(send.is_lost or (send.ended is not None and send.successor is None) for send in last)

    def _sent_beside(self, former: Send, send: Send) -> None:
        """Check that a former request is over, or that nobody has to wait for its answer any more."""
        if former.ended is not None:
            return
        has_waited, is_forgotten = send.began >= former.began + self.patience, self._is_forgotten(former, send.by)
        self.expect(has_waited or is_forgotten, f"(a) two sends of {send.token} overlap")
        is_early = is_forgotten and not has_waited
        kind = "sent again after a person had removed its intent" if is_early else "sent again after four time-outs"
        self.history.excuse(kind, f"{send.token}, which waits at Pipedrive")

    def _is_forgotten(self, request: Send, by: str) -> bool:
        """Return whether a process cannot know of another one's request, because a person has removed its intent."""
        later = (values for at, values in self.edits if at > request.began)
        return by != request.by and any(values.get("refresh_id") != request.intent for values in later)

    def _sent_again(self, send: Send, successor: str, *, is_own: bool) -> None:
        """Check that the sender could not know that a token's successor is stored, in Vault or in escrow: (a).

        What it has found in the escrow of its own cluster, it knows, whatever Vault shows, and so a candidate that it
        has sent itself, unless Vault was restored since. A grant may be sent again: only Pipedrive knows whether it is
        alive.
        """
        is_known = is_own and send.token != self.newest
        stored_at, kept_at = self.copies.since.get(successor), self.kept_since(send.by, successor)
        known, listed = self.known_as_of.get(send.by, 0.0), self._listed(send.by)
        in_escrow = f"its successor {successor} was kept in escrow"
        if kept_at is not None and kept_at < listed:
            self.expect(False, _again(send, in_escrow, kept_at))  # noqa: FBT003  as assert reads
        elif stored_at is not None and not is_known and self.traces.explain(send.token, self.line(send.token)):
            self.history.excuse("sent again after its line had gone from Vault", send.token)
        elif stored_at is not None:
            self._excuse_or_break(send, stored_at, known, f"its successor {successor} was stored")
        elif kept_at is not None:
            self._excuse_or_break(send, kept_at, listed, in_escrow)
        elif successor in self.copies.undone:
            self.history.excuse("sent again after a restore undid its successor", send.token)

    def _listed(self, by: str) -> float:
        """Return when a sender last listed the escrow: behind the fence, or any of its tasks before the intent."""
        behind_fence = self.listed_in.get((by, name_of_task()), 0.0)
        return max(behind_fence, self.listed_before_intent.get(by, 0.0))

    def _excuse_or_break(self, send: Send, since: float, known: float, what: str) -> None:
        is_unseen = since >= known and self._is_recent(known)
        self.expect(is_unseen, _again(send, what, since))
        self.history.excuse("sent again within a moment", f"{send.token}, after {what}")


def _again(send: Send, what: str, since: float) -> str:
    return f"(a) {send.token} was sent again after {what} at {since:.3f}"
