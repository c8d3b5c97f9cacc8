"""Judges the refresh tokens that were sent more than once: which of them break a promise, and which are counted. Pure.

The rule is that of the simulation. A token must not be sent once its successor, or what was issued after that, is in
Vault, or in escrow in the sender's own namespace, except in a moment that docs/refresh-protocol.md names: the copy was
acknowledged after the sender's last check, which is a few seconds old at most.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from chaos.attribution import Copy, attribution, sender
from chaos.evidence import TRANSIT, Evidence, Kind, Refresh, Spending

LONGEST_CHECK: Final = 6.0
"""In seconds: how old the sender's last check may be, as in the simulation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentAgain:
    """The refresh tokens that were sent although their successor had a copy."""

    known: Sequence[Refresh]
    """The sender could know of the copy, which breaks the promise."""
    unseen: Sequence[Refresh]
    """The copy was made in the moment after the sender's last check, which is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SentAtOnce:
    """The refreshes that were sent while an earlier one of the same token was in flight."""

    early: Sequence[Refresh]
    """They break the promise."""
    awaited: Sequence[Refresh]
    """The earlier one had been awaited for as long as the protocol says, which is counted."""


def sent_at_once(refreshes: Iterable[Refresh], *, patience: float) -> SentAtOnce:
    """Return the refreshes of a token in flight; `patience` is for how many seconds an answer is awaited."""
    found: dict[str, list[Refresh]] = {}
    for one in sorted(refreshes, key=lambda each: each.taken):
        found.setdefault(one.token, []).append(one)
    pairs = [pair for sent in found.values() for pair in combinations(sent, 2) if _overlap(*pair)]
    early = {second for first, second in pairs if second.taken < first.taken + patience}
    late = {second for _, second in pairs} - early
    return SentAtOnce(early=_sorted(early), awaited=_sorted(late))


def sent_again(evidence: Evidence) -> SentAgain:
    """Return the refreshes whose token had been accepted before, with the result in Vault or in escrow by then."""
    spent = {one.token: one for one in reversed(evidence.refreshes) if one.accepted}
    known: list[Refresh] = []
    unseen: list[Refresh] = []
    for one in evidence.refreshes:
        first = spent.get(one.token)
        if first is None or first.taken >= one.taken:
            continue
        if (is_unseen := _is_unseen(one, first, evidence)) is not None:
            (unseen if is_unseen else known).append(one)
    return SentAgain(known=known, unseen=unseen)


def _is_unseen(again: Refresh, first: Refresh, evidence: Evidence) -> bool | None:
    """Return whether the copy was made after the sender's last check; None if there was no copy that counts.

    A copy in Vault decides, and one in escrow only if Vault has none.
    """
    by = sender(again, evidence)
    copies = [copy for copy in _copies(first, evidence) if copy.at < again.taken]
    stored = [copy.at for copy in copies if copy.escrow is None]
    namespaces = {one.namespace for one in evidence.listings if one.by == by}
    kept = [copy.at for copy in copies if copy.escrow and (copy.escrow.by == by or copy.escrow.namespace in namespaces)]
    if stored:
        read = [one.at for one in evidence.reads_of.get(again.path, ()) if one.by == by]
        intents = (one for one in evidence.writes_to.get(again.path, ()) if one.kind is Kind.INTENT)
        return _is_later(min(stored), [*read, *(one.at for one in intents if one.by == by)], again.taken)
    if kept:
        return _is_later(min(kept), (one.at for one in evidence.listings if one.by == by), again.taken)
    return None


def _is_later(copied: float, checks: Iterable[float], taken: float) -> bool:
    """Return whether a copy was made after the last check before a request, which was a moment ago."""
    last = max((at for at in checks if at <= taken), default=float("-inf"))
    return copied >= last and taken - last <= LONGEST_CHECK + TRANSIT


def _copies(spent: Spending, evidence: Evidence) -> Iterator[Copy]:
    """Yield the copies of the result of a refresh, and of the results that were obtained with it."""
    every = attribution(evidence).copies
    accepted = {one.token: one for one in evidence.refreshes_of.get(spent.path, ()) if one.accepted}
    seen: set[Spending] = set()
    following: Spending | None = spent
    while following is not None and following not in seen:
        seen.add(following)
        yield from every.get(following, ())
        following = accepted.get(following.issued or "")


def _overlap(first: Refresh, second: Refresh) -> bool:
    return first.answered is None or second.taken < first.answered


def _sorted(refreshes: Iterable[Refresh]) -> list[Refresh]:
    return sorted(refreshes, key=lambda one: one.taken)
