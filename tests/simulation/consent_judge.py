"""Judges what becomes of a consent: (h)."""

import asyncio
from dataclasses import dataclass

from simulation.record import LONGEST_CHECK, Record


@dataclass
class JudgeOfConsents(Record):
    """Judges what replaces a grant, what is reported about a consent, and whether its result is kept."""

    def promoted(self, exchange: tuple[str, int], token: str, *, over: str) -> None:
        """Record that the grant of a consent replaces another one in Vault: the one that it is meant to replace.

        Nobody has meant a grant that was written after the code was sent. It may be replaced only if it is dead.
        """
        self.promotions[exchange] = self.line(token), asyncio.get_running_loop().time()
        may_replace = self.line(over) == self.meant.get(str(self.line(token))) or not self.is_alive(over)
        # A token is lost if its version number had returned: (b) judges who could know that.
        is_excusable = may_replace or over in self.history.lost
        self.expect(
            is_excusable, f"(h) {token} replaced {over}, which is alive and was written after its code was sent"
        )
        if may_replace:
            self.replaced.add(over)

    def consent_reported(self, where: str, exchange: tuple[str, int], reason: str, *, by: str) -> None:
        """Check what a process reports about the last answer to a consent: (h)."""
        is_connected = exchange in self.promotions or self._holds_older(exchange, by)
        self.expect(reason != "Connected" or is_connected, f"(h) {where} is connected, but nothing is stored")
        since = self._result_since(exchange)
        is_doubtful = reason != "Uncertain" or since > self.known_as_of.get(by, 0.0) - LONGEST_CHECK - self.lag
        self.expect(is_doubtful, f"(h) {where} is uncertain, but Vault has held its result since {since:.3f}")

    def _holds_older(self, exchange: tuple[str, int], by: str) -> bool:
        """Return whether Vault holds the grant of an earlier answer to the same consent, as far as a process can know.

        If the account of a newer answer is a wrong one, the consent is connected by the earlier one.
        """
        uid, generation = exchange
        lines = {line for (one, other), (line, _) in self.promotions.items() if one == uid and other < generation}
        known = self.known_as_of.get(by, 0.0) - LONGEST_CHECK - self.lag
        was_held = any(self.line(token) in lines and until >= known for token, until in self.held_until.items())
        return self.line(self.newest) in lines or was_held

    def _result_since(self, exchange: tuple[str, int]) -> float:
        """Return since when Vault holds the result of an exchange, as a candidate or as the grant; infinity if not."""
        if self.candidate_exchange == exchange:
            return self.candidate_since
        line, since = self.promotions.get(exchange, ("", float("inf")))
        return since if self.line(self.newest) == line else float("inf")

    def unconnected(self) -> str | None:
        """Return an exchange whose result was copied, and neither became the grant nor was handed over: (h)."""
        for send in self.sends:
            line = self.descendants(send.token)
            is_needed = send.is_code and bool(line & self.copied) and self.is_right(send.token)
            is_lost = bool(line & (self.held_since.keys() | self.handed_over | self.history.lost))
            if is_needed and not is_lost and any(self.is_alive(token) for token in line):
                return f"(h) the result of {send.token} was dropped"
        return None

    def drops_escrow(self, token: str, *, by: str) -> None:
        """Check that a result in escrow is dropped only if nobody needs it: (b), or (h) if it is that of a consent.

        Vault has held it, another cluster keeps it, or Pipedrive has accepted a refresh of the grant in Vault since a
        copy was first kept, in any cluster, whose answer the process has got: then the one in Vault is alive. A process
        that was stopped may keep the result once more after that. The refresh of another process counts if this one has
        read Vault since, or was stopped after it had read that Vault holds the result as a candidate.
        """
        is_of_refresh = self.line(token) in {self.line(one) for one in self.held_since}
        self.expect(
            self._may_be_dropped(token, by),
            f"({'b' if is_of_refresh else 'h'}) {by} dropped {token}, for which Pipedrive had not decided",
        )
        if self.is_alive(self.newest) and token != self.newest:
            self.replaced.add(token)

    def must_keep_escrow(self, token: str, *, by: str) -> None:
        """Record that a webhook has kept a process from dropping a candidate, whose copy is a leftover since then.

        A copy of what was the grant may be needed again, after a restore of Vault.
        """
        if token not in self.held_since and self._may_be_dropped(token, by):
            self.unwanted.add((by, token))

    def _may_be_dropped(self, token: str, by: str) -> bool:
        has_no_copy = token not in self.held_since and token != self.candidate and token not in self.escrowed()
        is_waiting = token in self.handed_over and has_no_copy and self.is_alive(token)
        first_kept_at, known = self.first_kept.get(token, float("inf")), self.known_as_of.get(by, 0.0)
        is_decided = any(
            send.successor is not None
            and not send.is_lost
            and send.token in self.held_since
            and send.began >= first_kept_at
            and (send.by == by or (send.ended or known) < known or self._was_a_candidate(token, by, known))
            for send in self.sends
        )
        return not is_waiting or is_decided or not self.is_right(token)

    def _was_a_candidate(self, token: str, by: str, known: float) -> bool:
        """Return whether Vault held a candidate at the last read of a process, which has hardly run since."""
        is_recent = self.ran(by, known, asyncio.get_running_loop().time()) <= LONGEST_CHECK + self.lag
        return is_recent and self.candidate_until.get(token, float("-inf")) >= known
