"""What is known of the last grants: a bounded number of entries, and the newest of them."""

import pytest

from pipedrive_operator.grants import recent
from pipedrive_operator.grants.recent import Recent


def test_the_entry_that_was_set_the_longest_time_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting an entry again makes it the newest."""
    monkeypatch.setattr(recent, "MOST_REMEMBERED", 2)
    known = Recent[str, int]()

    for name in ("a", "b", "a", "c"):
        known[name] = len(known)

    assert ["a", "c"] == list(known)
