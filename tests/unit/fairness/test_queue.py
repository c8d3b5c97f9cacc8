"""How slots are shared: in turn, and never all of them to one party."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipedrive_operator.fairness.queue import FairQueue

SLOTS = 20


def taken(queue: FairQueue[str]) -> list[str]:
    """Hand out slots until none may be taken."""
    found = []
    while (item := queue.take()) is not None:
        found.append(item)
    return found


def test_parties_take_turns() -> None:
    """This holds however many items one of them has waiting."""
    queue = FairQueue[str](SLOTS)
    for number in range(6):
        queue.put(f"a{number}", ("a",))
    queue.put("b0", ("b",))
    queue.put("c0", ("c",))

    assert ["a0", "b0", "c0", "a1", "a2"] == taken(queue)[:5]


def test_a_party_alone_gets_half_and_the_next_one_finds_a_free_slot() -> None:
    """Until there are as many busy parties as slots, a newcomer never waits."""
    queue, counts = FairQueue[str](SLOTS), []
    for party in "abcde":
        for number in range(100):
            queue.put(f"{party}{number}", (party,))
        counts.append(len(taken(queue)))

    assert [10, 5, 3, 1, 1] == counts


def test_a_withdrawn_item_is_not_served_and_frees_its_slot() -> None:
    """The task may be cancelled while it waits, or later."""
    queue = FairQueue[str](1)
    for item in ("one", "two", "three"):
        queue.put(item, ("a",))
    queue.withdraw("two")
    assert ["one"] == taken(queue)

    queue.withdraw("one")

    assert ["three"] == taken(queue)
    assert 0 == len(queue)


def test_what_parties_share_is_limited_too() -> None:
    """Requests to a host that hangs leave a third of the slots, also for parties that wait for that host as well."""
    queue = FairQueue[str](30)
    for party in range(30):
        queue.put(f"slow {party}", (str(party), "slow host"))
        queue.put(f"fast {party}", (str(party), "fast host"))
    hanging = [item for item in taken(queue) if item.startswith("slow")]

    assert len(hanging) <= 20


ITEMS = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "x", "y"])), max_size=80)


@given(items=ITEMS, slots=st.integers(1, 30))
def test_everything_is_served_once_within_the_limits(items: list[tuple[str, str]], slots: int) -> None:
    """This holds for any items, as long as slots are released."""
    queue = FairQueue[int](slots)
    for number, (party, shared) in enumerate(items):
        queue.put(number, (party, shared) if shared else (party,))
    seen: list[int] = []
    running: list[int] = []
    while len(seen) < len(items):
        while (item := queue.take()) is not None:
            held = Counter(items[one][0] for one in running)
            assert held[items[item][0]] < slots - len(running)
            running.append(item)
            seen.append(item)
        queue.release(running.pop(0))

    assert sorted(seen) == list(range(len(items)))


@given(flood=st.integers(1, 200), others=st.integers(1, 5), before=st.integers(0, 50))
def test_a_party_waits_for_one_item_of_each_other(flood: int, others: int, before: int) -> None:
    """It does not matter how many items they have, or how many were served before."""
    queue = FairQueue[str](1)
    for party in range(others):
        for number in range(flood):
            queue.put(f"{party}/{number}", (str(party),))
    for _ in range(min(before, flood)):
        item = queue.take()
        assert item is not None
        queue.release(item)
    queue.put("honest", ("honest",))

    served = []
    for _ in range(others + 1):
        item = queue.take()
        if item is not None:
            served.append(item)
            queue.release(item)

    assert "honest" in served
