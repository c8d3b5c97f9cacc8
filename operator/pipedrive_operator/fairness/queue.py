"""Shares a limited number of slots fairly, so that one party's flood delays nobody else. Pure: a data structure.

Parties take turns: however much one has waiting, each of the others is served after at most one item of everybody
else. And no party fills the slots: it may take another one only while it holds fewer than are free, so a lone party
holds half of them, two hold a third each, and the next one to arrive always finds a free slot (the dynamic threshold
of Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", 1998).

Items may count for something that parties share as well, such as a host. That may hold twice as many slots as are free,
two thirds of all, so that one party's flood towards a host still leaves room for the others.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT", bound=Hashable)

Parties = tuple[str, ...]
"""Who an item counts for: the party that takes the turn, and then what it shares with others."""

_Line = list[tuple[float, int, ItemT]]
"""A heap of the items of the same parties, by rank and then by arrival."""


class FairQueue(Generic[ItemT]):
    """Items that wait for a slot."""

    def __init__(self, slots: int) -> None:
        """Start empty, with that many free slots."""
        self._free = slots
        self._held: Counter[str] = Counter()
        self._taken: dict[ItemT, Parties] = {}
        self._waiting: dict[ItemT, tuple[float, int]] = {}
        self._lines: dict[str, dict[Parties, _Line[ItemT]]] = {}
        """By the party that takes turns, in the order of their turns. Items that no longer wait are skipped."""
        self._arrivals = itertools.count()

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._waiting)

    def put(self, item: ItemT, parties: Parties, *, rank: float = 0.0) -> None:
        """Queue an item, or lower the rank of one that waits. Of the same parties, the lowest rank is served first."""
        waiting = self._waiting.get(item)
        if waiting is not None and waiting[0] <= rank:
            return
        place = self._waiting[item] = (rank, next(self._arrivals))
        line = self._lines.setdefault(parties[0], {}).setdefault(parties, [])
        heapq.heappush(line, (*place, item))

    def take(self) -> ItemT | None:
        """Give a slot to the item whose turn it is, and return the item; None if none may have one now."""
        for party in list(self._lines):
            parties = self._next_line(party)
            if parties is not None:
                return self._take_from(parties)
        return None

    def release(self, item: ItemT) -> None:
        """Free the slot that `take` gave to an item."""
        for party in set(self._taken.pop(item)):
            self._held[party] -= 1
            if not self._held[party]:
                del self._held[party]
        self._free += 1

    def withdraw(self, item: ItemT) -> None:
        """Remove an item, whether it waits or has a slot."""
        self._waiting.pop(item, None)
        if item in self._taken:
            self.release(item)

    def _next_line(self, party: str) -> Parties | None:
        """Return which of a party's lines is next, and forget the empty ones; None if none may have a slot."""
        if self._held[party] >= self._free:
            return None
        lines = self._lines[party]
        for parties, line in list(lines.items()):
            while line and self._waiting.get(line[0][2]) != line[0][:2]:
                heapq.heappop(line)
            if not line:
                del lines[parties]
        if not lines:
            del self._lines[party]
        eligible = (each for each in lines if all(self._held[shared] < 2 * self._free for shared in each[1:]))
        return min(eligible, key=lambda each: lines[each][0][:2], default=None)

    def _take_from(self, parties: Parties) -> ItemT:
        """Give a slot to the first item of a line; its party's next turn comes after everybody else's."""
        lines = self._lines.pop(parties[0])
        *_, item = heapq.heappop(lines[parties])
        self._lines[parties[0]] = lines
        del self._waiting[item]
        self._taken[item] = parties
        self._held.update(set(parties))
        self._free -= 1
        return item
