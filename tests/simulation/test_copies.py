"""What a restore of Vault leaves of the refresh tokens that it has held."""

from fakes.pipedrive import Send
from simulation.copies import Copies

SENDS = [Send("seed", 0, successor="refresh-1"), Send("refresh-1", 0, successor="refresh-2")]


def test_what_was_spent_for_the_restored_token_stays_known_since_it_was_stored() -> None:
    """A process that has asked since then knows it."""
    copies = Copies()
    for at, token in enumerate(("seed", "refresh-1", "refresh-2", "of another consent")):
        copies.hold([token], SENDS, at)

    copies.restore({"refresh-1"}, SENDS, lambda token: token[:2], 9)

    assert copies.since == {"seed": 0, "refresh-1": 1, "of another consent": 3}
    assert copies.undone == {"refresh-2"}


def test_an_undone_token_that_vault_holds_again_is_known_since_then() -> None:
    """Another restore, of a newer backup, brings its ancestors back with it."""
    copies = Copies()
    for at, token in enumerate(("seed", "refresh-1", "refresh-2")):
        copies.hold([token], SENDS, at)
    copies.restore({"seed"}, SENDS, lambda _: "line", 5)

    copies.restore({"refresh-2"}, SENDS, lambda _: "line", 9)

    assert copies.since == {"seed": 0, "refresh-1": 9, "refresh-2": 9}
    assert copies.undone == set()


def test_what_was_spent_for_a_token_that_vault_holds_is_spent_as_well() -> None:
    """A generation between may have been in escrow only, or a restore has undone it."""
    copies = Copies()
    copies.hold(["seed"], SENDS, 0)

    copies.hold(["refresh-2"], SENDS, 7)

    assert copies.since == {"seed": 0, "refresh-1": 7, "refresh-2": 7}
