"""Checks the invariants after every effect at a port. Their letters are those of docs/refresh-protocol.md.

What is sent and what becomes of a consent have modules of their own; the rest is judged here.
"""

import asyncio
from base64 import b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fakes.pipedrive import Send
from pipedrive_operator.core.grant.grant import Grant
from simulation.causes import without_cause
from simulation.consent_judge import JudgeOfConsents
from simulation.copies import refresh_tokens, with_ancestors
from simulation.history import PERSON
from simulation.record import LONGEST_CHECK, name_of_task
from simulation.sending import JudgeOfRequests
from simulation.traces import named

LONGEST_STOP = 45.0
"""In seconds: how long a process that is asked to stop waits for its results to be stored."""


@dataclass
class Promises(JudgeOfRequests, JudgeOfConsents):
    """The judge of everything that the promises are about."""

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

    def stored(
        self,
        values: Mapping[str, object],
        *,
        by: str,
        candidate: Grant | None = None,
        is_meant: bool = False,
    ) -> None:
        """Record a new version of the grant, and the candidate beside it.

        `is_meant` says whether a person or a consent has written it, and means to remove what Vault held.
        """
        now, access = asyncio.get_running_loop().time(), str(values.get("access_token", ""))
        self.held_until[self.newest] = self.access_until[self.newest_access] = now
        before = {token for token in (self.newest, self.candidate) if token} | self.named
        self.named = named(values, self.lines)
        after = refresh_tokens(values, candidate) | self.named
        refused, _, _ = self.refused.get(by, ("", False, 0.0))
        given_up = refused if refused == self.newest else None
        is_meant = is_meant or by == PERSON
        self.traces.see(before, after, self.line, ancestors=self._ancestors, is_meant=is_meant, refused=given_up)
        if by == PERSON:
            self.edits.append((now, values))
        if is_meant and values.get("refresh_token") != self.newest:
            self.replaced_at[self.newest] = now
        self.newest = str(values.get("refresh_token", ""))
        if access != self.newest_access:
            self.reissued -= {access}
        if self.newest in self.traces.returned:
            self.reissued.add(access)
        self.newest_access = access
        self.expect(self.is_right(self.newest), f"(h) Vault holds {self.newest}, which is of another account")
        self._see_candidate(candidate)
        self.copies.hold(refresh_tokens(values, candidate), self.sends, now)
        self.held_since.setdefault(self.newest, now)
        self.copied |= self.copies.since.keys()
        self.stored_access.setdefault(access, now)
        self.holder = str(values.get("refresh_holder", ""))
        if "refresh_id" in values:
            self.intents.append(now)
        self._writes("intent" if "refresh_id" in values else "grant", by=by)

    def _ancestors(self, token: str) -> set[str]:
        return with_ancestors([token], self.sends) - {token}

    def _see_candidate(self, candidate: Grant | None) -> None:
        if self.candidate is not None:
            self.candidate_until[self.candidate] = asyncio.get_running_loop().time()
        self.candidate = candidate.refresh_token.reveal() if candidate is not None else None
        terms = candidate.terms if candidate is not None else None
        exchange = (terms.consent, terms.consent_generation) if terms is not None else None
        if exchange != self.candidate_exchange:
            self.candidate_exchange, self.candidate_since = exchange, asyncio.get_running_loop().time()

    def restored(self, values: Mapping[str, object], *, by: str, candidate: Grant | None = None) -> None:
        """Record that a person restored an old version of the grant, which undoes what was stored since."""
        now = asyncio.get_running_loop().time()
        self.restores.append((now, values))
        self.copies.restore(refresh_tokens(values, candidate), self.sends, self.line, now)
        self.stored(values, by=by, candidate=candidate, is_meant=True)
        self.reissued.add(self.newest_access)

    def is_undone(self, send: Send) -> bool:
        """Return whether every mark of a request has gone from Vault: its intent, and what became of it.

        A restore has removed them, or a person or a consent that replaced the token, before an old copy of it returned
        from escrow.
        """
        replaced_at = self.replaced_at.get(send.token, float("-inf"))
        later = [values for at, values in self.restores if at >= max(send.began, replaced_at)]
        return not _is_marked(later[-1], send) if later else replaced_at >= send.began

    def overwritten(self, tokens: Iterable[str], *, by: str, asked: float, knew: float) -> None:
        """Check that a process could not know that it wrote over another version with the same number: (b).

        It knows what Vault held at a moment, and compares again if it has not asked since. The time in which
        it is stopped does not count.
        """
        is_recent = self.ran(by, knew, asked) <= LONGEST_CHECK + self.lag
        for token in tokens:
            self.expect(is_recent, f"(b) {by} wrote over {token}, unseen since {knew:.3f}")
            self.history.lose(token, "written over, because a version number had returned", token)

    def knows(self, *, by: str, as_of: float) -> None:
        """Record that a process knows what Vault held at a moment."""
        self.known_as_of[by] = max(as_of, self.known_as_of.get(by, as_of))

    def lists(self, *, by: str, as_of: float) -> None:
        """Record that a process knows what was in escrow at a moment."""
        self.listed_as_of[by] = max(as_of, self.listed_as_of.get(by, as_of))
        task = (by, name_of_task())
        self.listed_in[task] = max(as_of, self.listed_in.get(task, as_of))

    def acknowledges(self, values: Mapping[str, object], *, by: str) -> None:
        """Record that a process knows what Vault holds."""
        if values.get("refresh_holder") != by or values["refresh_id"] == self.acknowledged.get(by):
            return
        self.acknowledged[by] = str(values["refresh_id"])
        self.listed_before_intent[by] = self.listed_as_of.get(by, float("-inf"))

    def published(self, where: str, data: Mapping[str, str], *, by: str) -> None:
        """Check a Secret when it is written: (b), stored before published, and (c)."""
        decoded = {key: b64decode(value).decode() for key, value in data.items()}
        access, expires_at = decoded.get("access_token", ""), decoded.get("expires_at", "")
        self.expect(access in self.stored_access, f"(b) {where} publishes {access} before Vault has stored it")
        line, now = (where, self.lines.get(access, access)), (self.issued.get(access, 0.0), expires_at)
        newest = max(now, self.newest_in.get(line, now))
        in_order = now == newest or self._is_back(access)
        self.expect(in_order, f"(c) {where} went back to {access} until {expires_at}")
        self.newest_in[line] = newest
        self._writes("Secret", by=by, where=where)

    def _is_back(self, access: str) -> bool:
        """Return whether Vault holds an older access token again, or has held it a moment ago."""
        until = float("inf") if access == self.newest_access else self.access_until.get(access, 0.0)
        return access in self.reissued and asyncio.get_running_loop().time() - until <= LONGEST_CHECK + self.lag

    def reported(self, where: str, status: Mapping[str, Any], *, was: str | None, by: str) -> None:
        """Check a status when it is written: (e) and (f)."""
        text = str(status)
        self.expect(not any(secret in text for secret in self.secrets), f"(f) the status of {where} contains a token")
        reasons = {one["type"]: one["reason"] for one in status.get("conditions", ())}
        asks = reasons.get("Authorized") == "ConsentRequired"
        if was == "ConsentRequired" and not asks:
            self.consented[where] = by, asyncio.get_running_loop().time()
        if asks and was != "ConsentRequired" and not self._is_late(where, by):
            message = f"(e) {where} asks for consent, but the newest refresh token was not refused"
            token, was_newest, at = self.refused.get(by, ("", False, 0.0))
            replaced_at = self.held_until.get(token, float("inf"))
            knows_no_other = was_newest and self.known_as_of.get(by, 0.0) <= replaced_at + LONGEST_CHECK
            is_newest = token == self.newest or knows_no_other or self._seemed_newest(token, by, at)
            self.expect(is_newest, message)
            seen = at <= self.listed_as_of.get(by, 0.0)
            copies = (one for one, since in self.escrow_of(by).items() if since < at and self.is_alive(one))
            living = sorted(one for one in copies if (by, one) not in self.unwanted)
            self.expect(not (seen and living), f"(e) {where} asks for consent, but the escrow holds {living}")
        is_waiting = reasons.get("Ready") == "Pending" and self.holder not in {"", by}
        self._writes("status", by=by, where=where, is_caused=is_waiting)

    def _is_late(self, where: str, by: str) -> bool:
        """Return whether a process that was stopped repeats what was in the status when it began to write it."""
        changed_by, at = self.consented.get(where, (by, 0.0))
        return changed_by != by and self.ran(by, at, asyncio.get_running_loop().time()) <= LONGEST_CHECK + self.lag

    def _seemed_newest(self, token: str, by: str, refused_at: float) -> bool:
        """Return whether the last read after a refusal may have found the refused token, because a standby lags."""
        known = self.known_as_of.get(by, 0.0)
        return self.held_until.get(token, 0.0) >= known >= refused_at - self.lag

    def hands_over(self, where: str, before: str, after: str, *, by: str) -> None:
        """Check who gives up or takes over a Lease: (g)."""
        if not after:
            self.expect(before == by, f"(g) {by} released the Lease of {where}, which {before} held")
            left = self.unfinished(by) if self._may_still_store(by) else None
            self.expect(left is None, f"(g) {by} released the Lease before it had stored {left}")
        elif before in self.stopping and before not in self.dead and self._may_still_store(before):
            self.expect(self.may_lose_lease(before), f"(g) {before} lost the Lease to {after} before it had ended")

    def stopped(self, by: str) -> None:
        """Check a process that has ended in order: (g)."""
        left = self.unfinished(by)
        if left is not None:
            self.expect(not self._may_still_store(by), f"(g) {by} ended before it had stored {left}")
            self.expect(self.is_excusable(by), f"(b) {by} ended, and had made no copy of {left} although it could")
            self.history.lose(left, "stopped while nothing could store the result", f"{by} after {LONGEST_STOP:.0f} s")

    def _may_still_store(self, by: str) -> bool:
        """Return whether a process has time left to store its results; one that was not asked to stop has."""
        now = asyncio.get_running_loop().time()
        return now - self.stopping.get(by, now) < LONGEST_STOP

    def _writes(self, what: str, *, by: str, where: str = "", is_caused: bool = False) -> None:
        if not is_caused:
            written = f"{what} of {where}" if where else what
            self.writes.append((asyncio.get_running_loop().time(), f"{by} wrote the {written}"))
        self.on_effect(what, by)

    def wrote_for_nothing(self, since: float) -> str | None:
        """Return a write without a cause after the faults have ended: (d)."""
        now = asyncio.get_running_loop().time()
        return without_cause(self.writes, self.sends, self.intents, self.held_since, since=since, now=now)

    def defect(self, what: str) -> None:
        """Record a defect of the operator."""
        self.expect(False, f"a defect: {what}")  # noqa: FBT003  as assert reads


def _is_marked(values: Mapping[str, object], send: Send) -> bool:
    """Return whether a document still has a mark of a request with its refresh token."""
    has_mark = "refresh_unanswered" in values or values.get("refresh_id") == send.intent
    return has_mark and values.get("refresh_token") == send.token
