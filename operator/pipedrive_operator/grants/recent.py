"""What is known of the grants that were refreshed last: a dictionary that forgets its oldest entries.

Tenants choose the paths, so without a bound someone who names another path each time would fill the memory for days.
"""

from typing import Final, TypeVar

MOST_REMEMBERED: Final = 10_000
"""As many grants as one operator is made for. What is remembered of a grant matters for minutes after its refresh."""

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class Recent(dict[KeyT, ValueT]):
    """Keeps the entries that were set last."""

    def __setitem__(self, key: KeyT, value: ValueT) -> None:
        """Set an entry, and forget the one that was set the longest time ago if there are too many."""
        self.pop(key, None)
        super().__setitem__(key, value)
        if len(self) > MOST_REMEMBERED:
            del self[next(iter(self))]
