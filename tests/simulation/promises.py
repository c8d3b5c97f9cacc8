"""What must hold, looked at after every effect at a port; the letters are those of docs/refresh-protocol.md.

The first promise that is broken is kept for the world to raise: an operator would take an exception for a trouble of
its own. Nothing here knows how the operator goes about it.
"""

import asyncio
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fakes.pipedrive import Send
from simulation.history import History

PRELUDE, AFTERMATH = 20.0, 90.0
"""In seconds: what a refresh causes in the calm, from its intent to the last who finds it when they poll Vault."""


@dataclass
class Promises:
    """Everything that the promises are about, as it came to pass."""

    history: History
    rotates: bool = True
    dead: set[str] = field(default_factory=set)
    """Who was killed."""
    broken: str | None = None
    sends: list[Send] = field(default_factory=list)
    stored_refresh: dict[str, float] = field(default_factory=dict)
    """Every refresh token that Vault has held, since when."""
    acknowledged_at: dict[str, float] = field(default_factory=dict)
    """When each holder learned that its last intent stands."""
    stored_access: set[str] = field(default_factory=set)
    acknowledged: dict[str, str] = field(default_factory=dict)
    """The last intent of each holder that Vault has acknowledged."""
    used: set[tuple[str, str]] = field(default_factory=set)
    """Which intent was used to send which token."""
    newest: str = ""
    """The refresh token that Vault holds."""
    newest_access: str = ""
    """The access token that Vault holds."""
    refused: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """What was last refused to a holder, and whether it was the newest that was kept then."""
    expiry: dict[str, str] = field(default_factory=dict)
    """Of each Secret, as it was published last."""
    consents: int = 0
    """How often a person put another grant into Vault."""
    in_escrow: Callable[[], bool] = lambda: False
    """Tells whether something is in escrow: what Vault holds may then be refreshed early, to see whether it lives."""
    on_effect: Callable[[str, str], None] = lambda _what, _by: None
    """Is told of every effect, and by whom, before anybody is answered."""
    writes: list[tuple[float, str]] = field(default_factory=list)
    """What was written when."""
    secrets: set[str] = field(default_factory=set)
    """Every token that was ever given out."""

    def sent(self, send: Send, *, left: timedelta | None, due: timedelta) -> None:
        """Look at a send when it leaves: (a), and whether so little was left of the access token that it was due."""
        for former in self.sends:
            if former.token == send.token:
                self._expect(former.ended is not None, f"(a) two sends of {send.token} overlap")
                stored_at = self.stored_refresh.get(former.successor or "", float("inf"))
                is_spent = self.rotates and stored_at < self.acknowledged_at.get(send.by, 0.0)
                self._expect(not is_spent, f"(a) {send.token} was sent again after its refresh was stored")
        intent = self.acknowledged.get(send.by)
        self._expect(intent is not None, f"(a) {send.token} was sent without an acknowledged intent")
        self._expect((str(intent), send.token) not in self.used, f"(a) {send.token} was sent twice under {intent}")
        self.used.add((str(intent), send.token))
        is_due = left is None or left <= due or self.in_escrow()
        self._expect(is_due, f"(d) {send.token} was refreshed, and the access token lives for {left}")
        self.sends.append(send)
        self.on_effect("send", send.by)

    def spent(self, send: Send) -> None:
        """Note that Pipedrive has spent a token, and the sender does not know yet."""
        self.on_effect("spend", send.by)
        if send.by in self.dead:
            self.history.excuse(f"{send.by} died before the answer to {send.token}")

    def refuses(self, send: Send, *, is_newest: bool) -> None:
        """Note that Pipedrive refused a token."""
        self.refused[send.by] = send.token, is_newest

    def stored(self, values: Mapping[str, object], *, by: str) -> None:
        """Note a version of the grant, when it lands."""
        self.newest = str(values.get("refresh_token", ""))
        self.stored_refresh.setdefault(self.newest, asyncio.get_running_loop().time())
        self.newest_access = str(values.get("access_token", ""))
        self.stored_access.add(self.newest_access)
        self._writes("intent" if "refresh_id" in values else "grant", by=by)

    def restored(self, values: Mapping[str, object], *, by: str) -> None:
        """Note that a person has put back what Vault held before: what was stored since is not."""
        self.consents += 1
        self.stored_refresh.clear()
        self.stored(values, by=by)

    def acknowledges(self, values: Mapping[str, object], *, by: str) -> None:
        """Note that a process knows what Vault holds."""
        if values.get("refresh_holder") == by:
            if self.acknowledged.get(by) != values["refresh_id"]:
                self.acknowledged_at[by] = asyncio.get_running_loop().time()
            self.acknowledged[by] = str(values["refresh_id"])

    def published(self, where: str, data: Mapping[str, str], *, by: str) -> None:
        """Look at a Secret when it is written: stored before published, and (c)."""
        decoded = {key: b64decode(value).decode() for key, value in data.items()}
        access, expires_at = decoded.get("access_token", ""), decoded.get("expires_at", "")
        self._expect(access in self.stored_access, f"(b) {where} publishes {access} before Vault has it")
        is_later = expires_at >= self.expiry.get(where, "") or self.consents > 0
        self._expect(is_later, f"(c) {where} went back to {expires_at}")
        self.expiry[where] = expires_at
        self._writes("Secret", by=by)

    def reported(self, where: str, status: Mapping[str, Any], *, was: str | None, by: str) -> None:
        """Look at a status when it is written: (e) and (f)."""
        told = str(status)
        self._expect(not any(secret in told for secret in self.secrets), f"(f) the status of {where} holds a token")
        reasons = {one["type"]: one["reason"] for one in status.get("conditions", ())}
        if reasons.get("Authorized") == "ConsentRequired" and was != "ConsentRequired":
            message = f"(e) {where} asks for consent, and the newest refresh token was not refused"
            token, was_newest = self.refused.get(by, ("", False))
            self._expect(was_newest or token == self.newest, message)
        self._writes("status", by=by)

    def _writes(self, what: str, *, by: str) -> None:
        self.writes.append((asyncio.get_running_loop().time(), f"{by} wrote the {what}"))
        self.on_effect(what, by)

    def wrote_for_nothing(self, since: float) -> str | None:
        """Return a write that nothing caused, once all is calm: (d). Everything is part of a refresh then."""
        until = asyncio.get_running_loop().time() - PRELUDE
        for moment, what in self.writes:
            is_caused = any(-PRELUDE < moment - send.began < AFTERMATH for send in self.sends)
            if since <= moment < until and not is_caused:
                return f"(d) nothing changed, and at {moment:.3f} {what}"
        return None

    def defect(self, what: str) -> None:
        """Note something that must not happen to a program at all."""
        self._expect(False, f"a defect: {what}")  # noqa: FBT003  as assert reads

    def _expect(self, holds: bool, promise: str) -> None:  # noqa: FBT001  as assert reads
        if not holds and self.broken is None:
            self.broken = promise
            self.history.note("broken", promise)
